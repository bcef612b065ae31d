"""Photographs that aren't independent of each other, kept together as groups."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError

Int64 = npt.NDArray[np.int64]


def number_groups(groups: Iterable[Hashable] | None, n: int) -> Int64:
    """Number the groups of ``n`` images from 0, in the order in which they first appear.

    Parameters
    ----------
    groups : iterable of hashable, optional
        One an image, equal for images that aren't independent; without it, every image is a group
        of its own.
    n : int
        Number of images.

    Returns
    -------
    int64 array of shape (n,)

    Raises
    ------
    DataError
        If there aren't as many as images, or one can't be compared.

    Examples
    --------
    >>> number_groups(["b", "a", "b"], 3).tolist(), number_groups(None, 3).tolist()
    ([0, 1, 0], [0, 1, 2])
    """
    if groups is None:
        return np.arange(n)
    given = groups.tolist() if isinstance(groups, np.ndarray) else list(groups)
    if len(given) != n:
        raise DataError(f"groups must be one an image, {n} in all, not {len(given)}")
    numbers: dict[Hashable, int] = {}
    try:
        return np.array([numbers.setdefault(group, len(numbers)) for group in given], np.int64)
    except TypeError as error:
        raise DataError(
            f"groups must be names or numbers that can be compared, one an image: {error}"
        ) from error


def all_differ(groups: Int64) -> bool:
    """Whether every image is a group of its own.

    Examples
    --------
    >>> all_differ(np.array([0, 1, 2])), all_differ(np.array([0, 1, 0]))
    (True, False)
    """
    return len(groups) == 0 or int(groups.max()) + 1 == len(groups)


def join_groups(first: Int64, second: Int64) -> Int64:
    """Return groups of which each holds whole those of both that it has a part of.

    Examples
    --------
    >>> join_groups(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])).tolist()
    [0, 0, 0, 1]
    """
    joined = first.copy()
    for group in range(int(second.max(initial=-1)) + 1):
        touched = np.unique(joined[second == group])
        joined[np.isin(joined, touched)] = touched[0]
    return number_groups(joined, len(joined))
