"""Sorting many pixel scores: by the bits of float32, several times as fast as by comparing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.compiling import njit

_DIGIT = 11
_PASSES = 3  # of 11 bits each, for 32
_FEW = 1 << 12
"""Below which NumPy's own sort is as fast."""


def sort_scores(values: npt.NDArray[Any], spare: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sort in place, with another array of the type for room, and return the one that is sorted.

    NaN and infinity come to lie at the ends.

    Parameters
    ----------
    values : array of shape (n,)
        What is sorted; its content is lost.
    spare : array of shape (n or more,)
        Of the same type; what it holds is lost too.

    Returns
    -------
    array of shape (n,)
        Part of either of the two.

    Examples
    --------
    >>> sort_scores(np.array([2.0, -1.0, 0.5], np.float32), np.empty(3, np.float32))
    array([-1. ,  0.5,  2. ], dtype=float32)
    """
    if values.dtype != np.float32 or len(values) < _FEW:
        values.sort()
        return values
    bits, room = values.view(np.uint32), spare[: len(values)].view(np.uint32)
    return values if _sort_bits(bits, room) else spare[: len(values)]


@njit()
def _sort_bits(bits: npt.NDArray[np.uint32], room: npt.NDArray[np.uint32]) -> bool:
    """Sort float32 by their bits, least digit first; True if the result is in ``bits``."""
    n, size = len(bits), 1 << _DIGIT
    places = np.zeros((_PASSES, size), np.int64)
    top, every = np.uint32(1 << 31), np.uint32(0xFFFFFFFF)
    for i in range(n):
        # Order of the bits made that of the numbers: negative ones are turned round.
        key = bits[i]
        key ^= every if key & top else top
        bits[i] = key
        for p in range(_PASSES):
            places[p, (key >> np.uint32(p * _DIGIT)) & np.uint32(size - 1)] += 1
    source, target = bits, room
    swapped = False
    for p in range(_PASSES):
        place, alike = 0, False
        for digit in range(size):
            count = places[p, digit]
            alike = alike or count == n
            places[p, digit] = place
            place += count
        if alike:
            continue
        for i in range(n):
            key = source[i]
            digit = (key >> np.uint32(p * _DIGIT)) & np.uint32(size - 1)
            target[places[p, digit]] = key
            places[p, digit] += 1
        source, target = target, source
        swapped = not swapped
    for i in range(n):
        key = source[i]
        source[i] = key ^ (top if key & top else every)
    return not swapped
