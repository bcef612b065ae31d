"""Greedy coresets: the few embeddings that cover all the others best, found farthest first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.compiling import njit
from anomalist.errors import ParameterError
from anomalist.neighbors.axes import PrincipalAxes
from anomalist.neighbors.leaves import leaf_order
from anomalist.neighbors.threads import in_threads
from anomalist.neighbors.traversal import LANES, PICKED, UNSEEN, Picks, Tiles, refresh, traverse

Embeddings: TypeAlias = npt.NDArray[Any] | Tensor

FILTER_DIM = 32  # length of the vectors whose distances bound the true ones from below
ORDER_DIM = 8  # length of the vectors by which the embeddings are sorted into tiles
PIECE = 1024  # embeddings whose short vectors a thread makes at a time


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


class _Traversal:
    """The exact farthest-first traversal, lazy and in rounds.

    Every embedding is mapped to a short filter vector (:class:`PrincipalAxes`). Distances of filter
    vectors never exceed the true ones, so a pick can be skipped wherever they (less a bound on
    rounding) reach what is already known; the rest is computed in float64. Distances to the nearest
    pick only fall, so embeddings that are known to lie near a pick need not look at later picks
    until the traversal has come down to their level: a round brings the tiles with the farthest
    embeddings up to date, and traverses these few alone while they are farther than all that the
    other tiles may hold.
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
        scale = float(2.0 ** -np.ceil(np.log2(2 * np.sqrt(norms.max()) or 1.0)))
        length = min(FILTER_DIM, (dim + 4) // 4 * 4)
        axes = PrincipalAxes(rows, length)
        tiles = -(-count // LANES)
        # Lanes beyond the last embedding repeat it, already picked.
        index = np.full(tiles * LANES, count, dtype=np.int64)
        index[:count] = _tile_order(rows, axes, min(length, ORDER_DIM), scale)
        squared = np.full(tiles * LANES, UNSEEN)
        squared[count:] = PICKED
        index[count:] = index[count - 1]
        index = index.reshape(tiles, LANES)
        self._tiles = Tiles(
            embeddings=rows,
            row=index,
            vectors=np.empty((tiles, length, LANES), dtype=np.float32),
            low=np.empty((tiles, length), dtype=np.float32),
            high=np.empty((tiles, length), dtype=np.float32),
            squared=squared.reshape(tiles, LANES),
            seen=np.zeros(tiles, dtype=np.int64),
            farthest=np.full(tiles, UNSEEN),
            first=index.min(axis=1),
            scale=scale**2,
            # In units of float32 rounding: the sums of two norms and a dot product, the norm of the
            # rest (a difference of float64 sums over all dimensions), and each vector's own.
            margin=(2 * length + 4 * np.sqrt(dim) + 32) * 2.0**-24,
        )

        def fill(part: slice) -> None:
            short, _ = axes.shorten(rows, index[part].ravel(), scale=scale)
            vectors = short.reshape(-1, LANES, length).transpose(0, 2, 1)
            self._tiles.vectors[part] = vectors
            self._tiles.low[part] = vectors.min(axis=2)
            self._tiles.high[part] = vectors.max(axis=2)

        in_threads(fill, tiles, PIECE // LANES)

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
        picks = Picks(
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
        self._spread(refresh, np.arange(len(tiles.seen)), tiles, picks, 1)
        count = 1
        # Larger rounds have fewer pauses, but traverse more embeddings for each pick.
        share = max(16, len(tiles.seen) // 8)
        while True:
            ranked = np.lexsort((tiles.first, -tiles.farthest))
            front, others = ranked[:share], ranked[share:]
            limit = tiles.farthest[others[0]] if len(others) else -np.inf
            limit_index = tiles.first[others[0]] if len(others) else -1
            stale = front[tiles.seen[front] < count]
            self._spread(refresh, stale, tiles, picks, count)
            before = count
            count, radius = traverse(tiles, picks, front, count, limit, limit_index)
            if count == size and radius >= limit:
                return picks.row, float(np.sqrt(max(radius, 0.0)))
            self._publish(picks, before, count)

    def _publish(self, picks: Picks, begin: int, end: int) -> None:
        """Hand the filter vectors of new picks to the other tiles."""
        vectors = self._tiles.vectors[picks.tile[begin:end], :, picks.lane[begin:end]]
        picks.vectors[begin:end] = vectors
        picks.half_norm[begin:end] = (vectors.astype(np.float64) ** 2).sum(axis=1) * (
            (1 - self._tiles.margin) / 2
        )
        for block in range(begin // LANES, -(-end // LANES)):
            picks.blocks[block] = picks.vectors[block * LANES : (block + 1) * LANES].T


def _tile_order(
    rows: npt.NDArray[np.float32], axes: PrincipalAxes, length: int, scale: float
) -> npt.NDArray[np.int64]:
    """Sort the embeddings so that each ``LANES`` of them are neighbours."""
    points = np.empty((len(rows), length), dtype=np.float32)

    def place(part: slice) -> None:
        points[part], _ = axes.shorten(rows[part], length=length, scale=scale)

    in_threads(place, len(rows), PIECE)
    return leaf_order(points, LANES)


@njit()
def _squared_norms(items, rows, norms):  # type: ignore[no-untyped-def]
    for i in items:
        total = 0.0
        for value in rows[i]:
            total += np.float64(value) * np.float64(value)
        norms[i] = total
