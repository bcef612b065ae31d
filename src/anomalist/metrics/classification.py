"""Metrics of a score against a binary label, for images and pixels alike.

Scores and labels may have any shape, the same for both: image metrics take N scores and labels,
pixel metrics maps and masks of shape (N, H, W). Higher scores mean "more anomalous". All values
are exact: every distinct score is a threshold, and scores are never rounded or rescaled.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError, ParameterError
from anomalist.metrics.ranking import Array, Ranking, check_scores_and_labels, rank

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def auroc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Area under the receiver operating characteristic, a tie counting half.

    Parameters
    ----------
    scores : array of any shape
        Finite numbers, higher where more anomalous.
    labels : array of the same shape
        True or 1 where anomalous, False or 0 where normal.

    Returns
    -------
    float
        The chance that an anomalous item outscores a normal one, from 0 to 1.

    Raises
    ------
    DataError
        If shapes differ, a score is NaN or infinite, a label is neither 0 nor 1, or all labels
        are the same.

    References
    ----------
    Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic
    (ROC) curve", Radiology 143 (1982).

    Examples
    --------
    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    return float(rank(scores, labels).auroc())


def average_precision(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Precision at each recall step, averaged with the steps as weights (no interpolation).

    Parameters
    ----------
    scores : array of any shape
        Finite numbers, higher where more anomalous.
    labels : array of the same shape
        True or 1 where anomalous, False or 0 where normal.

    Returns
    -------
    float
        From 0 to 1; a constant score gives the share of positives.

    Raises
    ------
    DataError
        As for `auroc`.

    References
    ----------
    Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006,
    on why the steps aren't joined by lines.

    Examples
    --------
    >>> round(average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 4)
    0.8333
    """
    return float(rank(scores, labels).average_precision())


def best_f1(scores: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[float, float]:
    """Highest F1 over all thresholds, and the threshold that gives it.

    The labels choose the threshold, so this is an oracle: what a perfectly calibrated threshold
    would reach. `f1_at` measures a threshold chosen without them.

    Parameters
    ----------
    scores : array of any shape
        Finite numbers, higher where more anomalous.
    labels : array of the same shape
        True or 1 where anomalous, False or 0 where normal.

    Returns
    -------
    f1 : float
        From 0 to 1.
    threshold : float
        Scores of at least this are called anomalous; the highest one where several do as well.

    Raises
    ------
    DataError
        As for `auroc`.

    Examples
    --------
    >>> best_f1([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    (0.8, 0.35)
    """
    ranking = rank(scores, labels)
    f1 = ranking.f1()
    best = int(np.argmax(f1))
    return float(f1[best]), float(ranking.thresholds[best])


def f1_at(scores: npt.ArrayLike, labels: npt.ArrayLike, threshold: float) -> float:
    """F1 when scores of at least ``threshold`` are called anomalous.

    Parameters
    ----------
    scores : array of any shape
        Finite numbers, higher where more anomalous.
    labels : array of the same shape
        True or 1 where anomalous, False or 0 where normal.
    threshold : float
        In the units of the scores.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    DataError
        As for `auroc`, but only for lack of positives: normal items aren't needed.
    ParameterError
        If the threshold is NaN.

    Examples
    --------
    >>> f1_at([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], threshold=0.35)
    0.8
    """
    alarms, anomalous = _alarms(scores, labels, threshold)
    if not anomalous.any():
        raise DataError(f"all {anomalous.size} labels are negative (0): F1 needs positives")
    hits = int(np.count_nonzero(alarms & anomalous))
    return 2 * hits / (int(np.count_nonzero(alarms)) + int(np.count_nonzero(anomalous)))


def false_alarm_rate(scores: npt.ArrayLike, labels: npt.ArrayLike, threshold: float) -> float:
    """Share of normal items that score at least ``threshold``.

    Parameters
    ----------
    scores : array of any shape
        Finite numbers, higher where more anomalous.
    labels : array of the same shape
        True or 1 where anomalous, False or 0 where normal.
    threshold : float
        In the units of the scores.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    DataError
        As for `auroc`, but only for lack of negatives: anomalous items aren't needed.
    ParameterError
        If the threshold is NaN.

    Examples
    --------
    >>> false_alarm_rate([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], threshold=0.35)
    0.5
    """
    alarms, anomalous = _alarms(scores, labels, threshold)
    normal = anomalous.size - int(np.count_nonzero(anomalous))
    if not normal:
        raise DataError(
            f"all {anomalous.size} labels are positive (1): a false-alarm rate needs negatives"
        )
    return int(np.count_nonzero(alarms & ~anomalous)) / normal


def roc_curve(
    scores: npt.ArrayLike, labels: npt.ArrayLike, *, max_points: int | None = None
) -> Curve:
    """Corners of the receiver operating characteristic, joined by straight lines.

    Parameters
    ----------
    scores : array of any shape
        Finite numbers, higher where more anomalous.
    labels : array of the same shape
        True or 1 where anomalous, False or 0 where normal.
    max_points : int, optional
        Keep this many points at most, spread evenly along the curve, for a plot.

    Returns
    -------
    false_positive_rate, true_positive_rate : arrays of shape (K,)
        From (0, 0) to (1, 1), both ascending.

    Raises
    ------
    DataError
        As for `auroc`.
    ParameterError
        If ``max_points`` is less than 2.

    Examples
    --------
    >>> fpr, tpr = roc_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    >>> fpr.tolist(), tpr.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    return thin(*roc_points(rank(scores, labels)), max_points)


def pr_curve(
    scores: npt.ArrayLike, labels: npt.ArrayLike, *, max_points: int | None = None
) -> Curve:
    """Corners of the precision-recall curve.

    Parameters
    ----------
    scores : array of any shape
        Finite numbers, higher where more anomalous.
    labels : array of the same shape
        True or 1 where anomalous, False or 0 where normal.
    max_points : int, optional
        Keep this many points at most, spread evenly along the curve, for a plot.

    Returns
    -------
    recall, precision : arrays of shape (K,)
        Recall ascends from 0, where precision is 1 by convention, to 1, where precision ends at
        the share of positives.

    Raises
    ------
    DataError
        As for `auroc`.
    ParameterError
        If ``max_points`` is less than 2.

    Examples
    --------
    >>> recall, precision = pr_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    >>> recall.tolist()
    [0.0, 0.5, 0.5, 1.0, 1.0]
    >>> precision.round(2).tolist()
    [1.0, 1.0, 0.5, 0.67, 0.5]
    """
    return thin(*pr_points(rank(scores, labels)), max_points)


def roc_points(ranking: Ranking) -> Curve:
    """Corners of the receiver operating characteristic of a ranking."""
    fp, tp = ranking.vertices(ranking.tp)
    return fp / ranking.n_negative, tp / ranking.n_positive


def pr_points(ranking: Ranking) -> Curve:
    """Corners of the precision-recall curve of a ranking."""
    fp, tp = ranking.vertices(ranking.tp)
    precision = np.concatenate([[1.0], tp[1:] / (tp[1:] + fp[1:])])
    return tp / ranking.n_positive, precision


def thin(x: Array, y: Array, max_points: int | None) -> Curve:
    """At most ``max_points`` of a curve's points, ends included, evenly along its length."""
    if max_points is None:
        return x, y
    if max_points < 2:
        raise ParameterError(f"max_points must be 2 or more, not {max_points}")
    if len(x) <= max_points:
        return x, y
    length = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], max_points)))
    return x[kept], y[kept]


def _alarms(
    scores: npt.ArrayLike, labels: npt.ArrayLike, threshold: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which scores reach the threshold, and which labels are positive, both flat."""
    flat, anomalous = check_scores_and_labels(scores, labels)
    if np.isnan(threshold):
        raise ParameterError("the threshold is NaN: it must be a number")
    if not np.isfinite(flat).all():
        raise DataError("scores must be finite numbers: they hold NaN or infinity")
    # A float64 scalar, since a Python float would be rounded to the precision of the scores.
    return flat >= np.float64(threshold), anomalous
