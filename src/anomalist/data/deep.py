"""Pixels of more than 8 bits, or of other numbers, become RGB of 8 bits by one rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.header import DEPTHS, Header

_TOP = 2**16 - 1


@dataclass(frozen=True)
class Developed:
    """An image as RGB, and what was found on the way.

    Parameters
    ----------
    image : PIL.Image.Image
        Of mode RGB.
    remarks : tuple of str
        What a person should know.
    peak : int
        Highest value of samples whose white the file doesn't tell, 0 where there are none.
    """

    image: Image.Image
    remarks: tuple[str, ...] = ()
    peak: int = 0


def develop(values: npt.NDArray[Any], header: Header, bit_depth: int = 16) -> Developed:
    """Return samples as an RGB image of 8 bits.

    Grey is rounded to the nearest of 256 levels, colour keeps its upper 8 bits. White is what the
    header tells; where it tells none, ``2**bit_depth - 1``, and what lies above is cut off there.
    Floating-point samples go from 0 to 1.

    Parameters
    ----------
    values : array of shape (height, width, channels)
        Colours, then the opacity where the header has one, then what is unused.
    header : Header
        What they mean.
    bit_depth : int
        Bits that a camera has whose samples are kept in 16.

    Raises
    ------
    ValueError
        If samples lie outside what can be shown, or aren't numbers.

    Examples
    --------
    >>> ramp = np.array([[[0], [2048], [4095], [5000]]], np.uint16)
    >>> header = Header("TIFF", 1, 4, bits=16, colours="grey", white=None)
    >>> found = develop(ramp, header, bit_depth=12)
    >>> np.asarray(found.image)[0, :, 0].tolist(), found.peak
    ([0, 128, 255, 255], 5000)
    >>> found.remarks
    ('has values above white (4095), which were cut off there',)
    """
    remarks = []
    if header.unused:
        channels = "a channel" if header.unused == 1 else f"{header.unused} channels"
        remarks.append(f"has {channels} more than its colours need, which was ignored")
    shown = values[..., : header.channels + (header.opacity != "none")]
    peak = 0
    if shown.dtype.kind == "f":
        eight = _eight_of_floats(shown)
    else:
        shown, white = whole_of(shown, _TOP if header.white is None else header.white)
        if header.white is None:
            peak = int(shown[..., : header.channels].max())
            white = 2**bit_depth - 1
            remarks += _range_remarks(peak, bit_depth)
        eight = _levels(white, header.channels == 1)[shown]
        if header.opacity != "none" and header.white is None:
            # Programs add it, with all of 16 bits, to what a camera gave.
            opacity = shown[..., header.channels]
            full = white if opacity.max() <= white < header.full else header.full
            eight[..., header.channels] = _levels(full, True)[opacity]
    if header.white_is_zero:
        eight[..., 0] = 255 - eight[..., 0]
    image = _coloured(eight[..., : header.channels], header)
    if header.opacity != "none":
        image.putalpha(Image.fromarray(np.ascontiguousarray(eight[..., header.channels])))
        image, told = laid_on_black(image, premultiplied=header.opacity == "premultiplied")
        remarks += told
    return Developed(image, tuple(remarks), peak)


def peak_of(values: npt.NDArray[Any], header: Header) -> int:
    """Return the highest value of an image's colours where its header leaves white open, else 0.

    Raises
    ------
    ValueError
        If samples lie outside what can be shown.
    """
    if header.white is not None:
        return 0
    return int(whole_of(values[..., : header.channels], _TOP)[0].max())


def bits_of(peaks: Iterable[int]) -> int:
    """Return the fewest bits of a camera that hold all of some values; 16 of no value.

    Parameters
    ----------
    peaks : iterable of int
        Highest values of images; those of 0, which have none, don't count.

    Examples
    --------
    >>> bits_of([900, 4095]), bits_of([4096]), bits_of([0])
    (12, 14, 16)
    """
    peak = max(peaks, default=0)
    return next((bits for bits in DEPTHS if 0 < peak < 2**bits), DEPTHS[-1])


def laid_on_black(
    image: Image.Image, *, premultiplied: bool = False
) -> tuple[Image.Image, tuple[str, ...]]:
    """Return an RGBA image as RGB, seen against black, and what is to be told of it.

    An opacity of 0 everywhere says nothing of the image, but of who wrote it: it is ignored.

    Examples
    --------
    >>> image, told = laid_on_black(Image.new("RGBA", (1, 1), (7, 8, 9, 0)))
    >>> image.getpixel((0, 0)), told
    ((7, 8, 9), ('has an opacity of 0 everywhere, which was ignored',))
    """
    low, high = image.getchannel("A").getextrema()
    if high == 0:
        return image.convert("RGB"), ("has an opacity of 0 everywhere, which was ignored",)
    if low == 255:
        return image.convert("RGB"), ()
    told = ("is partly transparent, which is seen against black",)
    if premultiplied:
        return image.convert("RGB"), told
    ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(ground, image).convert("RGB"), told


def whole_of(values: npt.NDArray[Any], white: int) -> tuple[npt.NDArray[np.uint16], int]:
    """Whole numbers as at most 16 bits, and what white is then."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > white:
        raise ValueError(
            f"its {values.dtype} values go from {low} to {high}, not within 0..{white}; save it"
            " with 8 or 16 bits"
        )
    beyond = max(white.bit_length() - 16, 0)
    return (values >> beyond).astype(np.uint16), white >> beyond


def _range_remarks(peak: int, bit_depth: int) -> list[str]:
    if peak >= 2**bit_depth:
        return [f"has values above white ({2**bit_depth - 1}), which were cut off there"]
    used = bits_of([peak])
    if peak > 0 and used < bit_depth:
        return [f"uses 1/{2 ** (bit_depth - used)} of its {bit_depth}-bit range"]
    return []


@lru_cache(maxsize=16)
def _levels(white: int, grey: bool) -> npt.NDArray[np.uint8]:
    """The level of each value of 16 bits."""
    values = np.minimum(np.arange(2**16, dtype=np.uint32), white)
    bits = white.bit_length()
    if not grey and bits > 8 and white == 2**bits - 1:
        return (values >> (bits - 8)).astype(np.uint8)
    # White is odd where it matters, so that this rounds to the nearest with no ties.
    return ((values * 255 + white // 2) // white).astype(np.uint8)


def _eight_of_floats(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"its {values.dtype} values go from {low} to {high}, not within 0..1; save it with"
            " 8 or 16 bits"
        )
    eight: npt.NDArray[np.uint8] = np.rint(values.astype(np.float32) * np.float32(255)).astype(
        np.uint8
    )
    return eight


def _coloured(colours: npt.NDArray[np.uint8], header: Header) -> Image.Image:
    """Samples of 8 bits as RGB."""
    if header.colours == "grey":
        return Image.fromarray(np.ascontiguousarray(colours[..., 0])).convert("RGB")
    if header.colours in ("cmyk", "lab"):
        height, width = colours.shape[:2]
        mode = header.colours.upper()
        return Image.frombytes(mode, (width, height), colours.tobytes()).convert("RGB")
    return Image.fromarray(np.ascontiguousarray(colours))
