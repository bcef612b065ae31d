"""Views: images as people look at them, no larger than a screen, in their own proportions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image

from anomalist.errors import ParameterError

LEAST_SIDE = 128
"""Pixels of the shorter side below which a long image isn't made smaller, and of the longer side up
to which a tiny one is enlarged."""
_LONGEST = 8
# Twice the least that can be told apart, and more than any screen has.
_LEAST_VIEW, _MOST_VIEW = 16, 100_000


@dataclass(frozen=True)
class View:
    """An image as it was last read, for a look.

    Parameters
    ----------
    side : int
        See `view_size`.
    bit_depth : int
        With which it is read.
    image : PIL.Image.Image, optional
        None before it is read.
    """

    side: int
    bit_depth: int
    image: Image.Image | None = None


def check_side(name: str, side: int) -> None:
    """Refuse a number of pixels that no view can have.

    Raises
    ------
    ParameterError
        Unless it is from 16 to 100,000.
    """
    if not _LEAST_VIEW <= side <= _MOST_VIEW:
        raise ParameterError(f"{name} must be from 16 to 100,000 pixels, not {side}")


def view_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return height and width of the view of an image.

    The longer side has at most ``side`` pixels. Of images longer than eight times their width, such
    as those of line-scan cameras, the shorter side isn't made smaller than 128 pixels, or an eighth
    of ``side``, as long as the longer has no more than eight times ``side``. An image whose longer
    side has less than 128 pixels is enlarged by a whole number.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image in pixels.
    side : int
        Most pixels of the longer side.

    Examples
    --------
    >>> view_size((3000, 4000), 1024), view_size((600, 800), 1024)
    ((768, 1024), (600, 800))
    >>> view_size((200, 10000), 1024), view_size((8, 6), 1024)
    ((128, 6400), (128, 96))
    """
    longer, shorter = max(size), min(size)
    if longer < min(LEAST_SIDE, side):
        whole = math.ceil(min(LEAST_SIDE, side) / longer)
        return size[0] * whole, size[1] * whole
    least = min(LEAST_SIDE, side / _LONGEST)
    scale = max(side / longer, min(least / shorter, _LONGEST * side / longer))
    if scale >= 1:
        return size
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def view_of(image: Image.Image, side: int) -> Image.Image:
    """Return the view of an image.

    Parameters
    ----------
    image : PIL.Image.Image
        Of mode RGB.
    side : int
        See `view_size`.

    Examples
    --------
    >>> view_of(Image.new("RGB", (4000, 3000)), 1024).size
    (1024, 768)
    """
    height, width = view_size((image.height, image.width), side)
    if height >= image.height:
        return image.resize((width, height), Image.Resampling.NEAREST)
    # Means of whole blocks first: a third of the time for a difference that nobody sees.
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=1.0)
