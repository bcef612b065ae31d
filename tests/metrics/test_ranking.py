from __future__ import annotations

import numpy as np
import pytest

from anomalist.errors import DataError
from anomalist.metrics import ranking
from anomalist.metrics.ranking import rank


def test_counts_at_and_above_each_distinct_positive_score() -> None:
    #                  -     +     -     +     +     -     -
    scores = np.array([0.1, 0.5, 0.5, 0.5, 0.9, 0.7, 0.95])
    labels = np.array([0, 1, 0, 1, 1, 0, 0], dtype=bool)
    ranked = rank(scores, labels)
    assert ranked.thresholds.tolist() == [0.9, 0.5]
    assert ranked.tp.tolist() == [1, 3]
    assert ranked.fp.tolist() == [1, 3]
    assert ranked.fp_above.tolist() == [1, 2]


def test_chunks_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 50, 1000).astype(np.float32)
    labels = rng.random(1000) < 0.1
    whole = rank(scores, labels)
    monkeypatch.setattr(ranking, "CHUNK", 7)
    parts = rank(scores, labels)
    assert np.array_equal(whole.fp, parts.fp)
    assert np.array_equal(whole.fp_above, parts.fp_above)


def test_float64_scores_are_not_rounded_to_float32() -> None:
    scores = np.array([1.0, 1.0 + 1e-12])
    assert scores.astype(np.float32)[0] == scores.astype(np.float32)[1]
    assert rank(scores, np.array([False, True])).auroc() == 1.0


def test_large_integers_are_not_rounded_to_float64() -> None:
    scores = np.array([2**60, 2**60 + 1])
    assert rank(scores, np.array([False, True])).auroc() == 1.0


def test_negative_zero_ties_with_zero() -> None:
    assert rank(np.array([0.0, -0.0], np.float32), np.array([True, False])).auroc() == 0.5


def test_the_input_is_left_as_it_was() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.random(100), rng.random(100) < 0.5
    before = scores.copy(), labels.copy()
    rank(scores, labels)
    assert np.array_equal(scores, before[0])
    assert np.array_equal(labels, before[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("label", [True, False])
def test_scores_that_are_no_numbers_are_refused_whatever_their_label(
    bad: float, label: bool
) -> None:
    scores = np.array([0.1, 0.2, 0.3, bad])
    labels = np.array([True, True, False, label])
    with pytest.raises(DataError, match="finite"):
        rank(scores, labels)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, 0.2], [0, 1, 1], r"shape \(2,\), labels \(3,\)"),
        ([0.1, 0.2], [0, 255], "0 or 1, not 255"),
        ([0.1, 0.2], [0.5, 1.0], r"0 or 1, not 0\.5"),
        ([0.1, 0.2], [-1, 1], "0 or 1, not -1"),
        ([0.1, 0.2], [np.nan, 1], "0 or 1, not nan"),
        ([0.1, 0.2], ["good", "bad"], "0 or 1, not of dtype"),
        ([0.1j, 0.2], [0, 1], "real numbers of up to 64 bits"),
        ([], [], "no scores"),
        ([0.1, 0.2], [0, 0], r"all 2 labels are negative \(0\)"),
        ([0.1, 0.2], [1, 1], r"all 2 labels are positive \(1\)"),
    ],
)
def test_bad_input_is_named(scores: list[float], labels: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rank(scores, labels)
