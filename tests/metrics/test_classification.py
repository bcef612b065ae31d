from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn_metrics

from anomalist.errors import DataError, ParameterError
from anomalist.metrics import (
    auroc,
    average_precision,
    best_f1,
    f1_at,
    false_alarm_rate,
    pr_curve,
    roc_curve,
)
from tests.reference import metrics as reference

Array = npt.NDArray[Any]


def sample(kind: str, n: int = 3000) -> tuple[Array, npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    labels = rng.random(n) < 0.1
    scores = rng.normal(size=n) + labels
    if kind == "float32":
        return scores.astype(np.float32), labels
    if kind == "float16":
        return scores.astype(np.float16), labels
    if kind == "tied":
        return np.round(scores, 1), labels
    if kind == "integer":
        return np.round(scores * 3).astype(np.int32), labels
    if kind == "uint8":
        return np.clip(np.round(scores * 30 + 100), 0, 255).astype(np.uint8), labels
    if kind == "constant":
        return np.full(n, 0.7), labels
    if kind == "reversed":
        return -scores, labels
    if kind == "perfect":
        return labels + 0.1 * rng.random(n), labels
    if kind == "mostly positive":
        return scores, ~labels
    if kind == "heavy tailed":
        return np.sinh(20 * scores), labels
    if kind == "one positive":
        return scores, np.arange(n) == 5
    if kind == "one negative":
        return scores, np.arange(n) != 5
    return scores, labels


KINDS = [
    "float64",
    "float32",
    "float16",
    "tied",
    "integer",
    "uint8",
    "constant",
    "reversed",
    "perfect",
    "mostly positive",
    "heavy tailed",
    "one positive",
    "one negative",
]


def sklearn_f1(scores: Array, labels: npt.NDArray[np.bool_]) -> float:
    precision, recall, _ = sklearn_metrics.precision_recall_curve(labels, scores)
    total = precision + recall
    return float(np.max(2 * precision * recall / np.where(total == 0, 1, total)))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_scikit_learn(kind: str) -> None:
    scores, labels = sample(kind)
    expected = sklearn_metrics.roc_auc_score(labels, scores)
    assert auroc(scores, labels) == pytest.approx(expected, abs=1e-12)
    expected = sklearn_metrics.average_precision_score(labels, scores)
    assert average_precision(scores, labels) == pytest.approx(expected, abs=1e-12)
    f1, threshold = best_f1(scores, labels)
    assert f1 == pytest.approx(sklearn_f1(scores, labels), abs=1e-12)
    expected = sklearn_metrics.f1_score(labels, scores >= threshold)
    assert f1 == pytest.approx(expected, abs=1e-12)


few_values = st.lists(
    st.tuples(st.integers(-3, 3).map(float), st.booleans()), min_size=2, max_size=30
).filter(lambda pairs: len({label for _, label in pairs}) == 2)


@given(few_values)
def test_equal_to_the_definitions(pairs: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in pairs])
    labels = np.array([label for _, label in pairs])
    assert auroc(scores, labels) == pytest.approx(reference.auroc(scores, labels), abs=1e-12)
    expected = reference.average_precision(scores, labels)
    assert average_precision(scores, labels) == pytest.approx(expected, abs=1e-12)
    assert best_f1(scores, labels) == reference.best_f1(scores, labels)


@given(
    arrays(np.float32, 40, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    arrays(np.bool_, 40).filter(lambda labels: 0 < labels.sum() < 40),
)
def test_any_float32_is_ranked_exactly(scores: Array, labels: npt.NDArray[np.bool_]) -> None:
    expected = reference.average_precision(scores, labels)
    assert average_precision(scores, labels) == pytest.approx(expected, abs=1e-12)
    assert auroc(scores, labels) == pytest.approx(reference.auroc(scores, labels), abs=1e-12)


@given(few_values)
def test_a_monotone_change_of_the_scores_changes_nothing(pairs: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in pairs])
    labels = np.array([label for _, label in pairs])
    for changed in (scores * 1000 + 500, np.exp(scores), 1 / (1 + np.exp(-scores))):
        assert auroc(changed, labels) == auroc(scores, labels)
        assert average_precision(changed, labels) == average_precision(scores, labels)
        assert best_f1(changed, labels)[0] == best_f1(scores, labels)[0]


def test_maps_and_masks_of_any_layout_and_label_type() -> None:
    scores, labels = sample("tied", 3 * 20 * 50)
    maps, masks = scores.reshape(3, 20, 50), labels.reshape(3, 20, 50)
    value = auroc(scores, labels)
    assert auroc(maps, masks) == value
    assert auroc(np.asfortranarray(maps), masks.astype(np.uint8)) == value
    assert auroc(maps, masks.astype(np.float32)) == value
    assert auroc(maps.tolist(), masks.tolist()) == value
    assert auroc(maps.astype(">f8"), masks) == value
    maps.setflags(write=False)
    assert auroc(maps, masks) == value
    assert auroc(maps[::-1, ::2], masks[::-1, ::2]) == auroc(
        maps[::-1, ::2].copy(), masks[::-1, ::2].copy()
    )


def test_constant_scores_have_defined_values() -> None:
    scores, labels = np.zeros(10), np.arange(10) < 2
    assert auroc(scores, labels) == 0.5
    assert average_precision(scores, labels) == 0.2
    assert best_f1(scores, labels) == (4 / 12, 0.0)


def test_best_f1_takes_the_highest_of_equally_good_thresholds() -> None:
    # F1 is 2/3 at 0.9 (1 of 2 found, no false alarm) and at 0.1 (2 found, 2 false alarms).
    scores = np.array([0.9, 0.5, 0.4, 0.1])
    labels = np.array([True, False, False, True])
    assert f1_at(scores, labels, 0.9) == f1_at(scores, labels, 0.1) == 2 / 3
    assert best_f1(scores, labels) == (2 / 3, 0.9)


def test_values_are_python_floats() -> None:
    scores, labels = sample("float32")
    for value in (auroc(scores, labels), average_precision(scores, labels)):
        assert type(value) is float
    assert [type(value) for value in best_f1(scores, labels)] == [float, float]


@pytest.mark.parametrize("threshold", [-np.inf, -1.0, 0.0, 0.1, 2.5, np.inf])
def test_f1_and_false_alarms_at_a_threshold(threshold: float) -> None:
    scores, labels = sample("tied")
    called = scores >= threshold
    expected = sklearn_metrics.f1_score(labels, called)
    assert f1_at(scores, labels, threshold) == pytest.approx(expected, abs=1e-12)
    assert false_alarm_rate(scores, labels, threshold) == pytest.approx(called[~labels].mean())


def test_a_threshold_is_not_rounded_to_the_precision_of_the_scores() -> None:
    score = np.array([0.1], dtype=np.float32)
    just_above = float(score[0]) + 1e-12
    assert np.float32(just_above) == score[0]
    assert false_alarm_rate(score, [0], float(score[0])) == 1.0
    assert false_alarm_rate(score, [0], just_above) == 0.0


def test_one_class_is_enough_at_a_threshold_where_it_is_the_one_counted() -> None:
    assert false_alarm_rate([0.1, 0.9], [0, 0], 0.5) == 0.5
    assert f1_at([0.1, 0.9], [1, 1], 0.5) == 2 / 3
    with pytest.raises(DataError, match="needs positives"):
        f1_at([0.1, 0.9], [0, 0], 0.5)
    with pytest.raises(DataError, match="needs negatives"):
        false_alarm_rate([0.1, 0.9], [1, 1], 0.5)


def test_thresholds_and_scores_must_be_numbers() -> None:
    with pytest.raises(ParameterError, match="threshold is NaN"):
        f1_at([0.1, 0.9], [0, 1], float("nan"))
    with pytest.raises(DataError, match="finite"):
        false_alarm_rate([0.1, np.nan], [0, 1], 0.5)


@pytest.mark.parametrize("function", [auroc, average_precision, best_f1, roc_curve, pr_curve])
@pytest.mark.parametrize("label", [0, 1])
def test_a_single_class_is_an_error_never_a_number(function: Any, label: int) -> None:
    with pytest.raises(DataError, match=f"all 5 labels are .*{label}"):
        function(np.arange(5.0), np.full(5, label))


@pytest.mark.parametrize("kind", KINDS)
def test_roc_curve_is_a_part_of_scikit_learns_that_keeps_the_area(kind: str) -> None:
    scores, labels = sample(kind)
    fpr, tpr = roc_curve(scores, labels)
    theirs_fpr, theirs_tpr, _ = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False)
    assert set(zip(fpr, tpr, strict=True)) <= set(zip(theirs_fpr, theirs_tpr, strict=True))
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(auroc(scores, labels), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_pr_curve_is_a_part_of_scikit_learns_that_keeps_the_area(kind: str) -> None:
    scores, labels = sample(kind)
    recall, precision = pr_curve(scores, labels)
    theirs_precision, theirs_recall, _ = sklearn_metrics.precision_recall_curve(labels, scores)
    ours = set(zip(recall, precision, strict=True))
    assert ours <= set(zip(theirs_recall, theirs_precision, strict=True))
    step_area = float(np.sum(np.diff(recall) * precision[1:]))
    assert step_area == pytest.approx(average_precision(scores, labels), abs=1e-12)
    assert (recall[0], precision[0], recall[-1]) == (0, 1, 1)
    assert precision[-1] == labels.mean()


@pytest.mark.parametrize("curve", [roc_curve, pr_curve])
def test_thinned_curves_keep_their_ends_and_invent_no_point(curve: Any) -> None:
    scores, labels = sample("float64")
    x, y = curve(scores, labels)
    for most in (2, 10, 100):
        thin_x, thin_y = curve(scores, labels, max_points=most)
        assert 2 <= len(thin_x) <= most
        assert set(zip(thin_x, thin_y, strict=True)) <= set(zip(x, y, strict=True))
        assert (thin_x[0], thin_y[0], thin_x[-1], thin_y[-1]) == (x[0], y[0], x[-1], y[-1])
    assert len(curve(scores, labels, max_points=len(x))[0]) == len(x)
    with pytest.raises(ParameterError, match="2 or more, not 1"):
        curve(scores, labels, max_points=1)


def test_a_thinned_curve_has_nearly_the_same_area() -> None:
    scores, labels = sample("float64")
    fpr, tpr = roc_curve(scores, labels, max_points=200)
    assert np.trapezoid(tpr, fpr) == pytest.approx(auroc(scores, labels), abs=2e-3)
