"""Compiled loops that measure what a bound leaves possible, and keep the k nearest.

A query passes over every box and every row of the bank, or every block of matrix products, whose
bound exceeds the k-th best distance found so far; what is left is measured in float64. The loops
stand in one file, with all that they call: numba's cache doesn't see a change in another.
"""

from __future__ import annotations

import numpy as np

from anomalist.compiling import njit
from anomalist.neighbors.axes import Float32, Float64, Int64

BOX_DIMS = 16  # coordinates that bound a box: 15 along axes, 1 for the rest
ROW_DIMS = 64  # coordinates that bound a row: 63 along axes, 1 for the rest
LEAF_ROWS = 16  # rows of a box
OVERFLOW = 1e18  # squares of longer vectors come near float32's end

# Summation may be reordered, to use vector registers; nan and inf keep their meaning.
FAST = {"reassoc", "contract", "nsz"}


def nothing_found(queries: int, k: int) -> tuple[Float64, Int64]:
    """Squared distances and indices of k neighbours (queries, k) before anything is measured."""
    return np.full((queries, k), np.inf), np.full((queries, k), np.iinfo(np.int64).max)


@njit(fastmath=FAST)
def _squared_distance(queries: Float32, i: int, bank: Float32, j: int) -> float:
    total = 0.0
    for c in range(queries.shape[1]):
        difference = np.float64(queries[i, c]) - np.float64(bank[j, c])
        total += difference * difference
    return total


@njit(fastmath=FAST)
def _row_bound(queries: Float32, i: int, rows: Float32, j: int) -> np.float32:
    total = np.float32(0)
    for c in range(ROW_DIMS):
        difference = queries[i, c] - rows[j, c]
        total += difference * difference
    return total


@njit(fastmath=FAST)
def _box_bounds(near: Float32, i: int, lows: Float32, highs: Float32, g: int, out: Float32) -> None:
    """Squared distances from a query to the boxes of group g."""
    out[:] = np.float32(0)
    for c in range(BOX_DIMS):
        x = near[i, c]
        for b in range(out.shape[0]):
            outside = max(max(lows[g, c, b] - x, x - highs[g, c, b]), np.float32(0))
            out[b] += outside * outside


@njit()
def _limit(square: float, slack: float) -> np.float32:
    """Return the largest float32 bound that a row this near can have, rounding errors included."""
    limit = (np.sqrt(square) + slack) * 1.00001
    limit *= limit
    if limit > OVERFLOW**2:
        return np.float32(np.inf)
    return np.float32(max(limit, 1e-30))  # below it float32 loses digits


@njit()
def _sift(squares: Float64, indices: Int64, size: int, square: float, index: int) -> None:
    """Replace the worst of a heap whose worst is at its root."""
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            squares[right] > squares[child]
            or (squares[right] == squares[child] and indices[right] > indices[child])
        ):
            child = right
        if square > squares[child] or (square == squares[child] and index > indices[child]):
            break
        squares[hole] = squares[child]
        indices[hole] = indices[child]
        hole = child
    squares[hole] = square
    indices[hole] = index


@njit()
def _offer(squares: Float64, indices: Int64, square: float, index: int) -> None:
    """Put a row among the best k if it belongs there."""
    if square < squares[0] or (square == squares[0] and index < indices[0]):
        _sift(squares, indices, squares.shape[0], square, index)


@njit()
def _sort(squares: Float64, indices: Int64) -> None:
    for last in range(squares.shape[0] - 1, 0, -1):
        square, index = squares[last], indices[last]
        squares[last], indices[last] = squares[0], indices[0]
        _sift(squares, indices, last, square, index)


@njit()
def search_boxes(
    queries: Float32,
    near: Float32,
    rows: Float32,
    slack: Float64,
    bank: Float32,
    bank_rows: Float32,
    order: Int64,
    group_lows: Float32,
    group_highs: Float32,
    leaf_lows: Float32,
    leaf_highs: Float32,
    squares: Float64,
    indices: Int64,
) -> tuple[int, int]:
    """Find the k nearest and return how many rows were bounded and how many measured."""
    size, k = bank.shape[0], squares.shape[1]
    groups, leaves = group_lows.shape[2], leaf_lows.shape[2]
    group_bounds = np.empty(groups, np.float32)
    leaf_bounds = np.empty(leaves, np.float32)
    bounded = 0
    measured = 0
    for i in range(queries.shape[0]):
        best, best_indices = squares[i], indices[i]
        # Neighbouring patches look alike: what was near the last query bounds this one.
        worst = np.inf
        if i > 0:
            worst = 0.0
            for t in range(k):
                worst = max(worst, _squared_distance(queries, i, bank, indices[i - 1, t]))
        limit = _limit(worst, slack[i])
        _box_bounds(near, i, group_lows, group_highs, 0, group_bounds)
        nearest_group = np.argmin(group_bounds)
        for g in range(-1, groups):  # -1: the nearest first, for a good bound early
            group = nearest_group if g < 0 else g
            if g == nearest_group or group_bounds[group] > limit:
                continue
            _box_bounds(near, i, leaf_lows, leaf_highs, group, leaf_bounds)
            nearest_leaf = np.argmin(leaf_bounds)
            for b in range(-1, leaves):
                leaf = nearest_leaf if b < 0 else b
                if b == nearest_leaf or leaf_bounds[leaf] > limit:
                    continue
                start = (group * leaves + leaf) * LEAF_ROWS
                stop = min(start + LEAF_ROWS, size)
                bounded += max(stop - start, 0)
                for row in range(start, stop):
                    if _row_bound(rows, i, bank_rows, row) > limit:
                        continue
                    measured += 1
                    index = order[row]
                    _offer(best, best_indices, _squared_distance(queries, i, bank, index), index)
                    if best[0] < worst:
                        worst = best[0]
                        limit = _limit(worst, slack[i])
        _sort(best, best_indices)
    return bounded, measured


@njit(fastmath=FAST)
def search_block(
    queries: Float32,
    products: Float32,
    norms: Float64,
    slack: Float64,
    bank: Float32,
    bank_squares: Float32,
    start: int,
    squares: Float64,
    indices: Int64,
) -> None:
    """Offer each query the rows of a block of the bank that its products leave possible."""
    width = 128
    for i in range(queries.shape[0]):
        best, best_indices = squares[i], indices[i]
        shift = slack[i] - norms[i] * norms[i]
        for left in range(0, products.shape[1], width):
            right = min(left + width, products.shape[1])
            lowest = np.float32(np.inf)
            for j in range(left, right):
                lowest = min(lowest, bank_squares[j] - np.float32(2) * products[i, j])
            if lowest > best[0] + shift:
                continue
            for j in range(left, right):
                if bank_squares[j] - np.float32(2) * products[i, j] <= best[0] + shift:
                    index = start + j
                    _offer(best, best_indices, _squared_distance(queries, i, bank, index), index)


@njit()
def sort_all(squares: Float64, indices: Int64) -> None:
    """Bring the neighbours that were offered to each query into ascending order."""
    for i in range(squares.shape[0]):
        _sort(squares[i], indices[i])
