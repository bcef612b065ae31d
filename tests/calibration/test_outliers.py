from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalist.calibration import find_outliers
from anomalist.errors import DataError
from tests.reference.outliers import outlier_count

Draw = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
# Shape of the tail, and the share of clean sets in which something may be told.
CLEAN: dict[str, tuple[Draw, float]] = {
    "uniform": (lambda rng, n: 5 + rng.random(n), 0.01),
    "normal": (lambda rng, n: 10 + rng.normal(size=n), 0.01),
    "negative": (lambda rng, n: rng.normal(size=n), 0.01),
    "exponential": (lambda rng, n: 3 + rng.exponential(size=n), 0.05),
    "Gumbel": (lambda rng, n: 10 + rng.gumbel(size=n), 0.04),
    "gamma": (lambda rng, n: rng.gamma(2, size=n), 0.03),
    "log-normal": (lambda rng, n: np.exp(rng.normal(size=n) / 2), 0.04),
    "Laplace": (lambda rng, n: 20 + rng.laplace(size=n), 0.05),
    "Student, 5": (lambda rng, n: 20 + rng.standard_t(5, size=n), 0.07),
}


@pytest.mark.parametrize("shape", CLEAN)
@pytest.mark.parametrize("n", [20, 40, 100])
def test_clean_sets_are_seldom_told_of(shape: str, n: int) -> None:
    draw, most = CLEAN[shape]
    rng = np.random.default_rng(n)
    told = np.mean([len(find_outliers(draw(rng, n))) > 0 for _ in range(1000)])
    assert told <= most


@pytest.mark.parametrize("n", [20, 30, 40, 60, 100])
@pytest.mark.parametrize("odd", [1, 2, 3])
def test_odd_ones_are_found_and_named_also_when_they_are_alike(n: int, odd: int) -> None:
    rng = np.random.default_rng(odd)
    for _ in range(50):
        scores = 10 + 2 * rng.normal(size=n)
        places = rng.permutation(n)[:odd]
        scores[places] = 40 + rng.random(odd)
        assert find_outliers(scores).tolist() == places[np.argsort(-scores[places])].tolist()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(6, 60), st.integers(0, 2**32 - 1), st.integers(0, 4), st.booleans())
def test_the_rule_is_the_obvious_one(n: int, seed: int, odd: int, positive: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.gamma(3, size=n) if positive else rng.normal(size=n)
    scores[: min(odd, n - 1)] += rng.exponential(6)
    found = find_outliers(scores)
    assert len(found) == outlier_count(scores)
    assert found.tolist() == np.argsort(-scores, kind="stable")[: len(found)].tolist()
    if not positive:  # another unit and another origin change nothing
        assert find_outliers(7 * scores - 100).tolist() == found.tolist()


def test_scores_that_are_all_but_alike_have_no_outlier() -> None:
    scores = np.full(20, 7.0)
    assert len(find_outliers(scores)) == 0
    scores[3] += 1e-5
    assert len(find_outliers(scores)) == 0
    scores[3] = 9
    assert find_outliers(scores).tolist() == [3]
    assert len(find_outliers([1.0, 1.1, 50.0])) == 0


def test_what_is_no_score_is_refused() -> None:
    for bad in ([], [1.0, float("nan")], [[1.0, 2.0]]):
        with pytest.raises(DataError):
            find_outliers(bad)
