"""What of a photograph counts for nothing, and what is laid there before anything looks at it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.data.masks import read_mask
from anomalist.data.transforms import Transform
from anomalist.errors import DataError

Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]

#: Left, top, width and height in pixels of a photograph.
Box = tuple[int, int, int, int]

# How many pixels more than bilinear these filters reach to each side.
_WIDER = {"bicubic": 1, "lanczos": 2}
# How far the proportions of a mask may be from those of photographs.
_ALIKE = 0.01


@dataclass(frozen=True, eq=False)
class Ignored:
    """Pixels of transformed photographs that count for nothing, and what is laid on them.

    What is laid there is the mean of the good photographs. So nothing that comes later, be it a
    receptive field that reaches into the region or a method that learns, sees anything but what is
    usual there.

    Parameters
    ----------
    mask : bool array of shape (H, W)
        True where a pixel is ignored.
    fill : uint8 array of shape (n, 3)
        Colour of each of these, in the order of rows.

    Examples
    --------
    >>> mask = np.array([[True, False]])
    >>> ignored = Ignored.learnt(mask, [np.full((2, 1, 2, 3), 40, np.uint8)])
    >>> ignored(np.full((1, 1, 2, 3), 200, np.uint8))[0, 0, :, 0]
    array([ 40, 200], dtype=uint8)
    """

    mask: Bool
    fill: UInt8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ignored) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @classmethod
    def learnt(cls, mask: Bool, batches: Iterable[UInt8]) -> Self:
        """Take the mean of good photographs, whatever their order.

        Parameters
        ----------
        mask : bool array of shape (H, W)
            True where a pixel is ignored.
        batches : iterable of uint8 arrays of shape (B, H, W, 3)
            The transformed photographs, one at least.
        """
        total = np.zeros((int(mask.sum()), 3), np.int64)
        count = 0
        for pixels in batches:
            total += pixels[:, mask].sum(axis=0, dtype=np.int64)
            count += len(pixels)
        return cls(mask, np.rint(total / count).astype(np.uint8))

    def __call__(self, pixels: UInt8) -> UInt8:
        """Return transformed photographs (B, H, W, 3) with what is usual where they are ignored."""
        filled = pixels.copy()
        filled[:, self.mask] = self.fill
        return filled

    @property
    def picture(self) -> UInt8:
        """What is laid on the photographs, (H, W, 3), black where nothing is."""
        picture = np.zeros((*self.mask.shape, 3), np.uint8)
        picture[self.mask] = self.fill
        return picture

    @property
    def share(self) -> float:
        """Share of the pixels that are ignored."""
        return float(self.mask.mean())

    @cached_property
    def key(self) -> str:
        """Hash of mask and colours, by which what was made with them is known."""
        content = hashlib.sha256(repr(self.mask.shape).encode())
        content.update(np.packbits(self.mask).tobytes())
        content.update(self.fill.tobytes())
        return content.hexdigest()

    def resized(self, size: tuple[int, int]) -> Ignored:
        """Return the same at another height and width, of the nearest pixels."""
        if size == self.mask.shape:
            return self
        transform = Transform(size, interpolation="nearest")
        mask = transform.mask(self.mask)
        return Ignored(mask, transform(Image.fromarray(self.picture))[mask])


@dataclass(frozen=True)
class Filled:
    """A transform, and what is then laid on what is ignored: what a detector sees of photographs.

    Parameters
    ----------
    transform : Transform
        Brings a photograph to its size.
    ignored : Ignored
        Of that size.

    Examples
    --------
    >>> ignored = Ignored(np.array([[True, False]]), np.full((1, 3), 40, np.uint8))
    >>> seen = Filled(Transform((1, 2)), ignored)
    >>> seen(Image.new("RGB", (2, 1), "white"))[0, :, 0]
    array([ 40, 255], dtype=uint8)
    """

    transform: Transform
    ignored: Ignored

    @property
    def bit_depth(self) -> int:
        """Bits of the camera whose values 16-bit images hold."""
        return self.transform.bit_depth

    def __call__(self, image: Image.Image) -> UInt8:
        """Return what is seen of an image, (H, W, 3)."""
        filled: UInt8 = self.ignored(self.transform(image)[None])[0]
        return filled


Sight = Transform | Filled
"""How a detector sees photographs: as a transform gives them, or with what is ignored filled."""


def drawn_mask(
    sizes: Iterable[tuple[int, int]], mask: str | Path | None, boxes: Sequence[Box]
) -> Bool | None:
    """Make one mask, True where pixels are ignored, of a file and of boxes.

    Parameters
    ----------
    sizes : iterable of (int, int)
        Heights and widths of the photographs.
    mask : str or Path, optional
        A mask file, white where a pixel is ignored, of the photographs' proportions.
    boxes : sequence of (int, int, int, int)
        Left, top, width and height, in pixels of the photographs. What lies beyond the edge of
        photographs is cut off.

    Returns
    -------
    bool array of shape (height, width), or None
        Of any size, but the photographs' proportions; None where nothing is asked for.

    Raises
    ------
    DataError
        If the mask can't be read, is empty or of other proportions, or a box lies outside, or
        photographs differ in size where there are boxes.

    Examples
    --------
    >>> drawn_mask([(2, 4)], None, [(3, 0, 9, 1)])
    array([[False, False, False,  True],
           [False, False, False, False]])
    """
    known = sorted(set(sizes))
    drawn = None
    if boxes:
        if len(known) > 1:
            (height, width), (other_height, other_width) = known[0], known[-1]
            raise DataError(
                "ignore_box is in pixels of the photographs, but they differ in size"
                f" ({width} x {height}, {other_width} x {other_height}): draw a mask for ignore"
            )
        drawn = np.zeros(known[0], np.bool_)
        for x, y, width, height in boxes:
            if x >= drawn.shape[1] or y >= drawn.shape[0]:
                raise DataError(
                    f"ignore_box {x},{y},{width},{height} lies outside the photographs, which have"
                    f" {drawn.shape[1]} x {drawn.shape[0]} pixels"
                )
            drawn[y : y + height, x : x + width] = True
    if mask is not None:
        given = read_mask(mask)
        if not given.any():
            raise DataError(f"{mask} ignores nothing: paint white what is to be ignored")
        for height, width in known:
            ratio = given.shape[1] * height / (given.shape[0] * width)
            if abs(ratio - 1) > _ALIKE:
                raise DataError(
                    f"{mask} has {given.shape[1]} x {given.shape[0]} pixels, other proportions than"
                    f" photographs of {width} x {height}: draw it on one of them"
                )
        drawn = (
            given if drawn is None else _larger(drawn, given.shape) | _larger(given, drawn.shape)
        )
    return drawn


def touched(mask: Bool, transform: Transform) -> Bool:
    """Return where any ignored pixel has a part in a pixel that comes out of a transform.

    Parameters
    ----------
    mask : bool array of shape (height, width)
        True where a pixel of the photograph is ignored.

    Returns
    -------
    bool array of shape (H, W)

    Examples
    --------
    >>> touched(np.array([[True, False, False, False]] * 2), Transform((1, 4)))
    array([[ True, False, False, False]])
    """
    wider = _WIDER.get(transform.interpolation)
    if wider is not None:
        transform = dataclasses.replace(transform, interpolation="bilinear")
    picture = Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB")
    found: Bool = transform(picture)[:, :, 0] > 0
    if wider is not None:
        left, top, right, bottom = transform.region(mask.shape)
        enlarged = max(found.shape[0] / (bottom - top), found.shape[1] / (right - left), 1.0)
        found = ndimage.binary_dilation(found, np.ones((3, 3)), math.ceil(wider * enlarged))
    return found


def _larger(mask: Bool, size: tuple[int, ...]) -> Bool:
    """The mask at the larger of two sizes."""
    height, width = max(mask.shape[0], size[0]), max(mask.shape[1], size[1])
    return Transform((height, width), interpolation="nearest").mask(mask)
