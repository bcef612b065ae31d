"""Greedy coresets: the few embeddings that cover all the others best, found farthest first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import Tensor

from anomalist.errors import ParameterError

Embeddings: TypeAlias = npt.NDArray[Any] | Tensor

LANES = 64  # embeddings in a tile
GROUP = 16  # embeddings looked at together
FILTER_DIM = 32  # length of the vectors whose distances bound the true ones from below
ORDER_DIM = 8  # principal axes along which the embeddings are sorted into tiles
SAMPLE = 16_384  # embeddings from which the principal axes are estimated
UNSEEN = 1e300  # squared distance of an embedding that has met no pick yet
PICKED = -1.0  # squared distance that marks a pick
NEVER = np.float32(1e30)  # scaled filter values lie within [-2, 2]
UNDERFLOW = np.float32(2.0**-100)
# nan and inf never reach the filters, so a compiler may vectorise their reductions.
FILTER_MATH = {"reassoc", "contract", "nsz", "nnan", "ninf"}


def greedy_coreset(embeddings: Embeddings, size: int, *, start: int = 0) -> npt.NDArray[np.int64]:
    """Choose a coreset farthest first: each pick is the embedding farthest from those before it.

    The result is exact: it equals, ties included (the lowest index wins), a traversal that takes
    the squared Euclidean distances of all float32 embeddings to each pick in float64. It doesn't
    depend on the number of threads (``torch.get_num_threads()``). Embeddings that repeat a pick
    come last, in their order. Beside the embeddings it needs about 150 bytes for each of them. A
    tensor on an accelerator is brought to the CPU: skipping most distances there beats computing
    all of them on an accelerator, whose picks would hang on its rounding, too.

    Parameters
    ----------
    embeddings : array or tensor of shape (N, D)
        Finite numbers; converted to float32 where they are of another type.
    size : int
        Number of picks, 1 to N.
    start : int
        Index of the first pick.

    Returns
    -------
    int64 array of shape (size,)
        Indices in the order in which they were picked.

    Raises
    ------
    ParameterError
        If the embeddings aren't a matrix of finite numbers, or ``size`` or ``start`` is out of
        range.

    References
    ----------
    K. Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, algorithm 1.
    T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985.

    Examples
    --------
    >>> import numpy as np
    >>> greedy_coreset(np.array([[0.0], [1.0], [6.0], [10.0]]), 3)
    array([0, 3, 2])
    """
    return greedy_coreset_with_radius(embeddings, size, start=start)[0]


def greedy_coreset_with_radius(
    embeddings: Embeddings, size: int, *, start: int = 0
) -> tuple[npt.NDArray[np.int64], float]:
    """Choose a coreset as :func:`greedy_coreset` does, and tell how well it covers.

    Parameters
    ----------
    embeddings, size, start
        As for :func:`greedy_coreset`.

    Returns
    -------
    indices : int64 array of shape (size,)
        Indices in the order in which they were picked.
    radius : float
        The largest Euclidean distance of an embedding to its nearest pick.

    Raises
    ------
    ParameterError
        As :func:`greedy_coreset`.

    Examples
    --------
    >>> import numpy as np
    >>> greedy_coreset_with_radius(np.array([[0.0], [1.0], [6.0], [10.0]]), 3)
    (array([0, 3, 2]), 1.0)
    """
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        shape = tuple(embeddings.shape)
        raise ParameterError(f"embeddings must be a matrix, one a row, not of shape {shape}")
    if not 1 <= size <= len(embeddings):
        raise ParameterError(f"size must be from 1 to {len(embeddings)} (embeddings), not {size}")
    if not 0 <= start < len(embeddings):
        raise ParameterError(f"start must be from 0 to {len(embeddings) - 1}, not {start}")
    if isinstance(embeddings, Tensor):
        embeddings = embeddings.detach().cpu().float().numpy()
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(embeddings, dtype=np.float32).view()
    # Always read-only: kernels are compiled once, for the memory-mapped and the writable alike.
    rows.flags.writeable = False
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return _Traversal(rows, pool).run(size, start)


def random_projection(embeddings: Embeddings, dim: int, seed: int) -> npt.NDArray[np.float32]:
    """Project embeddings to fewer dimensions by a Gaussian matrix that keeps distances on average.

    Parameters
    ----------
    embeddings : array or tensor of shape (N, D)
        Converted to float32 where they are of another type.
    dim : int
        Number of dimensions afterwards.
    seed : int
        Of the matrix.

    Returns
    -------
    float32 array of shape (N, dim)

    Raises
    ------
    ParameterError
        If the embeddings aren't a matrix, or ``dim`` isn't positive.

    References
    ----------
    W. B. Johnson and J. Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space",
    1984; PatchCore, algorithm 1, uses it before the traversal.

    Examples
    --------
    >>> import numpy as np
    >>> random_projection(np.ones((3, 50)), 4, seed=0).shape
    (3, 4)
    """
    if embeddings.ndim != 2:
        shape = tuple(embeddings.shape)
        raise ParameterError(f"embeddings must be a matrix, one a row, not of shape {shape}")
    if dim < 1:
        raise ParameterError(f"dim must be positive, not {dim}")
    if isinstance(embeddings, Tensor):
        embeddings = embeddings.detach().cpu().float().numpy()
    rows = np.asarray(embeddings, dtype=np.float32)
    matrix = np.random.default_rng(seed).standard_normal((rows.shape[1], dim), dtype=np.float32)
    return rows @ (matrix / np.float32(np.sqrt(dim)))


def _not_finite(row: int) -> ParameterError:
    return ParameterError(f"embedding {row} has a value that isn't a finite number")


class _Tiles(NamedTuple):
    """Embeddings that lie near each other, in tiles of ``LANES`` (L), with what is known of each.

    ``squared`` bounds the squared distance to the nearest pick from above; it is exact with respect
    to the first ``seen`` picks.
    """

    embeddings: npt.NDArray[np.float32]  # (N, D), read-only
    row: npt.NDArray[np.int64]  # (T, L) row of each lane
    vectors: npt.NDArray[np.float32]  # (T, K, L) filter vectors
    low: npt.NDArray[np.float32]  # (T, K) corners of the box around a tile's filter vectors
    high: npt.NDArray[np.float32]  # (T, K)
    squared: npt.NDArray[np.float64]  # (T, L)
    seen: npt.NDArray[np.int64]  # (T,)
    farthest: npt.NDArray[np.float64]  # (T,) largest of ``squared``
    first: npt.NDArray[np.int64]  # (T,) lowest row that has it
    scale: float  # from squared distances to those of filter vectors
    margin: float  # what rounding may add to a filter distance, relative to the norms


class _Picks(NamedTuple):
    """The picks, with room for ``size`` of them."""

    row: npt.NDArray[np.int64]  # (size,)
    tile: npt.NDArray[np.int64]  # (size,) where each lies
    lane: npt.NDArray[np.int64]  # (size,)
    vectors: npt.NDArray[np.float32]  # (size, K) filter vectors
    blocks: npt.NDArray[np.float32]  # (size / L, K, L) the same, transposed in blocks
    half_norm: npt.NDArray[np.float32]  # (size,) half the squared norm, less the margin


class _Traversal:
    """The exact farthest-first traversal, lazy and in rounds.

    Every embedding is mapped to a short filter vector: its leading principal components, and the
    norm of what they leave out. Distances of filter vectors never exceed the true ones, so a pick
    can be skipped wherever they (less a bound on rounding) reach what is already known; the rest is
    computed in float64. Distances to the nearest pick only fall, so embeddings that are known to
    lie near a pick need not look at later picks until the traversal has come down to their level: a
    round brings the tiles with the farthest embeddings up to date, and traverses these few alone
    while they are farther than all that the other tiles may hold.
    """

    def __init__(self, rows: npt.NDArray[np.float32], pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._threads = torch.get_num_threads()
        count, dim = rows.shape
        norms = np.empty(count)
        self._spread(_squared_norms, np.arange(count), rows, norms)
        if not np.isfinite(norms).all():
            raise _not_finite(int(np.argmin(np.isfinite(norms))))
        # A power of two scales without rounding; centred norms are at most twice the largest norm.
        scale = 2.0 ** -np.ceil(np.log2(2 * np.sqrt(norms.max()) or 1.0))
        sample = rows[:: -(-count // SAMPLE)].astype(np.float64)
        mean = sample.mean(axis=0)
        sample -= mean
        length = min(FILTER_DIM, (dim + 4) // 4 * 4)
        axes = np.zeros((dim, length))
        principal = np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, : length - 1] * scale
        axes[:, : principal.shape[1]] = principal
        del sample
        tiles = -(-count // LANES)
        # Lanes beyond the last embedding repeat it, already picked.
        index = np.full(tiles * LANES, count, dtype=np.int64)
        points = np.empty((count, min(length, ORDER_DIM)), dtype=np.float32)
        leading = np.ascontiguousarray(axes[:, :ORDER_DIM])
        self._spread(_project_all, np.arange(count), rows, mean, leading, points)
        index[:count] = _order(points)
        del points
        squared = np.full(tiles * LANES, UNSEEN)
        squared[count:] = PICKED
        index[count:] = index[count - 1]
        index = index.reshape(tiles, LANES)
        self._tiles = _Tiles(
            embeddings=rows,
            row=index,
            vectors=np.empty((tiles, length, LANES), dtype=np.float32),
            low=np.empty((tiles, length), dtype=np.float32),
            high=np.empty((tiles, length), dtype=np.float32),
            squared=squared.reshape(tiles, LANES),
            seen=np.zeros(tiles, dtype=np.int64),
            farthest=np.full(tiles, UNSEEN),
            first=index.min(axis=1),
            scale=float(scale**2),
            # In units of float32 rounding: the sums of two norms and a dot product, the norm of the
            # rest (a difference of float64 sums over all dimensions), and each vector's own.
            margin=(2 * length + 4 * np.sqrt(dim) + 32) * 2.0**-24,
        )
        self._spread(_fill, np.arange(tiles), self._tiles, mean, axes, float(scale))

    def _spread(self, kernel: Any, items: npt.NDArray[np.int64], *args: Any) -> None:
        """Run a kernel on all items, some to each thread at a time."""
        shares = min(len(items), 4 * self._threads)
        for _ in self._pool.map(lambda i: kernel(items[i::shares], *args), range(shares)):
            pass

    def run(self, size: int, start: int) -> tuple[npt.NDArray[np.int64], float]:
        """Pick ``size`` embeddings, and return them with the radius at which they cover all."""
        tiles = self._tiles
        length = tiles.vectors.shape[1]
        blocks = -(-size // LANES)
        picks = _Picks(
            row=np.empty(size, dtype=np.int64),
            tile=np.empty(size, dtype=np.int64),
            lane=np.empty(size, dtype=np.int64),
            vectors=np.zeros((blocks * LANES, length), dtype=np.float32),
            blocks=np.zeros((blocks, length, LANES), dtype=np.float32),
            half_norm=np.zeros(blocks * LANES, dtype=np.float32),
        )
        picks.row[0] = start
        picks.tile[0], picks.lane[0] = np.argwhere(tiles.row == start)[0]
        tiles.squared[picks.tile[0], picks.lane[0]] = PICKED
        self._publish(picks, 0, 1)
        self._spread(_refresh, np.arange(len(tiles.seen)), tiles, picks, 1)
        count = 1
        # Larger rounds have fewer pauses, but traverse more embeddings for each pick.
        share = max(16, len(tiles.seen) // 8)
        while True:
            ranked = np.lexsort((tiles.first, -tiles.farthest))
            front, others = ranked[:share], ranked[share:]
            limit = tiles.farthest[others[0]] if len(others) else -np.inf
            limit_index = tiles.first[others[0]] if len(others) else -1
            stale = front[tiles.seen[front] < count]
            self._spread(_refresh, stale, tiles, picks, count)
            before = count
            count, radius = _traverse(tiles, picks, front, count, limit, limit_index)
            if count == size and radius >= limit:
                return picks.row, float(np.sqrt(max(radius, 0.0)))
            self._publish(picks, before, count)

    def _publish(self, picks: _Picks, begin: int, end: int) -> None:
        """Hand the filter vectors of new picks to the other tiles."""
        vectors = self._tiles.vectors[picks.tile[begin:end], :, picks.lane[begin:end]]
        picks.vectors[begin:end] = vectors
        picks.half_norm[begin:end] = (vectors.astype(np.float64) ** 2).sum(axis=1) * (
            (1 - self._tiles.margin) / 2
        )
        for block in range(begin // LANES, -(-end // LANES)):
            picks.blocks[block] = picks.vectors[block * LANES : (block + 1) * LANES].T


@njit(nogil=True, cache=True)
def _squared_norms(items, rows, norms):  # type: ignore[no-untyped-def]
    for i in items:
        total = 0.0
        for value in rows[i]:
            total += np.float64(value) * np.float64(value)
        norms[i] = total


@njit(nogil=True, cache=True, fastmath=FILTER_MATH)
def _project(row, mean, axes, parts):  # type: ignore[no-untyped-def]
    """Multiply a centred row by the axes, and return its squared norm."""
    parts[:] = 0.0
    norm = 0.0
    for j in range(0, len(row) // 4 * 4, 4):
        x0, x1, x2, x3 = (
            row[j] - mean[j],
            row[j + 1] - mean[j + 1],
            row[j + 2] - mean[j + 2],
            row[j + 3] - mean[j + 3],
        )
        a0, a1, a2, a3 = axes[j], axes[j + 1], axes[j + 2], axes[j + 3]
        norm += x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3
        for k in range(len(parts)):
            parts[k] += x0 * a0[k] + x1 * a1[k] + x2 * a2[k] + x3 * a3[k]
    for j in range(len(row) // 4 * 4, len(row)):
        x0 = row[j] - mean[j]
        norm += x0 * x0
        for k in range(len(parts)):
            parts[k] += x0 * axes[j, k]
    return norm


@njit(nogil=True, cache=True)
def _project_all(items, rows, mean, axes, points):  # type: ignore[no-untyped-def]
    parts = np.empty(axes.shape[1])
    for i in items:
        _project(rows[i], mean, axes, parts)
        for k in range(len(parts)):
            points[i, k] = parts[k]


@njit(nogil=True, cache=True)
def _order(points):  # type: ignore[no-untyped-def]
    """Sort points into leaves of ``LANES`` neighbours, halving along the axis of most variance."""
    count, dim = points.shape
    order = np.arange(count)
    keys = np.empty(count, np.float32)
    total = np.empty(dim)
    squares = np.empty(dim)
    stack = [(0, count)]
    while stack:
        begin, end = stack.pop()
        if end - begin <= LANES:
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
        middle = begin + (end - begin + LANES - 1) // LANES // 2 * LANES
        _select(keys, order, begin, end - 1, middle)
        stack.append((begin, middle))
        stack.append((middle, end))
    return order


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _fill(items, tiles, mean, axes, scale):  # type: ignore[no-untyped-def]
    """Compute the filter vectors of some tiles, and the boxes around them."""
    length = axes.shape[1]
    parts = np.empty(length)
    for tile in items:
        vectors = tiles.vectors[tile]
        for lane in range(LANES):
            row = tiles.embeddings[tiles.row[tile, lane]]
            rest = _project(row, mean, axes, parts) * scale * scale
            for k in range(length):
                rest -= parts[k] * parts[k]
            parts[length - 1] = np.sqrt(max(rest, 0.0))
            for k in range(length):
                vectors[k, lane] = parts[k]
        for k in range(length):
            tiles.low[tile, k] = vectors[k].min()
            tiles.high[tile, k] = vectors[k].max()


@njit(nogil=True, cache=True)
def _squared_distance(a, b):  # type: ignore[no-untyped-def]
    """Sum squared differences in float64, in the very order in which ``numpy.sum`` does."""
    count = len(a)
    if count > 128:
        half = count // 16 * 8
        return _squared_distance(a[:half], b[:half]) + _squared_distance(a[half:], b[half:])
    total = 0.0
    whole = count // 8 * 8
    if whole:
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
        for i in range(0, whole, 8):
            s0 += (np.float64(a[i]) - np.float64(b[i])) ** 2
            s1 += (np.float64(a[i + 1]) - np.float64(b[i + 1])) ** 2
            s2 += (np.float64(a[i + 2]) - np.float64(b[i + 2])) ** 2
            s3 += (np.float64(a[i + 3]) - np.float64(b[i + 3])) ** 2
            s4 += (np.float64(a[i + 4]) - np.float64(b[i + 4])) ** 2
            s5 += (np.float64(a[i + 5]) - np.float64(b[i + 5])) ** 2
            s6 += (np.float64(a[i + 6]) - np.float64(b[i + 6])) ** 2
            s7 += (np.float64(a[i + 7]) - np.float64(b[i + 7])) ** 2
        total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for i in range(whole, count):
        total += (np.float64(a[i]) - np.float64(b[i])) ** 2
    return total


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _exceeds(a, b, limit):  # type: ignore[no-untyped-def]
    """Tell whether a squared distance certainly exceeds a limit, whatever the order of its sum."""
    total = 0.0
    for i in range(len(a)):
        total += (np.float64(a[i]) - np.float64(b[i])) ** 2
    return total * (1.0 - len(a) * 2.0**-50) > limit


@njit(nogil=True, cache=True)
def _threshold(norm, squared, scale, margin):  # type: ignore[no-untyped-def]
    """Return what a dot product, less half the pick's norm, must exceed to bring a pick nearer."""
    if squared <= 0.0:
        return NEVER
    if squared == UNSEEN:
        return -NEVER
    return np.float32((norm * (1.0 - margin) - squared * scale) / 2) - UNDERFLOW


@njit(nogil=True, cache=True, fastmath=FILTER_MATH)
def _dot(vectors, row, products):  # type: ignore[no-untyped-def]
    """Multiply the columns of (K, m) vectors by one row of K."""
    products[:] = 0.0
    for k in range(0, len(row), 4):
        v0, v1, v2, v3 = vectors[k], vectors[k + 1], vectors[k + 2], vectors[k + 3]
        r0, r1, r2, r3 = row[k], row[k + 1], row[k + 2], row[k + 3]
        for i in range(len(products)):
            products[i] += v0[i] * r0 + v1[i] * r1 + v2[i] * r2 + v3[i] * r3


@njit(nogil=True, cache=True, fastmath=FILTER_MATH)
def _dot_four(vectors, a, b, c, d, products):  # type: ignore[no-untyped-def]
    """Multiply the columns of a tile by four rows, which share its loads."""
    pa, pb, pc, pd = products[0], products[1], products[2], products[3]
    products[:] = 0.0
    for k in range(0, len(a), 4):
        v0, v1, v2, v3 = vectors[k], vectors[k + 1], vectors[k + 2], vectors[k + 3]
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        c0, c1, c2, c3 = c[k], c[k + 1], c[k + 2], c[k + 3]
        d0, d1, d2, d3 = d[k], d[k + 1], d[k + 2], d[k + 3]
        for i in range(LANES):
            x0, x1, x2, x3 = v0[i], v1[i], v2[i], v3[i]
            pa[i] += x0 * a0 + x1 * a1 + x2 * a2 + x3 * a3
            pb[i] += x0 * b0 + x1 * b1 + x2 * b2 + x3 * b3
            pc[i] += x0 * c0 + x1 * c1 + x2 * c2 + x3 * c3
            pd[i] += x0 * d0 + x1 * d1 + x2 * d2 + x3 * d3


@njit(nogil=True, cache=True, fastmath=FILTER_MATH)
def _largest_excess(products, thresholds, begin, count):  # type: ignore[no-untyped-def]
    largest = -NEVER
    for i in range(begin, begin + count):
        largest = max(largest, products[i] - thresholds[i])
    return largest


@njit(nogil=True, cache=True, fastmath=FILTER_MATH)
def _near_box(block, low, high, slack, reach, gaps):  # type: ignore[no-untyped-def]
    """Compute how far within reach of a box each pick of a block comes; positive is within."""
    for i in range(LANES):
        gaps[i] = reach + slack[i]
    zero = np.float32(0.0)
    for k in range(0, len(low), 4):
        v0, v1, v2, v3 = block[k], block[k + 1], block[k + 2], block[k + 3]
        l0, l1, l2, l3 = low[k], low[k + 1], low[k + 2], low[k + 3]
        h0, h1, h2, h3 = high[k], high[k + 1], high[k + 2], high[k + 3]
        for i in range(LANES):
            g0 = max(max(l0 - v0[i], v0[i] - h0), zero)
            g1 = max(max(l1 - v1[i], v1[i] - h1), zero)
            g2 = max(max(l2 - v2[i], v2[i] - h2), zero)
            g3 = max(max(l3 - v3[i], v3[i] - h3), zero)
            gaps[i] -= g0 * g0 + g1 * g1 + g2 * g2 + g3 * g3


@njit(nogil=True, cache=True)
def _lower(pick, half_norm, products, rows, index, norms, thresholds, squared, scale, margin):  # type: ignore[no-untyped-def]
    """Lower the squared distances that a pick undercuts, checking those that the filter can't."""
    if _largest_excess(products, thresholds, 0, len(products)) <= half_norm:
        return
    for begin in range(0, len(products), GROUP):
        if _largest_excess(products, thresholds, begin, GROUP) <= half_norm:
            continue
        for i in range(begin, begin + GROUP):
            if products[i] - thresholds[i] > half_norm:
                row = rows[index[i]]
                if _exceeds(row, pick, squared[i]):
                    continue
                distance = _squared_distance(row, pick)
                if distance < squared[i]:
                    squared[i] = distance
                    thresholds[i] = _threshold(norms[i], distance, scale, margin)


@njit(nogil=True, cache=True)
def _rank(tiles, tile):  # type: ignore[no-untyped-def]
    """Note a tile's largest squared distance, and the lowest row that has it."""
    squared = tiles.squared[tile]
    farthest = squared.max()
    first = np.int64(len(tiles.embeddings))
    for lane in range(LANES):
        if squared[lane] == farthest:
            first = min(first, tiles.row[tile, lane])
    tiles.farthest[tile] = farthest
    tiles.first[tile] = first


@njit(nogil=True, cache=True)
def _refresh(items, tiles, picks, count):  # type: ignore[no-untyped-def]
    """Bring some tiles up to date with the first ``count`` picks."""
    length = tiles.vectors.shape[1]
    near = np.zeros(count + 3, np.int64)
    gaps = np.empty(LANES, np.float32)
    slack = np.empty(LANES, np.float32)
    products = np.empty((4, LANES), np.float32)
    norms = np.empty(LANES)
    thresholds = np.empty(LANES, np.float32)
    for tile in items:
        vectors = tiles.vectors[tile]
        squared = tiles.squared[tile]
        norms[:] = 0.0
        for k in range(length):
            for lane in range(LANES):
                norms[lane] += np.float64(vectors[k, lane]) ** 2
        for lane in range(LANES):
            thresholds[lane] = _threshold(norms[lane], squared[lane], tiles.scale, tiles.margin)
        # Of all scaled squared distances none exceeds 4, and UNSEEN would overflow float32.
        farthest = min(tiles.farthest[tile], 1e6 / tiles.scale)
        reach = (farthest * tiles.scale + norms.max() * tiles.margin) * (1.0 + 2.0**-16)
        reach = np.float32(reach) + UNDERFLOW
        found = 0
        seen = tiles.seen[tile]
        for block in range(seen // LANES, (count + LANES - 1) // LANES):
            begin = block * LANES
            for lane in range(LANES):
                slack[lane] = picks.half_norm[begin + lane] * np.float32(3 * tiles.margin)
            _near_box(picks.blocks[block], tiles.low[tile], tiles.high[tile], slack, reach, gaps)
            for lane in range(max(seen - begin, 0), min(count - begin, LANES)):
                near[found] = begin + lane
                found += gaps[lane] > 0
        near[found : found + 3] = near[0]  # fills the last group; its products aren't looked at
        for group in range(0, found, 4):
            _dot_four(
                vectors,
                picks.vectors[near[group]],
                picks.vectors[near[group + 1]],
                picks.vectors[near[group + 2]],
                picks.vectors[near[group + 3]],
                products,
            )
            for member in range(min(4, found - group)):
                pick = near[group + member]
                _lower(
                    tiles.embeddings[picks.row[pick]],
                    picks.half_norm[pick],
                    products[member],
                    tiles.embeddings,
                    tiles.row[tile],
                    norms,
                    thresholds,
                    squared,
                    tiles.scale,
                    tiles.margin,
                )
        tiles.seen[tile] = count
        _rank(tiles, tile)


@njit(nogil=True, cache=True)
def _traverse(tiles, picks, front, count, limit, limit_index):  # type: ignore[no-untyped-def]
    """Pick among the lanes of up-to-date tiles that lie beyond all that the other tiles may hold.

    Of these others, the farthest has the squared distance ``limit`` and the row ``limit_index``.
    Returns the number of picks, and the largest squared distance that is left.
    """
    ahead = 0
    for tile in front:
        for lane in range(LANES):
            ahead += tiles.squared[tile, lane] >= max(limit, 0.0)
    length = tiles.vectors.shape[1]
    padded = (ahead + GROUP - 1) // GROUP * GROUP
    tile_of = np.empty(ahead, np.int64)
    lane_of = np.empty(ahead, np.int64)
    index = np.zeros(padded, np.int64)
    vectors = np.zeros((length, padded), np.float32)
    squared = np.full(padded, PICKED)
    norms = np.zeros(padded)
    thresholds = np.full(padded, NEVER)
    products = np.empty(padded, np.float32)
    ahead = 0
    for tile in front:
        for lane in range(LANES):
            if tiles.squared[tile, lane] >= max(limit, 0.0):
                tile_of[ahead] = tile
                lane_of[ahead] = lane
                index[ahead] = tiles.row[tile, lane]
                squared[ahead] = tiles.squared[tile, lane]
                for k in range(length):
                    vectors[k, ahead] = tiles.vectors[tile, k, lane]
                    norms[ahead] += np.float64(vectors[k, ahead]) ** 2
                thresholds[ahead] = _threshold(
                    norms[ahead], squared[ahead], tiles.scale, tiles.margin
                )
                ahead += 1
    while ahead:
        radius = squared.max()
        best = -1
        for i in range(ahead):
            if squared[i] == radius and (best < 0 or index[i] < index[best]):
                best = i
        if count == len(picks.row) or radius < limit:
            break
        if (radius == limit and index[best] > limit_index) or radius == PICKED:
            break
        picks.row[count] = index[best]
        picks.tile[count] = tile_of[best]
        picks.lane[count] = lane_of[best]
        count += 1
        squared[best] = PICKED
        thresholds[best] = NEVER
        _dot(vectors, vectors[:, best].copy(), products)
        _lower(
            tiles.embeddings[index[best]],
            np.float32(norms[best] * (1.0 - tiles.margin) / 2),
            products,
            tiles.embeddings,
            index,
            norms,
            thresholds,
            squared,
            tiles.scale,
            tiles.margin,
        )
    for i in range(ahead):
        tiles.squared[tile_of[i], lane_of[i]] = squared[i]
    for tile in front:
        _rank(tiles, tile)
    return count, squared.max() if ahead else PICKED
