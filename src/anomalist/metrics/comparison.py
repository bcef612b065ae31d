"""Whether one detector really beats another: paired tests on the same test images.

Both detectors are taken as they are, fitted. The tests tell what other test images might have
shown, not what another seed or other training images would have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError, ParameterError
from anomalist.metrics.bootstrap import Interval, draw_resamples
from anomalist.metrics.ranking import Array, check_binary, sortable

Metric = Callable[[Array, npt.NDArray[np.bool_]], float]


@dataclass(frozen=True)
class Comparison:
    """How far detector a lies above detector b, and how sure that is.

    Parameters
    ----------
    difference : float
        The metric of a minus that of b.
    interval : (float, float)
        Interval of the difference.
    p_value : float
        Two-sided, of the hypothesis that there is no difference.
    standard_error : float
        Of the difference.
    level : float
        Share of samples of images whose interval would hold the true difference.
    """

    difference: float
    interval: Interval
    p_value: float
    standard_error: float
    level: float = 0.95


def delong_test(
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    level: float = 0.95,
) -> Comparison:
    """Compare the AUROC of two detectors on the same N images, by DeLong's test.

    Parameters
    ----------
    scores_a, scores_b : array of shape (N,)
        Finite image scores of either detector, higher where more anomalous.
    labels : array of shape (N,)
        True or 1 where anomalous, False or 0 where normal.
    level : float
        Level of the interval.

    Returns
    -------
    Comparison
        Where no image speaks for a difference, as with two perfect detectors, the variance is
        zero: the interval is then the difference alone, and the p-value 1 if that is zero, else 0.

    Raises
    ------
    DataError
        If shapes differ, a score is NaN or infinite, a label is neither 0 nor 1, or there are
        fewer than two images of either class.
    ParameterError
        If ``level`` isn't between 0 and 1.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver
    operating characteristic curves: a nonparametric approach", Biometrics 44 (1988); Sun and Xu,
    "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21 (2014), on
    ranks in place of all pairs.

    Examples
    --------
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> a = [0.1, 0.2, 0.3, 0.5, 0.4, 0.6, 0.7, 0.8]
    >>> b = [0.2, 0.6, 0.1, 0.7, 0.3, 0.5, 0.8, 0.9]
    >>> result = delong_test(a, b, labels)
    >>> result.difference, round(result.p_value, 3)
    (0.1875, 0.268)
    >>> [round(end, 3) for end in result.interval]
    [-0.144, 0.519]
    """
    a, b, anomalous = _check(scores_a, scores_b, labels)
    of_positives_a, of_negatives_a = _placements(a, anomalous)
    of_positives_b, of_negatives_b = _placements(b, anomalous)
    n_positive, n_negative = len(of_positives_a), len(of_negatives_a)
    if min(n_positive, n_negative) < 2:
        raise DataError(
            f"{n_positive} anomalous and {n_negative} normal images: a variance needs two of each"
        )
    # Whole numbers until here, so that what cancels cancels exactly.
    gain_positive = (of_positives_a - of_positives_b) / (2 * n_negative)
    gain_negative = (of_negatives_a - of_negatives_b) / (2 * n_positive)
    variance = gain_positive.var(ddof=1) / n_positive + gain_negative.var(ddof=1) / n_negative
    return _normal(float(gain_positive.mean()), math.sqrt(variance), level)


def paired_bootstrap(
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    labels: npt.ArrayLike,
    metric: Metric,
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare any image metric of two detectors on the same N images, by resampling these.

    Both detectors are measured on the same resamples, which are drawn as for
    `bootstrap_interval`: normal and anomalous images apart, with replacement.

    Parameters
    ----------
    scores_a, scores_b : array of shape (N,)
        Finite image scores of either detector, higher where more anomalous.
    labels : array of shape (N,)
        True or 1 where anomalous, False or 0 where normal.
    metric : callable
        Takes scores and labels, returns a number, such as `average_precision`.
    n_bootstrap : int
        Number of resamples.
    level : float
        Share of resamples inside the interval, whose ends are percentiles.
    seed : int
        Seed of the draw.

    Returns
    -------
    Comparison
        The p-value is twice the share of resamples on the rarer side of zero, never below
        2 / (n_bootstrap + 1).

    Raises
    ------
    DataError
        If shapes differ, a score is NaN or infinite, or a label is neither 0 nor 1; and whatever
        the metric raises, such as for labels that are all the same.
    ParameterError
        If ``n_bootstrap`` is less than 2 or ``level`` isn't between 0 and 1.

    References
    ----------
    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 13 and 15.

    Examples
    --------
    >>> from anomalist.metrics import average_precision
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> a = [0.1, 0.2, 0.3, 0.5, 0.4, 0.6, 0.7, 0.8]
    >>> b = [0.2, 0.6, 0.1, 0.7, 0.3, 0.5, 0.8, 0.9]
    >>> result = paired_bootstrap(a, b, labels, average_precision)
    >>> round(result.difference, 4), 0.05 < result.p_value < 0.5
    (0.1333, True)
    """
    a, b, anomalous = _check(scores_a, scores_b, labels)
    if n_bootstrap < 2:
        raise ParameterError(f"n_bootstrap must be 2 or more, not {n_bootstrap}")
    _check_level(level)
    difference = float(metric(a, anomalous) - metric(b, anomalous))
    images = np.arange(len(anomalous))
    resampled = np.empty(n_bootstrap)
    for i, times in enumerate(draw_resamples(anomalous, n_bootstrap, seed)):
        drawn = np.repeat(images, times)
        truth = anomalous[drawn]
        resampled[i] = metric(a[drawn], truth) - metric(b[drawn], truth)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    rarer = int(min(np.count_nonzero(resampled <= 0), np.count_nonzero(resampled >= 0)))
    return Comparison(
        difference=difference,
        interval=(float(low), float(high)),
        p_value=min(1.0, 2 * (rarer + 1) / (n_bootstrap + 1)),
        standard_error=float(resampled.std(ddof=1)),
        level=level,
    )


def mean_difference(comparisons: Sequence[Comparison]) -> Comparison:
    """Combine comparisons on independent sets of images, such as categories, into their mean.

    Every category weighs the same, as in the mean of a results table. The mean of the differences
    has the sum of their variances over the square of their number, and is taken as normal.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Of the same two detectors and metric, one a category.

    Raises
    ------
    ParameterError
        If there is none, or they have different levels.

    Examples
    --------
    >>> bottle = Comparison(0.02, (-0.02, 0.06), 0.33, standard_error=0.02)
    >>> screw = Comparison(0.06, (0.02, 0.10), 0.003, standard_error=0.02)
    >>> both = mean_difference([bottle, screw])
    >>> both.difference, round(both.standard_error, 4), round(both.p_value, 4)
    (0.04, 0.0141, 0.0047)
    """
    levels = {comparison.level for comparison in comparisons}
    if len(levels) != 1:
        found = ", ".join(map(str, sorted(levels))) or "no comparison at all"
        raise ParameterError(f"comparisons to combine must have one level, not {found}")
    differences = [comparison.difference for comparison in comparisons]
    error = math.hypot(*(comparison.standard_error for comparison in comparisons))
    mean = math.fsum(differences) / len(differences)
    return _normal(mean, error / len(differences), levels.pop())


def _normal(difference: float, standard_error: float, level: float) -> Comparison:
    """Interval and p-value of a difference that is normally distributed."""
    _check_level(level)
    half = NormalDist().inv_cdf((1 + level) / 2) * standard_error
    if standard_error:
        p_value = math.erfc(abs(difference) / standard_error / math.sqrt(2))
    else:
        p_value = float(difference == 0)
    interval = (difference - half, difference + half)
    return Comparison(difference, interval, p_value, standard_error, level)


def _placements(
    scores: Array, anomalous: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Twice how many images of the other class each image is in the right order with, ties half."""
    positives, negatives = np.sort(scores[anomalous]), np.sort(scores[~anomalous])

    def twice_below(values: Array, others: Array) -> npt.NDArray[np.int64]:
        return np.searchsorted(others, values) + np.searchsorted(others, values, side="right")

    of_positives = twice_below(scores[anomalous], negatives)
    of_negatives = 2 * len(positives) - twice_below(scores[~anomalous], positives)
    return of_positives, of_negatives


def _check(
    scores_a: npt.ArrayLike, scores_b: npt.ArrayLike, labels: npt.ArrayLike
) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    anomalous = check_binary(np.asarray(labels))
    checked = []
    for name, values in (("a", scores_a), ("b", scores_b)):
        scores = np.asarray(values)
        if scores.ndim != 1 or scores.shape != anomalous.shape:
            raise DataError(
                f"scores of {name} have shape {scores.shape}, labels {anomalous.shape}:"
                " a comparison needs one of each an image, (N,)"
            )
        if scores.dtype.kind not in "biuf" or scores.dtype.itemsize > 8:
            raise DataError(f"scores must be real numbers of up to 64 bits, not {scores.dtype}")
        if not np.isfinite(scores).all():
            raise DataError(f"scores of {name} must be finite numbers: they hold NaN or infinity")
        checked.append(scores.astype(sortable(scores.dtype), copy=False))
    return checked[0], checked[1], anomalous


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ParameterError(f"level must be between 0 and 1, not {level}")
