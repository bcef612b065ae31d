from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from anomalist.errors import DataError, ParameterError
from anomalist.metrics import auroc, average_precision, best_f1
from anomalist.metrics.comparison import (
    Comparison,
    delong_test,
    mean_difference,
    paired_bootstrap,
)
from tests.reference import comparison as reference

Array = npt.NDArray[Any]


def pair(
    seed: int = 0, n: int = 120, shift_a: float = 1.0, shift_b: float = 1.0
) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Scores of two detectors that see the same images, so they err together."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) < 0.6 * n
    image = rng.normal(size=n)
    a, b = ((image + rng.normal(size=n)) / math.sqrt(2) + s * labels for s in (shift_a, shift_b))
    return a, b, labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decimals", [0, 1, 9], ids=["many ties", "some ties", "no ties"])
def test_equals_the_kernel_over_all_pairs(seed: int, decimals: int) -> None:
    a, b, labels = pair(seed, shift_b=0.5)
    a, b = np.round(a, decimals), np.round(b, decimals)
    difference, variance = reference.delong(a, b, labels)
    ours = delong_test(a, b, labels)
    assert ours.difference == pytest.approx(difference, abs=1e-12)
    assert ours.difference == pytest.approx(auroc(a, labels) - auroc(b, labels), abs=1e-12)
    assert ours.standard_error == pytest.approx(math.sqrt(variance), rel=1e-9)
    z = difference / math.sqrt(variance)
    assert ours.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)
    assert ours.interval == pytest.approx(
        stats.norm.interval(0.95, difference, math.sqrt(variance)), rel=1e-9
    )


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), min_size=4, max_size=30
    ).filter(lambda rows: 2 <= sum(row[2] for row in rows) <= len(rows) - 2)
)
def test_equals_the_kernel_on_any_few_tied_scores(rows: list[tuple[int, int, bool]]) -> None:
    a, b, labels = map(np.array, zip(*rows, strict=True))
    difference, variance = reference.delong(a, b, labels)
    ours = delong_test(a, b, labels)
    assert ours.difference == pytest.approx(difference, abs=1e-12)
    assert ours.standard_error**2 == pytest.approx(variance, abs=1e-12)
    swapped = delong_test(b, a, labels)
    assert swapped.difference == -ours.difference
    assert swapped.p_value == ours.p_value
    assert swapped.interval == (-ours.interval[1], -ours.interval[0])
    assert 0 <= ours.p_value <= 1
    if np.array_equal(a, b):
        assert (ours.difference, ours.interval, ours.p_value) == (0, (0, 0), 1)


def test_only_the_order_of_scores_counts() -> None:
    a, b, labels = pair(shift_b=0.4)
    order = np.random.default_rng(1).permutation(len(labels))
    assert delong_test(np.exp(a)[order], (7 * b - 2)[order], labels[order]) == delong_test(
        a, b, labels
    )


def test_detectors_that_never_err_do_not_differ() -> None:
    a, b, labels = pair()
    ours = delong_test(a + 20 * labels, b + 30 * labels, labels)
    assert (ours.difference, ours.interval, ours.p_value) == (0, (0, 0), 1)
    ours = paired_bootstrap(a + 20 * labels, b + 30 * labels, labels, auroc, n_bootstrap=20)
    assert (ours.difference, ours.interval, ours.p_value) == (0, (0, 0), 1)


def test_always_right_against_always_wrong_leaves_no_doubt() -> None:
    labels = np.arange(10) < 5
    ours = delong_test(labels, ~labels, labels)
    assert (ours.difference, ours.interval, ours.p_value) == (1, (1, 1), 0)


def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    p_values = [delong_test(*pair(seed)).p_value for seed in range(1500)]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_hold_the_true_difference_as_often_as_they_say(level: float) -> None:
    # Normal scores shifted by s: the AUROC is Phi(s / sqrt(2)).
    truth = stats.norm.cdf(1.2 / math.sqrt(2)) - stats.norm.cdf(0.7 / math.sqrt(2))
    held = []
    for seed in range(800):
        low, high = delong_test(*pair(seed, shift_a=1.2, shift_b=0.7), level=level).interval
        held.append(low <= truth <= high)
    assert np.mean(held) == pytest.approx(level, abs=0.03)


def test_pairing_makes_a_difference_plainer() -> None:
    a, b, labels = pair(shift_b=0.6)
    other = pair(seed=1, shift_b=0.6)[1]
    assert delong_test(a, b, labels).standard_error < delong_test(a, other, labels).standard_error


def test_the_bootstrap_agrees_with_delong() -> None:
    a, b, labels = pair(shift_b=0.5, n=200)
    exact = delong_test(a, b, labels)
    ours = paired_bootstrap(a, b, labels, auroc, n_bootstrap=2000)
    assert ours.difference == pytest.approx(exact.difference)
    assert ours.standard_error == pytest.approx(exact.standard_error, rel=0.06)
    assert ours.interval == pytest.approx(exact.interval, abs=0.25 * exact.standard_error)
    assert ours.p_value == pytest.approx(exact.p_value, abs=0.03)


def test_the_bootstrap_of_any_metric_measures_both_on_the_same_images() -> None:
    a, b, labels = pair(shift_b=0.5)
    seen: list[bytes] = []

    def metric(scores: Array, truth: npt.NDArray[np.bool_]) -> float:
        seen.append(truth.tobytes())
        return best_f1(scores, truth)[0]

    ours = paired_bootstrap(a, b, labels, metric, n_bootstrap=30)
    assert ours.difference == best_f1(a, labels)[0] - best_f1(b, labels)[0]
    assert seen[::2] == seen[1::2]
    assert all(np.frombuffer(s, bool).sum() == labels.sum() for s in seen)
    assert ours == paired_bootstrap(a, b, labels, metric, n_bootstrap=30)
    assert ours != paired_bootstrap(a, b, labels, metric, n_bootstrap=30, seed=1)


def test_bootstrap_p_values_are_about_uniform_where_there_is_no_difference() -> None:
    p_values = [
        paired_bootstrap(*pair(seed), average_precision, n_bootstrap=60).p_value
        for seed in range(100)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_categories_combine_into_their_mean() -> None:
    each = [delong_test(*pair(seed, n=n, shift_b=0.6)) for seed, n in enumerate([60, 120, 90, 200])]
    mean = mean_difference(each)
    assert mean.difference == pytest.approx(np.mean([c.difference for c in each]))
    variance = sum(c.standard_error**2 for c in each) / 16
    assert mean.standard_error == pytest.approx(math.sqrt(variance))
    assert mean.interval == pytest.approx(
        stats.norm.interval(0.95, mean.difference, math.sqrt(variance))
    )
    assert mean.p_value < min(c.p_value for c in each)
    alone = mean_difference(each[:1])
    assert alone.p_value == pytest.approx(each[0].p_value)
    assert alone.interval == pytest.approx(each[0].interval)


def test_mean_differences_of_categories_have_uniform_p_values() -> None:
    p_values = [
        mean_difference([delong_test(*pair(4 * trial + k, n=80)) for k in range(4)]).p_value
        for trial in range(300)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_what_makes_no_sense_is_refused() -> None:
    a, b, labels = pair()
    with pytest.raises(DataError, match=r"scores of b have shape \(119,\), labels \(120,\)"):
        delong_test(a, b[1:], labels)
    with pytest.raises(DataError, match=r"\(N,\)"):
        delong_test(a.reshape(60, 2), b.reshape(60, 2), labels.reshape(60, 2))
    with pytest.raises(DataError, match="scores of b must be finite"):
        delong_test(a, np.where(labels, np.nan, b), labels)
    with pytest.raises(DataError, match="real numbers"):
        delong_test(a.astype(complex), b, labels)
    with pytest.raises(DataError, match="1 anomalous and 119 normal"):
        delong_test(a, b, np.arange(120) == 0)
    with pytest.raises(DataError, match="labels must be 0 or 1, not 2"):
        delong_test(a, b, labels * 2)
    with pytest.raises(ParameterError, match="level"):
        delong_test(a, b, labels, level=95)
    with pytest.raises(ParameterError, match="level"):
        paired_bootstrap(a, b, labels, auroc, level=0)
    with pytest.raises(ParameterError, match="n_bootstrap"):
        paired_bootstrap(a, b, labels, auroc, n_bootstrap=1)
    with pytest.raises(DataError, match="all 120 labels are negative"):
        paired_bootstrap(a, b, np.zeros(120), auroc)
    with pytest.raises(ParameterError, match="no comparison at all"):
        mean_difference([])
    with pytest.raises(ParameterError, match=r"one level, not 0\.9, 0\.95"):
        mean_difference([Comparison(0, (0, 0), 1, 0), Comparison(0, (0, 0), 1, 0, 0.9)])
