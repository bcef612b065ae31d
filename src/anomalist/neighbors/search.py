"""Exact nearest neighbours in a bank of vectors.

A bank of patch embeddings is strongly structured: a few principal axes hold most of its spread. So
the vectors are first shortened by a map that never lengthens a distance (the coordinates along the
leading axes, and the length of the rest), which makes every distance there a lower bound. The bank
is divided into boxes along those axes. A query passes over every box, and then every row, whose
bound exceeds the k-th best distance found so far; what is left is measured in float64. All bounds
carry the rounding error of their computation, so nothing is lost. Where a bank has no structure
and most rows would have to be measured, matrix products bound the distances instead.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, overload

import numpy as np
import torch
from numba import njit
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from anomalist.errors import ParameterError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

BOX_DIMS = 16  # coordinates that bound a box: 15 along axes, 1 for the rest
ROW_DIMS = 64  # coordinates that bound a row: 63 along axes, 1 for the rest
LEAF_ROWS = 16
GROUP_LEAVES = 32
AXES_SAMPLE = 2048  # rows that the axes are taken from: any axes are right, good ones are fast
PIECE_QUERIES = 256  # what a thread takes at a time
PROBE_QUERIES = 64  # queries that decide whether bounds pay
DENSE_BLOCK = 2048  # rows and columns of a block of matrix products: 16 MB of float32
TENSOR_CHUNK = 2**24  # floats in a buffer on an accelerator: 64 MB
TENSOR_SPARE = 16  # candidates beyond k on an accelerator
OVERFLOW = 1e18  # squares of longer vectors come near float32's end

# Summation may be reordered, to use vector registers; nan and inf keep their meaning.
FAST = {"reassoc", "contract", "nsz"}


@njit(nogil=True, cache=True, fastmath=FAST)
def _embed(
    vectors: Float32, mean: Float64, axes: Float64, near: Float32, rows: Float32, norms: Float64
) -> None:
    """Fill in coordinates along few and more axes, each with the rest's length, and the norms."""
    projection = np.empty(ROW_DIMS)
    for i in range(vectors.shape[0]):
        projection[:] = 0.0
        square = 0.0
        for j in range(vectors.shape[1]):
            x = np.float64(vectors[i, j]) - mean[j]
            square += x * x
            for p in range(ROW_DIMS):
                projection[p] += x * axes[j, p]
        rest = square
        for p in range(ROW_DIMS - 1):
            if p == BOX_DIMS - 1:
                near[i, p] = np.sqrt(max(rest, 0.0))
            elif p < BOX_DIMS:
                near[i, p] = projection[p]
            rows[i, p] = projection[p]
            rest -= projection[p] * projection[p]
        rows[i, ROW_DIMS - 1] = np.sqrt(max(rest, 0.0))
        norms[i] = np.sqrt(square)


@njit(nogil=True, cache=True, fastmath=FAST)
def _squared_distance(queries: Float32, i: int, bank: Float32, j: int) -> float:
    total = 0.0
    for c in range(queries.shape[1]):
        difference = np.float64(queries[i, c]) - np.float64(bank[j, c])
        total += difference * difference
    return total


@njit(nogil=True, cache=True, fastmath=FAST)
def _row_bound(queries: Float32, i: int, rows: Float32, j: int) -> np.float32:
    total = np.float32(0)
    for c in range(ROW_DIMS):
        difference = queries[i, c] - rows[j, c]
        total += difference * difference
    return total


@njit(nogil=True, cache=True, fastmath=FAST)
def _box_bounds(near: Float32, i: int, lows: Float32, highs: Float32, g: int, out: Float32) -> None:
    """Squared distances from a query to the boxes of group g."""
    out[:] = np.float32(0)
    for c in range(BOX_DIMS):
        x = near[i, c]
        for b in range(out.shape[0]):
            outside = max(max(lows[g, c, b] - x, x - highs[g, c, b]), np.float32(0))
            out[b] += outside * outside


@njit(nogil=True, cache=True)
def _limit(square: float, slack: float) -> np.float32:
    """Return the largest float32 bound that a row this near can have, rounding errors included."""
    limit = (np.sqrt(square) + slack) * 1.00001
    limit *= limit
    if limit > OVERFLOW**2:
        return np.float32(np.inf)
    return np.float32(max(limit, 1e-30))  # below it float32 loses digits


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _offer(squares: Float64, indices: Int64, square: float, index: int) -> None:
    """Put a row among the best k if it belongs there."""
    if square < squares[0] or (square == squares[0] and index < indices[0]):
        _sift(squares, indices, squares.shape[0], square, index)


@njit(nogil=True, cache=True)
def _sort(squares: Float64, indices: Int64) -> None:
    for last in range(squares.shape[0] - 1, 0, -1):
        square, index = squares[last], indices[last]
        squares[last], indices[last] = squares[0], indices[0]
        _sift(squares, indices, last, square, index)


@njit(nogil=True, cache=True)
def _search_boxes(
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


@njit(nogil=True, cache=True, fastmath=FAST)
def _search_block(
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


@njit(nogil=True, cache=True)
def _sort_all(squares: Float64, indices: Int64) -> None:
    for i in range(squares.shape[0]):
        _sort(squares[i], indices[i])


def _in_threads(work: Callable[[slice], Any], count: int, piece: int) -> list[Any]:
    """Run a kernel that releases the GIL over pieces of a range; torch sets how many threads."""
    pieces = [slice(start, min(start + piece, count)) for start in range(0, count, piece)]
    if len(pieces) == 1 or torch.get_num_threads() == 1:
        return [work(part) for part in pieces]
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return list(threads.map(work, pieces))


def _principal_axes(bank: Float32, mean: Float64) -> Float64:
    """Leading axes of a sample by subspace iteration, orthonormal, filled up with zeros."""
    sample = bank[np.linspace(0, len(bank) - 1, min(len(bank), AXES_SAMPLE)).astype(np.int64)]
    centred = sample - mean
    dimensions = bank.shape[1]
    axes = np.random.default_rng(0).standard_normal((dimensions, min(dimensions, ROW_DIMS + 16)))
    for _ in range(2):
        axes, _ = np.linalg.qr(centred.T @ (centred @ axes))
    coordinates = centred @ axes
    _, rotation = np.linalg.eigh(coordinates.T @ coordinates)
    leading = (axes @ rotation)[:, ::-1][:, : ROW_DIMS - 1]
    return np.pad(leading, ((0, 0), (0, ROW_DIMS - leading.shape[1])))


def _leaf_order(near: Float32) -> Int64:
    """Order rows so that each run of LEAF_ROWS, and of a group of leaves, fills a small box."""
    order = np.arange(len(near))
    pending = [(0, len(near))]
    while pending:
        start, stop = pending.pop()
        group = GROUP_LEAVES * LEAF_ROWS
        unit = group if stop - start > group else LEAF_ROWS
        if stop - start <= unit:
            continue
        part = order[start:stop]
        coordinates = near[part]
        widest = int(np.argmax(np.ptp(coordinates, axis=0)))
        half = -(-len(part) // unit) // 2 * unit
        order[start:stop] = part[np.argpartition(coordinates[:, widest], half)]
        pending += [(start, start + half), (start + half, stop)]
    return order


class Index:
    """A bank of vectors made ready for repeated exact nearest-neighbour queries.

    Building it takes about as long as some ten thousand queries; every query then measures a few
    rows of the bank instead of all. The bank is kept, not copied: it must not change afterwards.

    Parameters
    ----------
    bank : array or tensor of shape (m, d)
        The vectors to search, finite, at least one. Other floating types are converted to float32.
        A tensor on an accelerator is searched there, in float32: near ties are then ordered by its
        rounding, and of more than k + 16 equally distant rows not always the lowest come first.

    Raises
    ------
    ParameterError
        If the bank isn't two-dimensional, is empty or has values that aren't finite.

    Examples
    --------
    >>> index = Index(np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]))
    >>> distances, indices = index.query(np.array([[0.0, 1.0]]), k=2)
    >>> distances.round(3), indices
    (array([[1.   , 4.243]], dtype=float32), array([[0, 1]]))
    """

    def __init__(self, bank: ArrayLike | Tensor) -> None:
        if isinstance(bank, Tensor) and bank.device.type != "cpu":
            self._tensor_bank: Tensor | None = _checked_tensor(bank, "bank")
            self.size, self.dimensions = self._tensor_bank.shape
            if not self.size:
                raise ParameterError("the bank is empty: there is no vector to search")
            return
        self._tensor_bank = None
        self._bank = _checked_array(bank, "bank")
        self.size, self.dimensions = self._bank.shape
        if not self.size:
            raise ParameterError("the bank is empty: there is no vector to search")
        self._mean = self._bank.mean(axis=0, dtype=np.float64)
        self._axes = _principal_axes(self._bank, self._mean)
        near, rows, self._norms = self._embedded(self._bank)
        self._radius = float(self._norms.max())
        self._order = _leaf_order(near)
        self._rows = rows[self._order]

        leaves = -(-self.size // LEAF_ROWS)
        per_group = min(GROUP_LEAVES, leaves)
        groups = -(-leaves // per_group)
        shape = (groups, per_group, LEAF_ROWS, BOX_DIMS)
        lows = np.full((groups * per_group * LEAF_ROWS, BOX_DIMS), np.inf, np.float32)
        highs = -lows
        lows[: self.size] = highs[: self.size] = near[self._order]
        leaf_lows = lows.reshape(shape).min(axis=2).transpose(0, 2, 1)
        leaf_highs = highs.reshape(shape).max(axis=2).transpose(0, 2, 1)
        self._boxes = tuple(
            np.ascontiguousarray(bounds)
            for bounds in (
                leaf_lows.min(axis=2).T[np.newaxis],
                leaf_highs.max(axis=2).T[np.newaxis],
                leaf_lows,
                leaf_highs,
            )
        )

    @overload
    def query(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]: ...
    @overload
    def query(self, queries: ArrayLike, k: int) -> tuple[Float32, Int64]: ...
    def query(
        self, queries: ArrayLike | Tensor, k: int
    ) -> tuple[Float32, Int64] | tuple[Tensor, Tensor]:
        """Find the k nearest rows of the bank for every query.

        The answer to a query doesn't depend on the other queries or on the number of threads.

        Parameters
        ----------
        queries : array or tensor of shape (q, d)
            The vectors to find neighbours of. A tensor is answered by tensors on its device.
        k : int
            How many neighbours, from 1 to the size of the bank.

        Returns
        -------
        distances : float32 of shape (q, k)
            Euclidean, ascending.
        indices : int64 of shape (q, k)
            Rows of the bank; of equally distant ones the lowest first.

        Raises
        ------
        ParameterError
            If the queries don't have the bank's d or aren't finite, if k is out of range, or if
            they lie on another device than a bank on an accelerator.
        """
        if not 1 <= k <= self.size:
            raise ParameterError(
                f"k must be between 1 and the bank's size, {self.size}, but it is {k}"
            )
        if self._tensor_bank is not None:
            if not isinstance(queries, Tensor) or queries.device != self._tensor_bank.device:
                where = queries.device if isinstance(queries, Tensor) else "cpu"
                raise ParameterError(
                    f"the queries are on {where} and the bank on {self._tensor_bank.device}: "
                    "move them to one device"
                )
            tensor = _checked_tensor(queries, "queries")
            self._check_dimensions(tensor.shape[1])
            return _search_tensor(tensor, self._tensor_bank, k)
        array = _checked_array(queries, "queries")
        self._check_dimensions(array.shape[1])
        distances, indices = self._query(array, k)
        if isinstance(queries, Tensor):
            device = queries.device
            return torch.from_numpy(distances).to(device), torch.from_numpy(indices).to(device)
        return distances, indices

    def _check_dimensions(self, dimensions: int) -> None:
        if dimensions != self.dimensions:
            raise ParameterError(
                f"the queries have {dimensions} dimensions and the bank has {self.dimensions}"
            )

    def _query(self, queries: Float32, k: int) -> tuple[Float32, Int64]:
        squares = np.full((len(queries), k), np.inf)
        indices = np.full((len(queries), k), np.iinfo(np.int64).max)
        if self._bounds_pay(queries, k):
            self._search_boxes(queries, squares, indices, PIECE_QUERIES)
        else:
            self._search_dense(queries, squares, indices)
        return np.sqrt(squares).astype(np.float32), indices

    def _bounds_pay(self, queries: Float32, k: int) -> bool:
        """Try a few queries; both ways give the same answer, so only the time depends on it."""
        if len(queries) < 8 * PROBE_QUERIES:
            return True
        probe = np.ascontiguousarray(queries[:: len(queries) // PROBE_QUERIES])
        squares = np.full((len(probe), k), np.inf)
        indices = np.full((len(probe), k), np.iinfo(np.int64).max)
        bounded, measured = self._search_boxes(probe, squares, indices, PROBE_QUERIES // 4)
        # Nanoseconds on one core; only their ratios matter.
        boxes = 4 * bounded + (10 + 0.1 * self.dimensions) * measured
        dense = (0.5 + 0.02 * self.dimensions) * self.size * len(probe)
        return bool(boxes < dense)

    def _embedded(self, vectors: Float32) -> tuple[Float32, Float32, Float64]:
        near = np.empty((len(vectors), BOX_DIMS), np.float32)
        rows = np.empty((len(vectors), ROW_DIMS), np.float32)
        norms = np.empty(len(vectors))

        def work(part: slice) -> None:
            _embed(vectors[part], self._mean, self._axes, near[part], rows[part], norms[part])

        _in_threads(work, len(vectors), PIECE_QUERIES)
        return near, rows, norms

    def _search_boxes(
        self, queries: Float32, squares: Float64, indices: Int64, piece: int
    ) -> tuple[int, int]:
        # Coordinates err by a rounding to float32, and the rest's length by the root of float64's
        # rounding in the squares whose difference it is.
        error = 2.0**-22 + 2 * np.sqrt(self.dimensions * 2.0**-52)

        def work(part: slice) -> tuple[int, int]:
            near = np.empty((part.stop - part.start, BOX_DIMS), np.float32)
            rows = np.empty((part.stop - part.start, ROW_DIMS), np.float32)
            norms = np.empty(part.stop - part.start)
            _embed(queries[part], self._mean, self._axes, near, rows, norms)
            counts: tuple[int, int] = _search_boxes(
                queries[part],
                near,
                rows,
                (norms + self._radius) * error,
                self._bank,
                self._rows,
                self._order,
                *self._boxes,
                squares[part],
                indices[part],
            )
            return counts

        counts = _in_threads(work, len(queries), piece)
        return sum(bounded for bounded, _ in counts), sum(measured for _, measured in counts)

    def _search_dense(self, queries: Float32, squares: Float64, indices: Int64) -> None:
        products = torch.empty(DENSE_BLOCK, DENSE_BLOCK)
        for first in range(0, len(queries), DENSE_BLOCK):
            block = slice(first, min(first + DENSE_BLOCK, len(queries)))
            centred = queries[block] - self._mean
            norms = np.sqrt(np.einsum("ij,ij->i", centred, centred))
            reach = norms + self._radius
            if reach.max() > OVERFLOW:
                self._search_boxes(queries[block], squares[block], indices[block], PIECE_QUERIES)
                continue
            # A float32 sum of d products errs by d roundings at most, each of 2^-24.
            slack = (self.dimensions + 8) * 2.0**-23 * reach**2 + 1e-30
            left = torch.from_numpy(centred.astype(np.float32))
            for start in range(0, self.size, DENSE_BLOCK):
                stop = min(start + DENSE_BLOCK, self.size)
                right = torch.from_numpy((self._bank[start:stop] - self._mean).astype(np.float32))
                out = products[: len(left), : stop - start]
                torch.mm(left, right.T, out=out)
                self._offer_block(
                    queries[block], out.numpy(), norms, slack, start, squares[block], indices[block]
                )
            _sort_all(squares[block], indices[block])

    def _offer_block(
        self,
        queries: Float32,
        products: Float32,
        norms: Float64,
        slack: Float64,
        start: int,
        squares: Float64,
        indices: Int64,
    ) -> None:
        bank_squares = (self._norms[start : start + products.shape[1]] ** 2).astype(np.float32)

        def work(part: slice) -> None:
            _search_block(
                queries[part],
                products[part],
                norms[part],
                slack[part],
                self._bank,
                bank_squares,
                start,
                squares[part],
                indices[part],
            )

        _in_threads(work, len(queries), PIECE_QUERIES)


def _checked_array(vectors: ArrayLike | Tensor, name: str) -> Float32:
    if isinstance(vectors, Tensor):
        vectors = vectors.detach().cpu().float().numpy()
    with np.errstate(over="ignore"):  # what float32 can't hold becomes inf, refused below
        array = np.ascontiguousarray(vectors, dtype=np.float32)
    _check_shape(array.ndim, name)
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        raise ParameterError(f"the {name} must be finite float32 values, but some are nan or inf")
    return array


def _checked_tensor(vectors: Tensor, name: str) -> Tensor:
    vectors = vectors.detach().float()
    _check_shape(vectors.ndim, name)
    if not bool(torch.isfinite(vectors).all()):
        raise ParameterError(f"the {name} must be finite float32 values, but some are nan or inf")
    return vectors


def _check_shape(ndim: int, name: str) -> None:
    if ndim != 2:
        raise ParameterError(
            f"the {name} must be a matrix of one vector a row, but its shape has {ndim} dimensions"
        )


def _search_tensor(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Search on the tensors' device in float32: products choose candidates, differences rank."""
    mean = bank.mean(dim=0)
    centred = bank - mean
    bank_squares = centred.square().sum(dim=1)
    spare = min(k + TENSOR_SPARE, len(bank))
    chunk = max(1, TENSOR_CHUNK // max(len(bank), spare * bank.shape[1]))
    distances = queries.new_empty(len(queries), k)
    indices = torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)
    for start in range(0, len(queries), chunk):
        part = queries[start : start + chunk]
        bounds = torch.addmm(bank_squares, part - mean, centred.T, alpha=-2)
        # Ascending indices, so that a stable sort leaves the lowest of equals first.
        candidates = bounds.topk(spare, dim=1, largest=False).indices.sort(dim=1).values
        exact = (bank[candidates] - part[:, None]).square().sum(dim=2).sqrt()
        ranked = exact.sort(dim=1, stable=True)
        distances[start : start + chunk] = ranked.values[:, :k]
        indices[start : start + chunk] = candidates.gather(1, ranked.indices[:, :k])
    return distances, indices


@overload
def nearest_neighbors(
    queries: Tensor, bank: ArrayLike | Tensor, k: int
) -> tuple[Tensor, Tensor]: ...
@overload
def nearest_neighbors(
    queries: ArrayLike, bank: ArrayLike | Tensor, k: int
) -> tuple[Float32, Int64]: ...
def nearest_neighbors(
    queries: ArrayLike | Tensor, bank: ArrayLike | Tensor, k: int
) -> tuple[Float32, Int64] | tuple[Tensor, Tensor]:
    """Find the k nearest rows of a bank for every query, exactly.

    On a CPU the neighbours are those that float64 finds and the distances are float64's rounded to
    float32. On an accelerator all is float32: rows whose distances differ by less than its rounding
    may change places. For repeated queries of one bank, make a `Index` once.

    Parameters
    ----------
    queries : array or tensor of shape (q, d)
        The vectors to find neighbours of, finite. A tensor is answered by tensors on its device.
    bank : array or tensor of shape (m, d)
        The vectors to search, finite, at least one.
    k : int
        How many neighbours, from 1 to m.

    Returns
    -------
    distances : float32 of shape (q, k)
        Euclidean, ascending.
    indices : int64 of shape (q, k)
        Rows of the bank; of equally distant ones the lowest first.

    Raises
    ------
    ParameterError
        If the dimensions disagree, the bank is empty, k is out of range, a value isn't finite, or
        queries and bank lie on different devices and the bank's is an accelerator.

    Examples
    --------
    >>> bank = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> distances, indices = nearest_neighbors(np.array([[0.0, 1.0]]), bank, k=2)
    >>> distances.round(3), indices
    (array([[1.   , 4.243]], dtype=float32), array([[0, 1]]))
    """
    return Index(bank).query(queries, k)
