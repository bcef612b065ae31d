from __future__ import annotations

import pytest

from anomalist.errors import ParameterError
from anomalist.metrics import exact_interval
from tests.reference import proportions


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize(("count", "total"), [(0, 1), (1, 1), (0, 7), (3, 7), (7, 7), (1, 40)])
def test_it_is_what_the_binomial_distribution_says(count: int, total: int, level: float) -> None:
    expected = proportions.exact_interval(count, total, level)
    assert exact_interval(count, total, level) == pytest.approx(expected, abs=1e-9)


def test_nothing_seen_says_nothing() -> None:
    assert exact_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("count", "total", "level"), [(2, 1, 0.95), (-1, 1, 0.95), (0, 1, 1.0)])
def test_what_is_no_share_is_told(count: int, total: int, level: float) -> None:
    with pytest.raises(ParameterError):
        exact_interval(count, total, level)
