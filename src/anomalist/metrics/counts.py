"""How many pixels of each image reach thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.metrics.pixels import Pixels
from anomalist.metrics.ranking import Array, check_finite
from anomalist.metrics.sorting import sort_scores
from anomalist.metrics.threads import THREADS, threaded_map

_FEW = 4
"""Thresholds up to which comparing all pixels is faster than sorting them."""


@dataclass(frozen=True, eq=False)
class Counts:
    """What each of N images has at each of K thresholds, descending.

    Parameters
    ----------
    tp, fp : array of shape (N, K)
        Defective and normal pixels at the threshold or above.
    fp_above : array of shape (N, K)
        Normal pixels above the threshold.
    found : array of shape (N, K), or None
        Sum over regions of the share that is at the threshold or above.
    """

    tp: Array
    fp: Array
    fp_above: Array
    found: npt.NDArray[np.float64] | None


def count_images(pixels: Pixels, thresholds: npt.ArrayLike) -> Counts:
    """Count the pixels of each image at thresholds, given in descending order."""
    ascending = np.atleast_1d(np.asarray(thresholds))[::-1]
    pieces = [pixels.pieces(image) for image in range(len(pixels))]

    def count(share: Sequence[int]) -> Iterator[tuple[int, tuple[Array, Array, Array, Array]]]:
        sizes = [(p[2] - p[1]) * pixels.shapes[i][1] for i in share for p in pieces[i]]
        most = max(sizes, default=0)
        buffer, spare = np.empty(most, pixels.dtype), np.empty(most, pixels.dtype)
        for image in share:
            at_least = np.zeros(len(ascending), np.int64)
            above = np.zeros(len(ascending), np.int64)
            for piece in pieces[image]:
                more, more_above = _reached(pixels.fill([piece], buffer), spare, ascending)
                at_least += more
                above += more_above
            values, shares = pixels.positives(image)
            order = np.argsort(values)
            tp = len(values) - np.searchsorted(values, ascending, sorter=order)
            tp_above = len(values) - np.searchsorted(values, ascending, "right", sorter=order)
            found = np.concatenate([[0.0], np.cumsum(shares[order][::-1])])[tp]
            yield image, (tp, at_least - tp, above - tp_above, found)

    counted = dict(_in_shares(count, len(pixels)))
    columns = zip(*(counted[i] for i in range(len(pixels))), strict=True)
    return Counts(*(np.array(column)[:, ::-1] for column in columns))


def _in_shares(function: Callable[[Sequence[int]], Iterator[Any]], n: int) -> Iterator[Any]:
    """Yield what a function yields of a thread's share of ``n`` images, thread after thread."""
    shares = [range(i, n, THREADS) for i in range(min(THREADS, n))]
    for results in threaded_map(lambda share: list(function(share)), shares):
        yield from results


def _reached(values: Array, spare: Array, ascending: Array) -> tuple[Array, Array]:
    """How many values are at least, and how many above each threshold; they are lost."""
    if len(ascending) <= _FEW:
        counts = [(np.count_nonzero(values >= t), np.count_nonzero(values > t)) for t in ascending]
        at_least, above = np.array(counts, np.int64).reshape(-1, 2).T
        return at_least, above
    ordered = sort_scores(values, spare)
    check_finite(ordered)
    return (
        len(ordered) - np.searchsorted(ordered, ascending),
        len(ordered) - np.searchsorted(ordered, ascending, "right"),
    )
