"""Vectors put in an order in which each run of neighbours, a leaf, fills a small box."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anomalist.compiling import njit


def leaf_order(
    points: npt.NDArray[np.float32], leaf: int, group: int | None = None
) -> npt.NDArray[np.int64]:
    """Order points by halving them again and again along the axis of most variance.

    Parameters
    ----------
    points : float32 array of shape (n, d)
        Finite.
    leaf : int
        Points of a leaf; the last has what is left.
    group : int, optional
        A multiple of ``leaf``: each run of so many fills a small box, too.

    Returns
    -------
    int64 array of shape (n,)
        The points' indices; each ``leaf`` of them are neighbours.

    Examples
    --------
    >>> leaf_order(np.float32([[7], [1], [8], [2], [9]]), 2)
    array([1, 3, 0, 2, 4])
    """
    order: npt.NDArray[np.int64] = _halve(points, leaf, group or leaf)
    return order


@njit()
def _halve(points, leaf, group):  # type: ignore[no-untyped-def]
    count, dim = points.shape
    order = np.arange(count)
    keys = np.empty(count, np.float32)
    total = np.empty(dim)
    squares = np.empty(dim)
    stack = [(0, count)]
    while stack:
        begin, end = stack.pop()
        unit = group if end - begin > group else leaf
        if end - begin <= unit:
            continue
        total[:] = 0.0
        squares[:] = 0.0
        for i in range(begin, end):
            point = points[order[i]]
            for k in range(dim):
                value = np.float64(point[k])
                total[k] += value
                squares[k] += value * value
        axis = 0
        most = -1.0
        for k in range(dim):
            spread = squares[k] - total[k] * total[k] / (end - begin)
            if spread > most:
                axis, most = k, spread
        for i in range(begin, end):
            keys[i] = points[order[i], axis]
        middle = begin + (end - begin + unit - 1) // unit // 2 * unit
        _select(keys, order, begin, end - 1, middle)
        stack.append((begin, middle))
        stack.append((middle, end))
    return order


@njit()
def _select(keys, order, low, high, middle):  # type: ignore[no-untyped-def]
    """Move the smallest keys, and their order, before the middle (Hoare's quickselect)."""
    while low < high:
        pivot = keys[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return
