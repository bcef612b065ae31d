"""Merge-and-reduce: a coreset of a stream that never stands in memory at once."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from anomalist.errors import ParameterError
from anomalist.neighbors.coreset import greedy_coreset_with_radius, random_projection

# The traversal's working space beyond the embeddings, as a share of theirs.
_WORKSPACE = 0.35
# A reduced chunk keeps this many times its share of the coreset, to leave the last pick a choice.
_OVERSAMPLING = 2


class StreamingCoreset:
    """Picks a coreset from embeddings that arrive chunk by chunk, within a memory ceiling.

    While everything fits, the picks are those of the exact farthest-first traversal of all
    embeddings, whose covering radius is at most twice the smallest possible (Gonzalez 1985).
    Beyond the ceiling, each chunk that fills the memory is reduced to a summary of twice its share
    by the same traversal, and summaries are merged and reduced when they fill half of it. No
    constant factor of the optimum is promised then, but a bound computed on the data holds: a
    reduction leaves no embedding farther than its covering radius from what is kept, so the radii
    along the chain of reductions add up to a bound on every embedding's distance to the coreset.

    Parameters
    ----------
    size : int
        Embeddings to pick.
    total : int
        Embeddings that will arrive.
    memory_limit_mb : float, optional
        Ceiling, in MB, of the memory for embeddings and the traversal's working space.
    projection_dim : int, optional
        Pick in a random projection to so many dimensions. It is faster for long embeddings, and
        radii are then those of the projection, which distorts distances a little.
    seed : int
        Decides the projection and the embedding from which the traversal starts.

    Raises
    ------
    ParameterError
        If ``size`` can't be picked, or the ceiling is too low to hold twice the coreset.

    Examples
    --------
    >>> stream = StreamingCoreset(2, total=6)
    >>> stream.add(np.array([[0.0], [1.0], [9.0]], np.float32))
    >>> stream.add(np.array([[8.0], [0.5], [5.0]], np.float32))
    >>> coreset, arrival, radius = stream.finish()
    >>> coreset.shape, arrival.shape, radius <= 5.0
    ((2, 1), (2,), True)
    """

    def __init__(
        self,
        size: int,
        total: int,
        *,
        memory_limit_mb: float | None = None,
        projection_dim: int | None = None,
        seed: int = 0,
    ) -> None:
        if not 1 <= size <= total:
            raise ParameterError(f"a coreset of {size} can't be picked from {total} embeddings")
        self._size = size
        self._total = total
        self._limit_mb = memory_limit_mb
        self._projection_dim = projection_dim
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._rows = np.empty((0, 0), np.float32)
        self._arrivals = np.empty(0, np.int64)  # of each row, as which embedding it arrived
        self._filled = 0  # rows in use: summaries first, then what arrived since
        self._summarised = 0
        self._arrived = 0
        self._bound = 0.0

    def add(self, embeddings: npt.NDArray[np.float32]) -> None:
        """Take in embeddings of shape (n, d)."""
        if not self._rows.size:
            width = embeddings.shape[1]
            self._rows = np.empty((self._capacity(width), width), np.float32)
            self._arrivals = np.empty(len(self._rows), np.int64)
        while len(embeddings):
            if self._filled == len(self._rows):
                self._summarise()
            part = embeddings[: len(self._rows) - self._filled]
            rows = slice(self._filled, self._filled + len(part))
            self._rows[rows] = part
            self._arrivals[rows] = np.arange(self._arrived, self._arrived + len(part))
            self._filled += len(part)
            self._arrived += len(part)
            embeddings = embeddings[len(part) :]

    def finish(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], float]:
        """Return the coreset (size, d), as which embeddings it arrived (size,), and a bound.

        The bound is of every embedding's distance to the coreset.
        """
        picks, radius = self._pick(0, self._size)
        return self._rows[picks], self._arrivals[picks], radius + self._bound

    def _capacity(self, width: int) -> int:
        if self._limit_mb is None:
            return self._total
        row = 4 * width * (1 + _WORKSPACE)
        rows = int(self._limit_mb * 2**20 / row)
        if rows >= self._total:
            return self._total
        if rows < 2 * self._size:
            needed = math.ceil(2 * self._size * row / 2**20)
            raise ParameterError(
                f"a coreset of {self._size} x {width} can't be picked within {self._limit_mb} MB:"
                f" allow memory_limit_mb={needed}, or lower coreset_ratio"
            )
        return rows

    def _summarise(self) -> None:
        """Reduce what arrived since the last time; merge the summaries when they fill half."""
        chunk = self._filled - self._summarised
        share = math.ceil(_OVERSAMPLING * self._size * chunk / self._total)
        bound = self._keep(self._summarised, min(chunk, share))
        self._bound = max(self._bound, bound)
        if self._filled > len(self._rows) // 2:
            share = math.ceil(self._size * self._arrived / self._total)
            self._bound += self._keep(0, min(self._filled, share))
        self._summarised = self._filled

    def _keep(self, first: int, size: int) -> float:
        """Reduce the rows from ``first`` on to ``size`` of them; return the covering radius."""
        picks, radius = self._pick(first, size)
        self._rows[first : first + size] = self._rows[first + picks]
        self._arrivals[first : first + size] = self._arrivals[first + picks]
        self._filled = first + size
        return radius

    def _pick(self, first: int, size: int) -> tuple[npt.NDArray[np.int64], float]:
        rows = self._rows[first : self._filled]
        start = int(self._rng.integers(len(rows)))
        if self._projection_dim is not None and self._projection_dim < rows.shape[1]:
            rows = random_projection(rows, self._projection_dim, self._seed)
        return greedy_coreset_with_radius(rows, size, start=start)
