"""Positives ranked against negatives: the one structure from which every metric is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from anomalist.compiling import njit
from anomalist.errors import DataError
from anomalist.metrics.sorting import sort_scores
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
    before : (int, int, float)
        True and false positives and overlap above the first threshold, of one that goes on where
        another ended. What it adds to a metric is then its share of it.
    """

    thresholds: Array
    tp: Array
    fp: Array
    fp_above: Array
    n_positive: Array
    n_negative: Array
    overlap: npt.NDArray[np.float64] | None = None
    before: tuple[int, int, float] = (0, 0, 0.0)

    def auroc(self) -> Array:
        """Chance that a positive outscores a negative, a tie counting half, of shape (...)."""
        outscored_twice = 2 * self.n_negative - self.fp - self.fp_above
        outscored = (np.diff(self.tp, prepend=self.before[0]) * outscored_twice).sum(
            axis=-1, keepdims=True
        )
        area: Array = outscored / (2 * self.n_positive * self.n_negative)
        return area[..., 0]

    def average_precision(self) -> Array:
        """Precision averaged over positives, of shape (...)."""
        precision = self.tp / np.maximum(self.tp + self.fp, 1)
        summed = (np.diff(self.tp, prepend=self.before[0]) * precision).sum(axis=-1, keepdims=True)
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
        _, fp, overlap = self.before
        before = np.concatenate(
            [np.full_like(self.overlap[..., :1], overlap), self.overlap], axis=-1
        )
        flat_from = np.concatenate([np.full_like(self.fp[..., :1], fp), self.fp], axis=-1)
        # After the last positive come negatives alone.
        whole = self.tp[..., -1:] == self.n_positive
        end = np.where(whole, self.n_negative, self.fp[..., -1:])
        flat_to = np.concatenate([self.fp_above, end], axis=-1)
        flat = before * (np.minimum(flat_to, limit) - np.minimum(flat_from, limit))
        # Where negatives tie with positives the curve climbs, perhaps past the limit.
        tied = self.fp - self.fp_above
        inside = np.minimum(self.fp, limit) - np.minimum(self.fp_above, limit)
        gain = (self.overlap - before[..., :-1]) * inside / np.maximum(tied, 1)
        climb = inside * (before[..., :-1] + gain / 2)
        area = flat.sum(axis=-1, keepdims=True) + climb.sum(axis=-1, keepdims=True)
        mean: Array = area / limit
        return mean[..., 0]

    def values(self, pro_limits: Sequence[float] = ()) -> dict[str, Array]:
        """Every metric that the ranking gives, by name, each of shape (...).

        Of ``pro_limits`` each gives ``PRO_<limit>``, beside PRO.
        """
        values = {
            "AUROC": self.auroc(),
            "AP": self.average_precision(),
            "F1Score": self.f1().max(axis=-1),
        }
        if self.overlap is not None:
            values["PRO"] = self.pro(FPR_LIMIT)
            values |= {f"PRO_{limit:g}": self.pro(limit) for limit in pro_limits}
        return values

    def quantiles(self, n: int) -> npt.NDArray[np.intp]:
        """Return up to ``n`` rows, the last one too, that split positives and negatives evenly."""
        if len(self.thresholds) <= n:
            return np.arange(len(self.thresholds))
        by_tp = np.searchsorted(self.tp, np.linspace(self.before[0] + 1, self.tp[-1], n // 2))
        by_fp = np.searchsorted(self.fp, np.linspace(self.before[1], self.fp[-1], n // 2))
        return np.unique(np.concatenate([by_tp, by_fp]))

    def rows(self, chosen: npt.NDArray[np.intp]) -> Ranking:
        """Return some rows, as they are."""
        columns = {name: getattr(self, name) for name in _COLUMNS}
        taken: dict[str, Any] = {n: None if c is None else c[chosen] for n, c in columns.items()}
        return replace(self, **taken)

    @classmethod
    def join(cls, parts: Sequence[Ranking]) -> Ranking:
        """Put parts of one ranking together, the highest thresholds first."""
        columns = {name: [getattr(part, name) for part in parts] for name in _COLUMNS}
        joined: dict[str, Any] = {
            n: None if c[0] is None else np.concatenate(c) for n, c in columns.items()
        }
        return replace(parts[0], **joined)

    def vertices(self, heights: Array) -> tuple[Array, Array]:
        """Corners (false positives, height) of a curve that has ``heights`` at the thresholds."""
        x = np.stack([self.fp_above, self.fp], axis=-1).ravel()
        y = np.stack([np.concatenate([heights[:1] * 0, heights[:-1]]), heights], axis=-1).ravel()
        x = np.concatenate([[0], x, self.n_negative])
        y = np.concatenate([[0], y, heights[-1:]])
        corner = np.concatenate([[True], (np.diff(x) != 0) | (np.diff(y) != 0)])
        return x[corner], y[corner]


_COLUMNS = ("thresholds", "tp", "fp", "fp_above", "overlap")


class Scored(Protocol):
    """Scores that are read some at a time."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds each score and sorts fast."""

    @property
    def n(self) -> int:
        """Number of scores."""

    @property
    def chunks(self) -> Sequence[Any]:
        """What `fill` takes, for all scores in all."""

    @property
    def longest(self) -> int:
        """Number of scores that a chunk can have."""

    def fill(self, chunk: Any, buffer: Array) -> Array:
        """Write the scores of a chunk to a buffer, and return the part of it that was written."""


class Flat:
    """Scores in an array as `Scored`."""

    def __init__(self, scores: Array) -> None:
        self._scores = scores
        self.dtype, self.n = sortable(scores.dtype), len(scores)
        self.longest = min(CHUNK, self.n)
        self.chunks = range(0, self.n, CHUNK)

    def fill(self, chunk: int, buffer: Array) -> Array:
        """Write the scores from one on."""
        filled = buffer[: self.n - chunk]
        filled[:] = self._scores[chunk : chunk + len(filled)]
        return filled


def rank(
    scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.NDArray[np.float64] | None = None
) -> Ranking:
    """Rank positives among negatives, with ``weights`` of the P positives that sum to overlap 1."""
    scores, labels = check_scores_and_labels(scores, labels)
    positives = scores[labels].astype(sortable(scores.dtype), copy=False)
    check_both(len(positives), len(scores))
    return rank_among(Flat(scores), positives, weights, len(positives))


def rank_among(
    scored: Scored,
    positives: Array,
    weights: npt.NDArray[np.float64] | None,
    n_positive: int,
    high: Any = None,
    before: tuple[int, int, float] = (0, 0, 0.0),
) -> Ranking:
    """Rank positives, all or those of a range of scores, among all scores.

    Parameters
    ----------
    scored : Scored
        All scores, those of positives included.
    positives : array of shape (P,)
        The scores of positives that are ranked.
    weights : array of shape (P,), optional
        What each adds to the overlap.
    n_positive : int
        Number of positives in all.
    high : number, optional
        Where the range ends: all positives from there on were ranked before.
    before : (int, int, float)
        True and false positives and overlap from ``high`` on.
    """
    order = None if weights is None else np.argsort(positives)
    ascending = np.sort(positives) if order is None else positives[order]
    check_finite(ascending)
    first = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    tp = before[0] + len(positives) - first
    at_least, above = _count(scored, ascending[first], high)
    overlap = None
    if weights is not None:
        overlap = np.cumsum(weights[order][::-1])[len(positives) - 1 - first[::-1]] + before[2]
    return Ranking(
        thresholds=ascending[first][::-1],
        tp=tp[::-1],
        fp=(at_least - tp)[::-1],
        fp_above=(above - np.append(tp[1:], before[0]))[::-1],
        n_positive=np.array([n_positive]),
        n_negative=np.array([scored.n - n_positive]),
        overlap=overlap,
        before=before,
    )


def check_both(n_positive: int, n: int) -> None:
    """Refuse scores of one class alone."""
    if n_positive in (0, n):
        kind = "negative (0)" if n_positive == 0 else "positive (1)"
        raise DataError(f"all {n} labels are {kind}: the metric needs both classes")


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


def _count(
    scored: Scored, thresholds: Array, high: Any = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count the scores at or above, and those above, each of the ascending thresholds.

    All thresholds are below ``high``.
    """
    # Half the memory, and every thread has its own.
    dtype = np.uint32 if scored.n < 1 << 32 else np.int64
    low = thresholds[0]
    limit = thresholds.dtype.type(0) if high is None else thresholds.dtype.type(high)

    def count(chunks: Sequence[Any]) -> tuple[Array, Array]:
        buffer = np.empty(scored.longest, thresholds.dtype)
        spare = np.empty_like(buffer)
        at_least, above = np.zeros(len(thresholds), dtype), np.zeros(len(thresholds), dtype)
        for chunk in chunks:
            values = scored.fill(chunk, buffer)
            beyond = 0
            if high is not None:
                kept, beyond = _keep(values, low, limit)
                values = values[:kept]
            ordered = sort_scores(values, spare)
            check_finite(ordered)
            _add_counts(ordered, thresholds, at_least, above, beyond)
        return at_least, above

    chunks = scored.chunks
    shares = [chunks[i::THREADS] for i in range(min(THREADS, len(chunks)))]
    counts = list(threaded_map(count, shares))
    for other in counts[1:]:
        for total, more in zip(counts[0], other, strict=True):
            total += more
    return counts[0][0].astype(np.int64), counts[0][1].astype(np.int64)


@njit()
def _keep(values: Array, low: Any, high: Any) -> tuple[int, int]:
    """Bring the values in a range to the front; how many they are, and how many lie beyond."""
    kept = beyond = 0
    for i in range(len(values)):
        value = values[i]
        if value >= high:
            beyond += 1
        elif not value < low:
            values[kept] = value
            kept += 1
    return kept, beyond


@njit()
def _add_counts(
    ascending: Array, thresholds: Array, at_least: Array, above: Array, beyond: int
) -> None:
    """Add to each threshold's counts in one pass over both sorted arrays."""
    n = len(ascending)
    i = 0
    for k in range(len(thresholds)):
        threshold = thresholds[k]
        while i < n and ascending[i] < threshold:
            i += 1
        at_least[k] += n - i + beyond
        while i < n and ascending[i] == threshold:
            i += 1
        above[k] += n - i + beyond
