"""Photographs that show the same thing again: shots of one part, frames of one run."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.compiling import njit
from anomalist.errors import DataError

Float64 = npt.NDArray[np.float64]

_FEWEST = 6
# Copies are at least so many times closer than what isn't a copy, and at most so far apart beside
# the distance of most pairs.
_GAP = 2.0
_NEAR = 0.2
_OF_PAIRS = 0.75
# How often the closest pairs of independent photographs may look like copies by their gap, if what
# they can differ in has two dimensions; photographs have more.
_LEVEL = 0.01
_DIMENSIONS = 2
_COMPONENTS = 64
_PAIRS = 2**16
_FLAT = 1e-3


def find_scenes(thumbnails: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Tell which photographs show one scene, by how much closer they are than others of the set.

    Brightness and contrast of each thumbnail and the mean of all are taken away; what is left is
    what a photograph has of its own. Single linkage joins the closest first. Among independent
    photographs the distances at which it joins grow evenly. Where there are copies they leap: from
    those within a scene to those between scenes. The j lowest are taken for those within scenes if
    the next is higher by a factor of at least 2 and of ``0.01 ** (-1 / (2 j))``, and the j-th at
    most 0.2 of the distance that three quarters of the pairs don't exceed; of several such j the
    highest is taken. The second factor is what the j lowest of independent points that can differ
    in two dimensions exceed in one set of a hundred; in more dimensions they do more seldom.

    It needs something to compare with: that all photographs of a set show one scene, or that
    copies differ as much as parts do, can't be told so.

    Parameters
    ----------
    thumbnails : array of shape (n, h, w)
        Small grey pictures, such as those of `Look`, finite.

    Returns
    -------
    int array of shape (n,)
        The scene of each, numbered from 0 in the order in which they first appear. All differ where
        there are fewer than 6.

    Raises
    ------
    DataError
        If the shape is another, or a value isn't finite.

    References
    ----------
    Facco et al., "Estimating the intrinsic dimension of datasets by a minimal neighborhood
    information", Scientific Reports 7 (2017), on ratios of distances to close neighbours.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> parts = rng.normal(128, 20, (4, 8, 8))
    >>> shots = np.repeat(parts, 5, axis=0) + rng.normal(0, 1, (20, 8, 8))
    >>> find_scenes(shots)
    array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3])
    >>> len(set(find_scenes(rng.normal(128, 20, (20, 8, 8))).tolist()))
    20
    """
    pictures = np.asarray(thumbnails, np.float32)
    if pictures.ndim != 3 or not np.isfinite(pictures).all():
        raise DataError(f"thumbnails must be finite, of shape (n, h, w), not {pictures.shape}")
    n = len(pictures)
    own = np.arange(n)
    if n < _FEWEST:
        return own
    points = _own_features(pictures.reshape(n, -1))
    lengths, first, second = _tree(points)
    order = np.argsort(lengths, kind="stable")
    joined = _leap(lengths[order], _usual_distance(points))
    for edge in order[:joined].tolist():
        a, b = own[first[edge]], own[second[edge]]
        own[own == max(a, b)] = min(a, b)
    return np.unique(own, return_inverse=True)[1].reshape(n).astype(np.intp)


def _own_features(rows: npt.NDArray[np.float32]) -> Float64:
    """What each photograph has of its own, in the directions in which they differ most."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(rows.std(axis=1, keepdims=True), _FLAT)
    rows -= rows.mean(axis=0)
    wide = rows.astype(np.float64)
    if len(rows) > rows.shape[1]:
        kept = np.linalg.eigh(wide.T @ wide)[1][:, -_COMPONENTS:]
        return np.ascontiguousarray(wide @ kept)
    # The same coordinates, from the smaller matrix.
    squares, directions = np.linalg.eigh(wide @ wide.T)
    kept = directions[:, -_COMPONENTS:] * np.sqrt(np.maximum(squares[-_COMPONENTS:], 0))
    return np.ascontiguousarray(kept)


def _usual_distance(points: Float64) -> float:
    """The distance that three quarters of the pairs don't exceed, of as many as are enough."""
    n = len(points)
    if n * (n - 1) // 2 <= _PAIRS:
        first, second = np.triu_indices(n, 1)
    else:
        first, second = np.random.default_rng(0).integers(n, size=(2, _PAIRS))
    lengths = np.linalg.norm(points[first] - points[second], axis=1)
    return float(np.quantile(lengths, _OF_PAIRS))


def _leap(ascending: Float64, usual: float) -> int:
    """How many joins, of the shortest, lie within scenes."""
    j = np.arange(1, len(ascending))
    needed = np.maximum(_GAP, _LEVEL ** (-1.0 / (_DIMENSIONS * j)))
    within, beyond = ascending[:-1], ascending[1:]
    leaps = (beyond >= needed * within) & (within <= _NEAR * usual) & (beyond > _FLAT * usual)
    return int(np.flatnonzero(leaps).max()) + 1 if leaps.any() else 0


@njit()  # type: ignore[untyped-decorator]
def _tree(points: Any) -> Any:
    """The shortest tree over points, edge by edge (Prim), in memory that grows with n alone."""
    n, size = points.shape
    lengths = np.empty(n - 1)
    first = np.empty(n - 1, np.int64)
    second = np.empty(n - 1, np.int64)
    best = np.full(n, np.inf)
    nearest = np.zeros(n, np.int64)
    outside = np.ones(n, np.bool_)
    here = 0
    for edge in range(n - 1):
        outside[here] = False
        following = -1
        for i in range(n):
            if outside[i]:
                square = 0.0
                for k in range(size):
                    difference = points[i, k] - points[here, k]
                    square += difference * difference
                if square < best[i]:
                    best[i] = square
                    nearest[i] = here
                if following < 0 or best[i] < best[following]:
                    following = i
        lengths[edge] = np.sqrt(best[following])
        first[edge] = nearest[following]
        second[edge] = following
        here = following
    return lengths, first, second
