"""Frames of one run: photographs that are the more alike the closer they follow one another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError

Float64 = npt.NDArray[np.float64]

_FEWEST = 10
_PERMUTATIONS = 999
#: How often photographs in an order that says nothing may be taken for runs.
LEVEL = 0.001
# By how much more of the neighbours in order than of all pairs must lie below some distance.
_EXCESS = 0.5
# Of frames of a run the next is closer than the one after it, as often as this; or neighbours are
# closer by far than most pairs.
_NEXT_IS_CLOSER = 0.7
_NEAR = 0.3
_OF_PAIRS = 0.75
_PARTNERS = 512
_FLAT = 1e-6


def find_runs(features: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Tell which photographs, in the order in which they were taken, are frames of one run.

    Distances between features, each divided by what is usual for its two photographs, are compared:
    of neighbours in order, and of all pairs. Told are runs where, at some distance, the share of
    neighbours that lie below it exceeds that of pairs by a half or more, by more than in any of
    999 random orders, and where either seven in ten frames are closer to the next than to the one
    after it, or neighbours are at most 0.3 as far apart as three quarters of the pairs. Neighbours
    below the distance at which the excess is greatest are of one run; it is cut where they lie
    above it, and where a frame has come as far from the first of its piece as pairs usually are.

    Photographs in an order that says nothing are so told once in a thousand sets, whatever they
    show. Several products, one after another, may be taken for runs.

    Parameters
    ----------
    features : array of shape (n, d)
        What is seen on each photograph, whatever its place, in order; such as a backbone's maps
        averaged over the image.

    Returns
    -------
    int array of shape (n,)
        The run of each, numbered from 0; all differ where there is none, and of fewer than 10.

    Raises
    ------
    DataError
        If the shape is another, or a value isn't finite.

    References
    ----------
    Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses" (2005), chapter 3, on exact
    tests; the excess is the one-sided statistic of Kolmogorov and Smirnov.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scenes = rng.normal(size=(4, 1, 32))
    >>> frames = scenes + 0.1 * rng.normal(size=(4, 6, 32)).cumsum(axis=1)
    >>> find_runs(frames.reshape(24, 32)).tolist()
    [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3]
    >>> len(set(find_runs(rng.normal(size=(24, 32))).tolist()))
    24
    """
    points = np.asarray(features, np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise DataError(f"features must be finite, of shape (n, d), not {points.shape}")
    n = len(points)
    if n < _FEWEST:
        return np.arange(n)
    spread = points.std(axis=0)
    points = (points - points.mean(axis=0)) / np.where(spread > _FLAT, spread, np.inf)
    rng = np.random.default_rng(0)
    usual, pairs = _usual(points, rng)
    if not usual.all():  # photographs that are all alike
        return np.arange(n)

    def between(first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]) -> Float64:
        lengths: Float64 = np.linalg.norm(points[first] - points[second], axis=1)
        return lengths / np.sqrt(usual[first] * usual[second])

    own = np.arange(n)
    neighbours = between(own[:-1], own[1:])
    excess, limit = _excess(neighbours, pairs)
    if excess < _EXCESS:
        return own
    for _ in range(_PERMUTATIONS):
        order = rng.permutation(n)
        if _excess(between(order[:-1], order[1:]), pairs)[0] >= excess:
            return own
    over_next = between(own[:-2], own[2:])
    closer = np.mean([neighbours[:-1] < over_next, neighbours[1:] < over_next])
    linked = neighbours <= limit
    near = np.median(neighbours[linked]) <= _NEAR * np.quantile(pairs, _OF_PAIRS)
    if closer < _NEXT_IS_CLOSER and not near:
        return own
    runs = np.zeros(n, np.intp)
    first = 0
    for i in range(1, n):
        far = bool(between(own[first : first + 1], own[i : i + 1])[0] >= 1)
        runs[i] = runs[i - 1] + (far or not linked[i - 1])
        if runs[i] > runs[i - 1]:
            first = i
    return runs


def _usual(points: Float64, rng: np.random.Generator) -> tuple[Float64, Float64]:
    """The median distance of each point to others, and all these distances over it, ascending."""
    n = len(points)
    partners = np.arange(n) if n <= _PARTNERS else np.sort(rng.permutation(n)[:_PARTNERS])
    squares = (points**2).sum(axis=1)
    lengths = squares[:, None] + squares[partners] - 2 * points @ points[partners].T
    lengths = np.sqrt(lengths.clip(0))
    others = partners != np.arange(n)[:, None]
    usual = np.nanmedian(np.where(others, lengths, np.nan), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths /= np.sqrt(usual[:, None] * usual[partners])
    return usual, np.sort(lengths[others])


def _excess(neighbours: Float64, pairs: Float64) -> tuple[float, float]:
    """How many more of the neighbours than of all pairs lie at or below some distance, and that."""
    ascending = np.sort(neighbours)
    shares = np.arange(1, len(ascending) + 1) / len(ascending)
    excess = shares - np.searchsorted(pairs, ascending, side="right") / len(pairs)
    best = int(excess.argmax())
    return float(excess[best]), float(ascending[best])
