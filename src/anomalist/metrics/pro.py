"""Per-region overlap: how much of each defect is found, large and small ones counting alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError, ParameterError
from anomalist.metrics.classification import Curve, thin
from anomalist.metrics.ranking import FPR_LIMIT, Ranking, check_binary, rank
from anomalist.metrics.regions import find_regions


@overload
def pro(maps: npt.ArrayLike, masks: npt.ArrayLike, fpr_limit: float = FPR_LIMIT) -> float: ...


@overload
def pro(
    maps: npt.ArrayLike, masks: npt.ArrayLike, fpr_limit: Sequence[float] | npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]: ...


def pro(
    maps: npt.ArrayLike,
    masks: npt.ArrayLike,
    fpr_limit: float | Sequence[float] | npt.NDArray[np.float64] = FPR_LIMIT,
) -> float | npt.NDArray[np.float64]:
    """Area under the per-region-overlap curve up to a false positive rate, divided by that rate.

    A region is an 8-connected part of a mask; the overlap at a threshold is the share of a
    region's pixels that reach it, averaged over the regions of all images. The false positive
    rate is over all normal pixels, those of good images included. Exact over all thresholds.

    Parameters
    ----------
    maps : array of shape (N, H, W)
        Finite numbers, higher where more anomalous.
    masks : array of shape (N, H, W)
        True or 1 where a pixel is defective, False or 0 where it is normal.
    fpr_limit : float, or sequence of K floats
        Where the curve is cut off, above 0 and at most 1. Several cost little more than one.

    Returns
    -------
    float, or array of shape (K,)
        From 0 to 1.

    Raises
    ------
    DataError
        If shapes differ or aren't (N, H, W), a map value is NaN or infinite, a mask value is
        neither 0 nor 1, or the masks hold no defective or no normal pixel.
    ParameterError
        If ``fpr_limit`` isn't above 0 and at most 1.

    References
    ----------
    Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129 (2021).

    Examples
    --------
    >>> import numpy as np
    >>> masks = np.zeros((1, 4, 4), dtype=bool)
    >>> masks[0, :2, :2] = True
    >>> maps = np.arange(16.0, 0.0, -1.0).reshape(1, 4, 4)
    >>> round(pro(maps, masks), 4)
    0.7222
    >>> pro(maps, masks, [0.05, 0.3]).round(4)
    array([0.5   , 0.7222])
    """
    limits = check_fpr_limits(fpr_limit)
    ranking = _rank_regions(maps, masks)
    if limits.ndim == 0:
        return float(ranking.pro(float(limits)))
    return np.array([float(ranking.pro(limit)) for limit in limits.tolist()])


def pro_curve(maps: npt.ArrayLike, masks: npt.ArrayLike, *, max_points: int | None = None) -> Curve:
    """Corners of the per-region-overlap curve, joined by straight lines.

    Parameters
    ----------
    maps : array of shape (N, H, W)
        Finite numbers, higher where more anomalous.
    masks : array of shape (N, H, W)
        True or 1 where a pixel is defective, False or 0 where it is normal.
    max_points : int, optional
        Keep this many points at most, spread evenly along the curve, for a plot.

    Returns
    -------
    false_positive_rate, overlap : arrays of shape (K,)
        From (0, 0) to (1, 1), both ascending.

    Raises
    ------
    DataError
        As for `pro`.
    ParameterError
        If ``max_points`` is less than 2.

    Examples
    --------
    >>> import numpy as np
    >>> masks = np.zeros((1, 2, 2), dtype=bool)
    >>> masks[0, 0] = True
    >>> fpr, overlap = pro_curve(np.array([[[4.0, 2.0], [3.0, 1.0]]]), masks)
    >>> fpr.tolist(), overlap.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    return thin(*pro_points(_rank_regions(maps, masks)), max_points)


def pro_points(ranking: Ranking) -> Curve:
    """Corners of the per-region-overlap curve of a ranking."""
    assert ranking.overlap is not None
    fp, overlap = ranking.vertices(np.minimum(ranking.overlap, 1.0))
    return fp / ranking.n_negative, overlap


def check_fpr_limit(fpr_limit: float) -> None:
    """Refuse a limit at which the area means nothing."""
    if not 0 < fpr_limit <= 1:
        raise ParameterError(f"fpr_limit must be above 0 and at most 1, not {fpr_limit}")


def check_fpr_limits(fpr_limit: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return a limit or several as an array of shape () or (K,), if each means something."""
    limits = np.asarray(fpr_limit, dtype=np.float64)
    if limits.ndim > 1:
        raise ParameterError(f"fpr_limit must be a number or several, not of shape {limits.shape}")
    for limit in limits.reshape(-1).tolist():
        check_fpr_limit(limit)
    return limits


def extra_limits(pro_limits: Iterable[float]) -> tuple[float, ...]:
    """Return the limits that have a metric of their own, ascending: each once, but for `FPR_LIMIT`.

    Raises
    ------
    ParameterError
        If a limit isn't above 0 and at most 1, or two can't be told apart by name.

    Examples
    --------
    >>> extra_limits([0.3, 0.1, 0.05, 0.1])
    (0.05, 0.1)
    """
    limits = sorted({float(limit) for limit in pro_limits} - {FPR_LIMIT})
    for limit in limits:
        check_fpr_limit(limit)
    named = {f"{limit:g}": limit for limit in [*limits, FPR_LIMIT]}
    if len(named) <= len(limits):
        raise ParameterError(f"give limits of at most six digits, not {limits}")
    return tuple(limits)


def _rank_regions(maps: npt.ArrayLike, masks: npt.ArrayLike) -> Ranking:
    masks = check_binary(np.asarray(masks), "masks")
    if masks.ndim != 3:
        raise DataError(f"maps and masks must have shape (N, H, W); masks have {masks.shape}")
    return rank(maps, masks, find_regions(masks).weights)
