"""How far a metric would move with other test images: percentile intervals by the bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError, ParameterError
from anomalist.metrics.counts import Counts, count_images
from anomalist.metrics.pimo import PerImageOverlap
from anomalist.metrics.pixels import Pixels
from anomalist.metrics.ranking import Array, Ranking, check_binary, rank
from anomalist.metrics.summary import Summary, rank_pixels

METRICS = ("AUROC", "AP", "F1Score", "PRO")

MAX_THRESHOLDS = 2048
"""Thresholds at which the pixels of each image are counted for a resample."""

BATCH = 250
"""Resamples computed at a time, which bounds memory."""

Interval = tuple[float, float]


def bootstrap_interval(
    metric: str,
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a metric over resampled images.

    Whole images are drawn with replacement, pixels of one image being anything but independent.
    Normal and anomalous images (those with a defective pixel) are drawn apart, so every resample
    has as many of either as the data. Image metrics are exact in each resample. Pixel metrics
    are counted at up to 2,048 thresholds, quantiles of normal and of defective pixels, and the
    interval is shifted by what that changes in the value on all images: the interval is binned,
    never the value that it belongs to.

    Parameters
    ----------
    metric : str
        ``"AUROC"``, ``"AP"``, ``"F1Score"`` (the best over all thresholds) or ``"PRO"`` (to a
        false positive rate of 0.3).
    scores : array of shape (N,) or (N, H, W)
        Image scores, or maps for a pixel metric.
    labels : array of the same shape
        Image labels, or masks for a pixel metric.
    n_bootstrap : int
        Number of resamples.
    level : float
        Share of resamples inside the interval.
    seed : int
        Seed of the draw.

    Returns
    -------
    low, high : float
        Ends of the interval.

    Raises
    ------
    DataError
        If the metric itself is undefined on this data.
    ParameterError
        If the metric is unknown, ``n_bootstrap`` is less than 1, or ``level`` isn't between
        0 and 1.

    References
    ----------
    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.

    Examples
    --------
    >>> scores = [0.1, 0.2, 0.3, 0.4, 0.35, 0.6, 0.7, 0.8]
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> bootstrap_interval("AUROC", scores, labels)
    (0.75, 1.0)
    """
    scores, labels = np.asarray(scores), check_binary(np.asarray(labels))
    if metric not in METRICS:
        raise ParameterError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}")
    if labels.ndim not in (1, 3) or (metric == "PRO" and labels.ndim == 1):
        wanted = "(N, H, W)" if metric == "PRO" else "(N,) or (N, H, W)"
        raise DataError(f"{metric} needs scores and labels of shape {wanted}, not {labels.shape}")
    options = n_bootstrap, level, seed
    if labels.ndim == 1:
        return score_intervals(Summary.of([rank(scores, labels)]), scores, labels, *options)[metric]
    pixels = Pixels.of_arrays(scores, labels)
    return pixel_intervals(Summary.of(rank_pixels(pixels)), pixels, *options)[metric]


def score_intervals(
    summary: Summary,
    scores: Array,
    labels: npt.NDArray[np.bool_],
    n_bootstrap: int,
    level: float,
    seed: int,
) -> dict[str, Interval]:
    """Intervals of every metric of image scores, of which ``summary`` is."""
    check_resampling(n_bootstrap, level)
    draws = draw_resamples(labels, n_bootstrap, seed)
    return _intervals(summary, resampled_scores(summary, scores, labels, draws), level)


def resampled_scores(
    summary: Summary,
    scores: Array,
    labels: npt.NDArray[np.bool_],
    draws: npt.NDArray[np.int64],
) -> dict[str, Array]:
    """Metrics of image scores in resamples, as `resampled` gives them."""
    ranking = summary.outline
    reached = scores[:, None] >= ranking.thresholds
    above = scores[:, None] > ranking.thresholds
    positive = labels[:, None]
    counts = Counts(reached & positive, reached & ~positive, above & ~positive, None)
    one = np.ones(len(scores), np.int64)
    return resampled(summary, ranking, counts, labels * one, one, draws)


def pixel_intervals(
    summary: Summary, pixels: Pixels, n_bootstrap: int, level: float, seed: int
) -> dict[str, Interval]:
    """Intervals of every metric of pixels, of which ``summary`` is."""
    check_resampling(n_bootstrap, level)
    draws = draw_resamples(pixels.n_positive > 0, n_bootstrap, seed)
    return _intervals(summary, resampled_pixels(summary, pixels, draws), level)


def resampled_pixels(
    summary: Summary, pixels: Pixels, draws: npt.NDArray[np.int64]
) -> dict[str, Array]:
    """Metrics of pixels in resamples, as `resampled` gives them."""
    ranking = summary.outline
    binned = len(ranking.thresholds) > MAX_THRESHOLDS
    if binned:
        ranking = ranking.rows(ranking.quantiles(MAX_THRESHOLDS))
    counts = count_images(pixels, ranking.thresholds)
    if binned:
        # All that lies between two thresholds counts as tied.
        above = np.concatenate([np.zeros_like(counts.fp[:, :1]), counts.fp[:, :-1]], axis=1)
        counts = replace(counts, fp_above=above)
    return resampled(summary, ranking, counts, pixels.n_positive, pixels.n_pixels, draws)


def _intervals(summary: Summary, found: dict[str, Array], level: float) -> dict[str, Interval]:
    return {name: ends(exact, found[name], level) for name, exact in summary.values.items()}


def resampled(
    summary: Summary,
    ranking: Ranking,
    counts: Counts,
    n_positive: npt.NDArray[np.int64],
    n: npt.NDArray[np.int64],
    draws: npt.NDArray[np.int64],
) -> dict[str, Array]:
    """Metrics by name, (1 + B,), from the counts of each image at the thresholds of a ranking.

    The first is that of the data itself, which tells what the binning costs; the others are those
    of resamples that hold each image as often as ``draws``, (B, N), says.
    """
    draws = np.concatenate([np.ones((1, len(n)), np.int64), draws])
    # Rows of (images, thresholds); a resample's counts are sums of rows, so one product each.
    tp, fp, fp_above = (c.astype(np.float64) for c in (counts.tp, counts.fp, counts.fp_above))
    batches = []
    for start in range(0, len(draws), BATCH):
        times = draws[start : start + BATCH].astype(np.float64)
        overlap = None
        if counts.found is not None:
            regions = times @ counts.found
            overlap = regions / regions[:, -1:]
        drawn = Ranking(
            thresholds=ranking.thresholds,
            tp=times @ tp,
            fp=times @ fp,
            fp_above=times @ fp_above,
            n_positive=times @ n_positive[:, None],
            n_negative=times @ (n - n_positive)[:, None],
            overlap=overlap,
        )
        # A resample of images without a normal pixel has no false positive rate.
        with np.errstate(invalid="ignore"):
            batches.append(drawn.values(summary.pro_limits))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def overlap_interval(
    overlap: PerImageOverlap, n_bootstrap: int, level: float, seed: int
) -> Interval:
    """Interval of AUPIMO, good images and those with defects being drawn apart."""
    check_resampling(n_bootstrap, level)
    known = overlap.good | overlap.defective
    times = np.zeros((1 + n_bootstrap, len(known)), np.int64)
    times[0] = known
    times[1:, known] = draw_resamples(overlap.defective[known], n_bootstrap, seed)
    values = [overlap.resampled(times[i : i + BATCH]) for i in range(0, len(times), BATCH)]
    return ends(overlap.mean, np.concatenate(values), level)


def ends(exact: float, values: Array, level: float) -> Interval:
    """Interval of a value, of resamples of which the first is the data itself, binned like them."""
    low, high = np.nanquantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    low, high = low + exact - values[0], high + exact - values[0]
    return max(float(low), 0.0), min(float(high), 1.0)


def check_resampling(n_bootstrap: int, level: float) -> None:
    """Refuse what gives no interval."""
    if n_bootstrap < 1:
        raise ParameterError(f"n_bootstrap must be 1 or more, not {n_bootstrap}")
    if not 0 < level < 1:
        raise ParameterError(f"level must be between 0 and 1, not {level}")


def f1_interval(
    alarms: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the F1 of decisions that are made already, at a threshold that stays.

    Images are drawn with replacement, defective and good ones apart, as by `bootstrap_interval`;
    the pixels of an image stay together.

    Parameters
    ----------
    alarms : bool array of shape (N,) or (N, H, W)
        True where an alarm is raised.
    labels : bool array of the same shape
        True where there is a defect.
    n_bootstrap : int
        Number of resamples.
    level : float
        Share of resamples inside the interval.
    seed : int
        Seed of the resampling.

    Returns
    -------
    low, high : float

    Raises
    ------
    DataError
        If shapes differ or there is no defect.

    Examples
    --------
    >>> low, high = f1_interval([True, False, True, True], [True, True, True, False])
    >>> low < 2 / 3 < high
    True
    """
    alarms, truth = np.asarray(alarms, bool), np.asarray(labels, bool)
    if alarms.shape != truth.shape or not truth.any():
        raise DataError(
            f"alarms {alarms.shape} and labels {truth.shape} must have one shape and a defect"
        )
    alarms, truth = alarms.reshape(len(alarms), -1), truth.reshape(len(truth), -1)
    hits, alarmed = (alarms & truth).sum(axis=1), alarms.sum(axis=1)
    return f1_interval_of(hits, alarmed, truth.sum(axis=1), n_bootstrap, level, seed)


def f1_interval_of(
    hits: npt.NDArray[np.int64],
    alarms: npt.NDArray[np.int64],
    positives: npt.NDArray[np.int64],
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of F1 by what each image has of right alarms, of alarms and of positives."""
    times = draw_resamples(positives > 0, n_bootstrap, seed)
    total = times @ (alarms + positives)
    low, high = np.quantile(2 * (times @ hits) / total, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def draw_resamples(
    strata: npt.NDArray[np.bool_ | np.int64], n_bootstrap: int, seed: int
) -> npt.NDArray[np.int64]:
    """How often each resample holds each image, (n_bootstrap, N); strata keep their size."""
    rng = np.random.default_rng(seed)
    draws = np.zeros((n_bootstrap, len(strata)), np.int64)
    for stratum in np.unique(strata):
        images = np.flatnonzero(strata == stratum)
        n = len(images)
        draws[:, images] = rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap)
    return draws
