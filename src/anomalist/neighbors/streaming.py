"""Merge-and-reduce: a coreset of a stream that never stands in memory at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from anomalist.errors import ParameterError
from anomalist.neighbors.coreset import greedy_coreset_with_radius, random_projection

# The traversal's working space beyond the embeddings, as a share of theirs.
_WORKSPACE = 0.35
# A reduced chunk keeps this many times its share of the coreset, to leave the last pick a choice.
_OVERSAMPLING = 2


class CoresetSummary(NamedTuple):
    """A coreset that can stand for all embeddings it was picked from, here or elsewhere.

    Parameters
    ----------
    embeddings : float32 array of shape (n, d)
        Those that were picked.
    arrivals : int64 array of shape (n,)
        As which embedding each arrived.
    radius : float
        No embedding that it stands for lies farther from the nearest of them.
    """

    embeddings: npt.NDArray[np.float32]
    arrivals: npt.NDArray[np.int64]
    radius: float


def summary_size(size: int, part: int, total: int) -> int:
    """Return how many of a part of all embeddings stand for it until a coreset is picked.

    They are twice its share of the coreset, or all.

    Parameters
    ----------
    size : int
        Embeddings that the coreset has.
    part, total : int
        Embeddings of the part, and all.

    Examples
    --------
    >>> summary_size(10, 300, 1000), summary_size(900, 300, 1000)
    (6, 300)
    """
    return min(part, math.ceil(_OVERSAMPLING * size * part / total))


class StreamingCoreset:
    """Picks a coreset from embeddings that arrive chunk by chunk, within a memory ceiling.

    While everything fits, the picks are those of the exact farthest-first traversal of all
    embeddings, whose covering radius is at most twice the smallest possible (Gonzalez 1985).
    Beyond the ceiling, each chunk that fills the memory is reduced to a summary of twice its share
    by the same traversal, and summaries are merged and reduced when they fill half of it. No
    constant factor of the optimum is promised then, but a bound computed on the data holds: a
    reduction leaves no embedding farther than its covering radius from what is kept, so the radii
    along the chain of reductions add up to a bound on every embedding's distance to the coreset.

    Embeddings can be summarised elsewhere, on several machines at once: a stream of `summary_size`
    for each part of them gives a summary, of which `merge` takes one after the other. While their
    union fits in memory, the coreset is the exact traversal of it, and the bound is its covering
    radius and the largest of the summaries' together. (Summaries as large as the coreset itself
    would promise four times the optimum: Malkomes et al., NeurIPS 2015. They hardly fit.)

    Parameters
    ----------
    size : int
        Embeddings to pick.
    total : int
        Embeddings that will arrive, those of summaries counted as they are merged.
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

    The same from two parts:

    >>> merged = StreamingCoreset(2, total=4)
    >>> for embeddings in ([0.0, 1.0, 9.0], [8.0, 0.5, 5.0]):
    ...     part = StreamingCoreset(summary_size(2, 3, 6), total=3)
    ...     part.add(np.array(embeddings, np.float32)[:, None])
    ...     merged.merge(part.finish())
    >>> merged.finish().radius <= 10.0
    True
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
        self._bound = 0.0  # of what the summarised rows stand for
        self._waiting = 0.0  # of what those after them do

    def add(self, embeddings: npt.NDArray[np.float32]) -> None:
        """Take in embeddings of shape (n, d)."""
        arrivals = np.arange(self._arrived, self._arrived + len(embeddings))
        self.merge(CoresetSummary(embeddings, arrivals, 0.0))

    def merge(self, summary: CoresetSummary) -> None:
        """Take in what stands for embeddings that were summarised elsewhere."""
        embeddings, arrivals, radius = summary
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
            self._arrivals[rows] = arrivals[: len(part)]
            self._filled += len(part)
            self._arrived += len(part)
            self._waiting = max(self._waiting, radius)
            embeddings, arrivals = embeddings[len(part) :], arrivals[len(part) :]

    def finish(self) -> CoresetSummary:
        """Return the coreset, and the bound of every embedding's distance to it."""
        picks, radius = self._pick(0, self._size)
        bound = radius + max(self._bound, self._waiting)
        return CoresetSummary(self._rows[picks], self._arrivals[picks], bound)

    def check_ceiling(self, width: int) -> None:
        """Refuse a ceiling of memory that is too low for embeddings of so many values.

        It is checked as they come, too; this tells before the first.

        Raises
        ------
        ParameterError
            If twice the coreset doesn't fit.
        """
        self._capacity(width)

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
        share = summary_size(self._size, chunk, self._total)
        bound = self._waiting + self._keep(self._summarised, share)
        self._bound, self._waiting = max(self._bound, bound), 0.0
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
