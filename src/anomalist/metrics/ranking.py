"""Positives ranked against negatives: the one structure from which every metric is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.compiling import njit
from anomalist.errors import DataError
from anomalist.metrics.threads import THREADS, threaded_map

Array = npt.NDArray[Any]

FPR_LIMIT = 0.3
"""Where the field cuts the per-region-overlap curve off."""

CHUNK = 1 << 22
"""Scores that a thread sorts at a time: 16 MB of float32."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """What lies at and above each distinct value of the K that positives take.

    Between two such values only false positives are added, so these K rows say all that the
    ROC, precision-recall and per-region-overlap curves hold. Counts may have leading axes, one
    row per resample.

    Parameters
    ----------
    thresholds : array of shape (K,)
        The distinct scores of positives, descending.
    tp, fp : arrays of shape (..., K)
        Positives and negatives that score the threshold or more.
    fp_above : array of shape (..., K)
        Negatives that score more than the threshold.
    n_positive, n_negative : arrays of shape (..., 1)
        All positives and negatives.
    overlap : array of shape (..., K), optional
        Share of a region that scores the threshold or more, averaged over regions.
    """

    thresholds: Array
    tp: Array
    fp: Array
    fp_above: Array
    n_positive: Array
    n_negative: Array
    overlap: npt.NDArray[np.float64] | None = None

    def auroc(self) -> Array:
        """Chance that a positive outscores a negative, a tie counting half, of shape (...)."""
        outscored_twice = 2 * self.n_negative - self.fp - self.fp_above
        outscored = (np.diff(self.tp, prepend=0) * outscored_twice).sum(axis=-1, keepdims=True)
        area: Array = outscored / (2 * self.n_positive * self.n_negative)
        return area[..., 0]

    def average_precision(self) -> Array:
        """Precision averaged over positives, of shape (...)."""
        precision = self.tp / np.maximum(self.tp + self.fp, 1)
        summed = (np.diff(self.tp, prepend=0) * precision).sum(axis=-1, keepdims=True)
        mean: Array = summed / self.n_positive
        return mean[..., 0]

    def f1(self) -> Array:
        """F1 at each threshold, of shape (..., K)."""
        f1: Array = 2 * self.tp / (self.n_positive + self.tp + self.fp)
        return f1

    def pro(self, fpr_limit: float) -> Array:
        """Area under the overlap curve up to ``fpr_limit``, divided by it, of shape (...)."""
        assert self.overlap is not None
        limit = fpr_limit * self.n_negative
        before = np.concatenate([np.zeros_like(self.overlap[..., :1]), self.overlap], axis=-1)
        flat_from = np.concatenate([np.zeros_like(self.fp[..., :1]), self.fp], axis=-1)
        flat_to = np.concatenate([self.fp_above, self.n_negative], axis=-1)
        flat = before * (np.minimum(flat_to, limit) - np.minimum(flat_from, limit))
        # Where negatives tie with positives the curve climbs, perhaps past the limit.
        tied = self.fp - self.fp_above
        inside = np.minimum(self.fp, limit) - np.minimum(self.fp_above, limit)
        gain = (self.overlap - before[..., :-1]) * inside / np.maximum(tied, 1)
        climb = inside * (before[..., :-1] + gain / 2)
        area = flat.sum(axis=-1, keepdims=True) + climb.sum(axis=-1, keepdims=True)
        mean: Array = area / limit
        return mean[..., 0]

    def values(self) -> dict[str, Array]:
        """Every metric that the ranking gives, by name, each of shape (...)."""
        values = {
            "AUROC": self.auroc(),
            "AP": self.average_precision(),
            "F1Score": self.f1().max(axis=-1),
        }
        if self.overlap is not None:
            values["PRO"] = self.pro(FPR_LIMIT)
        return values

    def vertices(self, heights: Array) -> tuple[Array, Array]:
        """Corners (false positives, height) of a curve that has ``heights`` at the thresholds."""
        x = np.stack([self.fp_above, self.fp], axis=-1).ravel()
        y = np.stack([np.concatenate([heights[:1] * 0, heights[:-1]]), heights], axis=-1).ravel()
        x = np.concatenate([[0], x, self.n_negative])
        y = np.concatenate([[0], y, heights[-1:]])
        corner = np.concatenate([[True], (np.diff(x) != 0) | (np.diff(y) != 0)])
        return x[corner], y[corner]


def rank(
    scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.NDArray[np.float64] | None = None
) -> Ranking:
    """Rank positives among negatives, with ``weights`` of the P positives that sum to overlap 1."""
    scores, labels = check_scores_and_labels(scores, labels)
    positives = scores[labels].astype(sortable(scores.dtype), copy=False)
    if len(positives) in (0, len(scores)):
        kind = "negative (0)" if len(positives) == 0 else "positive (1)"
        raise DataError(f"all {len(scores)} labels are {kind}: the metric needs both classes")
    order = None if weights is None else np.argsort(positives)
    ascending = np.sort(positives) if order is None else positives[order]
    check_finite(ascending)
    first = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    tp = len(positives) - first
    at_least, above = _count(scores, ascending[first])
    overlap = None
    if weights is not None:
        overlap = np.cumsum(weights[order][::-1])[len(positives) - 1 - first[::-1]]
    return Ranking(
        thresholds=ascending[first][::-1],
        tp=tp[::-1],
        fp=(at_least - tp)[::-1],
        fp_above=(above - np.append(tp[1:], 0))[::-1],
        n_positive=np.array([len(positives)]),
        n_negative=np.array([len(scores) - len(positives)]),
        overlap=overlap,
    )


def check_scores_and_labels(
    scores: npt.ArrayLike, labels: npt.ArrayLike
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Flat scores and flat boolean labels, or a DataError that says what is wrong with them."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.dtype.kind not in "biuf" or scores.dtype.itemsize > 8:
        raise DataError(f"scores must be real numbers of up to 64 bits, not {scores.dtype}")
    if scores.shape != labels.shape:
        raise DataError(f"scores have shape {scores.shape}, labels {labels.shape}")
    if scores.size == 0:
        raise DataError("there are no scores: the metric needs both classes")
    return scores.reshape(-1), check_binary(labels).reshape(-1)


def check_binary(labels: Array, name: str = "labels") -> npt.NDArray[np.bool_]:
    """``labels`` as booleans, if they are all 0 or 1."""
    if labels.dtype == np.bool_:
        return labels
    if labels.dtype.kind not in "iuf":
        raise DataError(f"{name} must be 0 or 1, not of dtype {labels.dtype}")
    positive: npt.NDArray[np.bool_] = labels == 1
    other = labels[~positive & (labels != 0)]
    if other.size:
        raise DataError(f"{name} must be 0 or 1, not {other[0]}")
    return positive


def check_finite(ascending: Array) -> None:
    """Refuse NaN and infinity, which sorting puts at the ends."""
    if ascending.size and not np.isfinite(ascending[[0, -1]]).all():
        raise DataError("scores must be finite numbers: they hold NaN or infinity")


def sortable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Type of 32 or 64 bits that holds every value of ``dtype`` exactly and sorts fast."""
    return dtype.newbyteorder("=") if dtype.itemsize == 8 else np.promote_types(dtype, np.float32)


def _count(scores: Array, thresholds: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count the scores at or above, and those above, each of the ascending thresholds."""

    def count(starts: range) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        buffer = np.empty(min(CHUNK, len(scores)), thresholds.dtype)
        at_least = np.zeros(len(thresholds), np.int64)
        above = np.zeros(len(thresholds), np.int64)
        for start in starts:
            chunk = buffer[: len(scores) - start]
            chunk[:] = scores[start : start + len(chunk)]
            chunk.sort()
            check_finite(chunk)
            _add_counts(chunk, thresholds, at_least, above)
        return at_least, above

    starts = range(0, len(scores), CHUNK)
    shares = [starts[i::THREADS] for i in range(min(THREADS, len(starts)))]
    counts = list(threaded_map(count, shares))
    for other in counts[1:]:
        for total, more in zip(counts[0], other, strict=True):
            total += more
    return counts[0]


@njit()
def _add_counts(ascending: Array, thresholds: Array, at_least: Array, above: Array) -> None:
    """Add to each threshold's counts in one pass over both sorted arrays."""
    n = len(ascending)
    i = 0
    for k in range(len(thresholds)):
        threshold = thresholds[k]
        while i < n and ascending[i] < threshold:
            i += 1
        at_least[k] += n - i
        while i < n and ascending[i] == threshold:
            i += 1
        above[k] += n - i
