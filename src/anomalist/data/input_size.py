"""To which size photographs are brought, so that they keep their proportions."""

from __future__ import annotations

import math
from collections.abc import Iterable

from anomalist.data.sample import Sample

STEP = 32
"""Pixels of which both sides are multiples: what the deepest stride of the usual networks spans."""


def usual_size(images: Iterable[Sample]) -> tuple[int, int]:
    """Return the height and width of the middle one of some photographs, by its proportions.

    Raises
    ------
    DataError
        If one can't be read.

    Examples
    --------
    >>> import numpy as np
    >>> usual_size([Sample("a", image=np.zeros((30, side), np.uint8)) for side in (40, 90, 60)])
    (30, 60)
    """
    sizes = sorted((sample.size() for sample in images), key=lambda size: (size[0] / size[1], size))
    return sizes[len(sizes) // 2]


def of_as_many_pixels(side: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return a height and width in the proportions of a photograph, of as many pixels as a square.

    Both are multiples of 32, which bends the proportions a little; where that makes them equal, the
    square is kept as it is.

    Parameters
    ----------
    side : int
        Of the square.
    size : (int, int)
        Height and width of the photograph.

    Examples
    --------
    >>> of_as_many_pixels(256, (500, 1260)), of_as_many_pixels(250, (900, 900))
    ((160, 416), (250, 250))
    >>> of_as_many_pixels(256, (2, 9000))
    (32, 2048)
    """
    height, width = size
    ratio = math.sqrt(height / width)
    # Of a very narrow strip, the shorter side can't be less than a step.
    most = side * side / STEP
    found = rounded(min(side * ratio, most)), rounded(min(side / ratio, most))
    return (side, side) if found[0] == found[1] else found


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return a photograph's height and width times a scale, as multiples of 32.

    Examples
    --------
    >>> scaled((2000, 8000), 0.5)
    (992, 4000)
    """
    return rounded(size[0] * scale), rounded(size[1] * scale)


def rounded(side: float) -> int:
    """Return the multiple of 32 nearest to a side, and no less than one.

    Examples
    --------
    >>> rounded(100.0), rounded(3.0)
    (96, 32)
    """
    return max(STEP, math.floor(side / STEP + 0.5) * STEP)
