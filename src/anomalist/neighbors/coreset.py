"""Greedy coresets: the few embeddings that cover all the others best, found farthest first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import Tensor

from anomalist.errors import ParameterError

type Embeddings = npt.NDArray[Any] | Tensor

LANES = 64  # embeddings in a tile
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
    come last, in their order. A tensor on an accelerator is traversed there in plain float32,
    whose rounding may order near ties otherwise.

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
        if embeddings.device.type != "cpu":
            return _traverse_on_device(embeddings, size, start)
        embeddings = embeddings.detach().float().numpy()
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
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


def _traverse_on_device(
    embeddings: Tensor, size: int, start: int
) -> tuple[npt.NDArray[np.int64], float]:
    """Traverse in float32 on the tensor's own device, without waiting for it between picks."""
    rows = embeddings.detach().float()
    bad = (~torch.isfinite(rows).all(dim=1)).nonzero()
    if len(bad):
        raise _not_finite(int(bad[0]))
    picks = torch.full((size,), start, dtype=torch.int64, device=rows.device)
    nearest = torch.full((len(rows),), torch.inf, device=rows.device)
    for i in range(size):
        if i:
            picks[i] = nearest.argmax()
        pick = rows.index_select(0, picks[i : i + 1])
        # The matrix-product form of cdist would lose small distances to cancellation.
        new = torch.cdist(rows, pick, compute_mode="donot_use_mm_for_euclid_dist")[:, 0]
        torch.minimum(nearest, new, out=nearest)
        nearest.index_fill_(0, picks[i : i + 1], PICKED)
    return picks.cpu().numpy(), max(float(nearest.max()), 0.0)


def _not_finite(row: int) -> ParameterError:
    return ParameterError(f"embedding {row} has a value that isn't a finite number")


class _Tiles(NamedTuple):
    """Embeddings that lie near each other, in tiles of ``LANES`` (L), with what is known of each.

    ``squared`` bounds the squared distance to the nearest pick from above; it is exact with respect
    to the first ``seen`` picks.
    """

    rows: npt.NDArray[np.float32]  # (N, D) the embeddings themselves
    index: npt.NDArray[np.int64]  # (T, L) row of each lane
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

    index: npt.NDArray[np.int64]  # (size,)
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
        leading = np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, : length - 1]
        axes[:, : leading.shape[1]] = leading * scale
        tiles = -(-count // LANES)
        # Lanes beyond the last embedding repeat it, already picked.
        index = np.full(tiles * LANES, count, dtype=np.int64)
        index[:count] = _order(_project(rows, axes[:, :ORDER_DIM]))
        self._place = np.empty(count, dtype=np.int64)
        self._place[index[:count]] = np.arange(count)
        squared = np.full(tiles * LANES, UNSEEN)
        squared[count:] = PICKED
        index[count:] = index[count - 1]
        index = index.reshape(tiles, LANES)
        self._tiles = _Tiles(
            rows=rows,
            index=index,
            vectors=np.empty((tiles, length, LANES), dtype=np.float32),
            low=np.empty((tiles, length), dtype=np.float32),
            high=np.empty((tiles, length), dtype=np.float32),
            squared=squared.reshape(tiles, LANES),
            seen=np.zeros(tiles, dtype=np.int64),
            farthest=np.full(tiles, UNSEEN),
            first=index.min(axis=1),
            scale=float(scale**2),
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
            index=np.full(size, start, dtype=np.int64),
            vectors=np.zeros((blocks * LANES, length), dtype=np.float32),
            blocks=np.zeros((blocks, length, LANES), dtype=np.float32),
            half_norm=np.zeros(blocks * LANES, dtype=np.float32),
        )
        tiles.squared.flat[self._place[start]] = PICKED
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
                return picks.index, float(np.sqrt(max(radius, 0.0)))
            self._publish(picks, before, count)

    def _publish(self, picks: _Picks, begin: int, end: int) -> None:
        """Hand the filter vectors of new picks to the other tiles."""
        tile, lane = np.divmod(self._place[picks.index[begin:end]], LANES)
        vectors = self._tiles.vectors[tile, :, lane]
        picks.vectors[begin:end] = vectors
        picks.half_norm[begin:end] = (vectors.astype(np.float64) ** 2).sum(axis=1) * (
            (1 - self._tiles.margin) / 2
        )
        for block in range(begin // LANES, -(-end // LANES)):
            picks.blocks[block] = picks.vectors[block * LANES : (block + 1) * LANES].T


def _project(
    rows: npt.NDArray[np.float32], axes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    return rows @ axes.astype(np.float32)


@njit(nogil=True, cache=True)
def _squared_norms(items, rows, norms):  # type: ignore[no-untyped-def]
    for i in items:
        total = 0.0
        for value in rows[i]:
            total += np.float64(value) * np.float64(value)
        norms[i] = total


@njit(nogil=True, cache=True)
def _order(points):  # type: ignore[no-untyped-def]
    """Sort points into leaves of ``LANES`` neighbours by halving along the axis of most variance."""
    count, dim = points.shape
    order = np.arange(count)
    stack = [(0, count)]
    while stack:
        begin, end = stack.pop()
        if end - begin <= LANES:
            continue
        total = np.zeros(dim)
        squares = np.zeros(dim)
        for i in order[begin:end]:
            for k in range(dim):
                value = np.float64(points[i, k])
                total[k] += value
                squares[k] += value * value
        axis = np.argmax(squares - total * total / (end - begin))
        half = (end - begin + LANES - 1) // LANES // 2 * LANES
        part = order[begin:end].copy()
        order[begin:end] = part[np.argpartition(points[part, axis], half)]
        stack.append((begin, begin + half))
        stack.append((begin + half, end))
    return order


@njit(nogil=True, cache=True, fastmath=FILTER_MATH)
def _fill(items, tiles, mean, axes, scale):  # type: ignore[no-untyped-def]
    """Compute the filter vectors of some tiles, and the boxes around them."""
    dim, length = axes.shape
    parts = np.empty(length)
    centred = np.empty(dim)
    for tile in items:
        vectors = tiles.vectors[tile]
        for lane in range(LANES):
            row = tiles.rows[tiles.index[tile, lane]]
            parts[:] = 0.0
            norm = 0.0
            for j in range(dim):
                centred[j] = row[j] - mean[j]
                norm += centred[j] * centred[j]
            for j in range(dim):
                value = centred[j]
                axis = axes[j]
                for k in range(length):
                    parts[k] += value * axis[k]
            norm *= scale * scale
            for k in range(length):
                norm -= parts[k] * parts[k]
            parts[length - 1] = np.sqrt(max(norm, 0.0))
            for k in range(length):
                vectors[k, lane] = parts[k]
        for k in range(length):
            tiles.low[tile, k] = vectors[k].min()
            tiles.high[tile, k] = vectors[k].max()


@njit(nogil=True, cache=True)
def _squared_distance(a, b):  # type: ignore[no-untyped-def]
    """Sum squared differences in float64 in the very order in which ``numpy.sum`` does."""
    count = len(a)
    if count > 128:
        half = count // 2 // 8 * 8
        return _squared_distance(a[:half], b[:half]) + _squared_distance(a[half:], b[half:])
    total = 0.0
    whole = 0
    if count >= 8:
        whole = count // 8 * 8
        sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for i in range(whole, count):
        difference = np.float64(a[i]) - np.float64(b[i])
        total += difference * difference
    return total
