from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom

from anomalist.errors import DataError, ParameterError
from anomalist.metrics import paired_rates
from tests.reference.paired import difference_interval, exact_mcnemar


def pairs(both: int, only_before: int, only_after: int, neither: int) -> list[list[bool]]:
    before = [True] * (both + only_before) + [False] * (only_after + neither)
    after = [True] * both + [False] * only_before + [True] * only_after + [False] * neither
    return [before, after]


@pytest.mark.parametrize("counts", list(itertools.product([0, 1, 7], repeat=4)))
def test_it_equals_the_reference(counts: tuple[int, int, int, int]) -> None:
    if sum(counts) == 0:
        return
    rates = paired_rates(*pairs(*counts))
    assert rates.images == sum(counts)
    assert (rates.only_before, rates.only_after) == counts[1:3]
    assert rates.difference_interval == pytest.approx(difference_interval(*counts), abs=1e-12)
    assert rates.p_value == pytest.approx(exact_mcnemar(counts[1], counts[2]))


def test_its_interval_holds_the_difference_as_often_as_it_says() -> None:
    """Exact coverage, over all tables of 20 images whose pairs are independent of each other."""
    n, (p, q) = 20, (0.3, 0.15)
    covered = 0.0
    for k in range(n + 1):
        for m in range(n + 1):
            # Before and after independent: given the margins, how many are in both.
            for both in range(max(0, k + m - n), min(k, m) + 1):
                ways = math.comb(k, both) * math.comb(n - k, m - both) / math.comb(n, m)
                low, high = paired_rates(
                    *pairs(both, k - both, m - both, n - k - m + both)
                ).difference_interval
                if low <= q - p <= high:
                    covered += ways * binom.pmf(k, n, p) * binom.pmf(m, n, q)
    assert 0.93 <= covered <= 0.99


def test_order_turns_it_round() -> None:
    before, after = pairs(3, 5, 1, 30)
    one, other = paired_rates(before, after), paired_rates(after, before)
    assert one.difference == -other.difference
    assert one.difference_interval == pytest.approx(
        tuple(-end for end in reversed(other.difference_interval))
    )
    assert one.p_value == other.p_value


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="one of each an image"):
        paired_rates([True], [True, False])
    with pytest.raises(DataError, match="one of each"):
        paired_rates([], [])
    with pytest.raises(ParameterError, match="level"):
        paired_rates([True], [False], level=1)
    assert paired_rates(np.ones(4), np.zeros(4)).difference == -1
