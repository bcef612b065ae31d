"""Mask files become boolean masks: one rule says which values are a defect, whatever wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.data.deep import laid_on_black
from anomalist.data.header import Header
from anomalist.data.picture import MAX_PIXELS, open_source, opened
from anomalist.errors import DataError

_LOSSY = frozenset({"JPEG", "MPO"})
# Below it, what compression blurs can't be told from what it leaves behind.
_LEAST_LOSSY_TOP = 32
# A mask that has so many values in a fourth of its pixels is none.
_TONES = 32
# By so much compression changes a ground, a few pixels apart.
_NOISE = 8
# Compression works on blocks of 8 or 16 pixels: no trace of it is farther from what it is of.
_REACH = 16
# An edge is seldom softer than that, in pixels.
_SMEAR = 7
# Neighbours that come before a pixel in reading order, from the corner of its 3 x 3.
_BEFORE = (0, 0), (0, 1), (0, 2), (1, 0)
_EIGHT = np.ones((3, 3), np.bool_)

Values = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Mask:
    """Which pixels are defective, and what was assumed to find out.

    Parameters
    ----------
    pixels : bool array of shape (H, W)
        True where defective.
    remarks : tuple of str
        Short clauses that go on from the mask's name.
    """

    pixels: npt.NDArray[np.bool_]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Ink:
    """How far the pixels of a mask are from its ground.

    Parameters
    ----------
    height : array of shape (H, W)
        0 on the ground, and positive elsewhere.
    colour : array of shape (H, W)
        Equal where two pixels look the same.
    remarks : tuple of str
        What was assumed.
    """

    height: Values
    colour: Values
    remarks: tuple[str, ...]


def read_mask(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.bool_]:
    """Read a mask file: True where the pixel is defective.

    Black is good and anything else defective: masks of 0 and 255, of 0 and 1, with numbered
    defects, 16-bit, in colour, with a palette or painted on a transparent ground all mean what they
    look like. `read_mask_file` tells the rest of the rule, and what was assumed.

    Parameters
    ----------
    path : str or Path
        The file.
    max_pixels : int
        As for `read_image`.

    Returns
    -------
    bool array of shape (H, W)
        Turned as the EXIF orientation asks.

    Raises
    ------
    DataError
        If the file can't be read, or its values can't be understood.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mask.png"
    >>> Image.fromarray(np.array([[0, 1], [0, 255]], np.uint8)).save(path)
    >>> read_mask(path)
    array([[False,  True],
           [False,  True]])
    """
    return read_mask_file(path, max_pixels=max_pixels).pixels


def read_mask_file(
    source: str | Path | bytes, *, name: str | Path | None = None, max_pixels: int = MAX_PIXELS
) -> Mask:
    """Read a mask file, and tell what was assumed of it.

    1. The ground, which is good, is black; where most of the picture is transparent, what is
       transparent. A grey picture without black has its darkest value as ground, one in colour the
       colour of more than half of it. Both are told. White isn't taken for good because there is
       more of it than of black.
    2. All else is defective, except where the edges are soft, as those of antialiased drawings and
       of pictures that once were a JPEG. Then a pixel is defective from half of the highest value
       of its region on, and this is told.

    Parameters
    ----------
    source : str, Path or bytes
        The file, or its bytes.
    name : str or Path, optional
        What errors call it; by default its path.
    max_pixels : int
        As for `read_image`.

    Raises
    ------
    DataError
        If the file can't be read, or its values can't be understood.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mask.png"
    >>> drawn = Image.new("L", (64, 64))
    >>> drawn.paste(255, (20, 20, 30, 40))
    >>> drawn.resize((32, 32)).rotate(30, Image.Resampling.BICUBIC).save(path)
    >>> read_mask_file(path).remarks
    ('has soft edges; half of its highest value is taken for the edge',)
    """
    with opened(source, name, max_pixels) as picture:
        header = picture.header
        lossy = header.format in _LOSSY or (header.format == "WEBP" and _is_lossy_webp(source))
        if header.reader == "values":
            ink = _of_samples(picture.values(), header)
        else:
            ink = _ink(picture.upright())
        top = ink.height.max(initial=0)
        if lossy and 0 < top < _LEAST_LOSSY_TOP:
            raise DataError(
                f"{name or source!s} is a mask saved as {header.format} whose highest value is"
                f" {top}, which its compression blurs: save it as PNG"
            )
        return _defective(ink, lossy)


def _of_samples(values: Values, header: Header) -> _Ink:
    """Of samples as they are stored: more than 8 bits of one, or floating point."""
    colours = values[..., : header.channels]
    if not np.isfinite(colours).all():
        raise ValueError("some of its values aren't numbers; save it with 8 or 16 bits")
    if header.white_is_zero:
        colours = (header.white or header.full) - colours
    if colours.min() < 0:
        raise ValueError(
            f"its values go down to {colours.min()}; save it with 0 where the part is good"
        )
    height = colours.max(axis=2)
    grey = bool((colours == colours[..., :1]).all())
    colour = height if grey else _numbered(colours)
    if header.opacity != "none" and (opacity := values[..., header.channels]).any():
        clear = opacity == 0
        if clear.mean() > 0.5:
            return _painted(opacity, colour, black=height == 0)
        height, colour = np.where(clear, 0, height), np.where(clear, 0, colour)
    return _on_black(height) if grey else _Ink(height, colour, ())


def _numbered(colours: Values) -> Values:
    """A number for each colour, 0 for black."""
    flat = np.ascontiguousarray(colours).reshape(-1, colours.shape[2])
    _, numbers = np.unique(flat, axis=0, return_inverse=True)
    found: Values = np.where(flat.any(axis=1), numbers.ravel() + 1, 0)
    return found.reshape(colours.shape[:2])


def _ink(image: Image.Image) -> _Ink:
    if image.has_transparency_data:
        painted = image.convert("RGBA")
        rgba = np.asarray(painted)
        opacity = rgba[..., 3]
        if not opacity.any():
            if (rgba == rgba[:1, :1]).all():  # nothing was painted
                return _Ink(opacity, opacity, ())
            seen, told = laid_on_black(painted)
            return _of_colours(np.asarray(seen), told)
        if (opacity == 0).mean() > 0.5:
            colour = _packed(rgba[..., :3])
            return _painted(opacity, colour, black=colour == 0)
        seen, _ = laid_on_black(painted)
        ink = _of_colours(np.asarray(seen))
    else:
        ink = _of_colours(np.asarray(image.convert("RGB")))
    if image.mode == "P" and ink.colour.min() == ink.colour.max():
        numbers = np.asarray(image)
        if numbers.min() != numbers.max():
            told = ("has a palette of one colour; the numbers in it are taken for defects, 0 for"
                    " good",)  # fmt: skip
            return _Ink(numbers, numbers, told)
    return ink


def _painted(opacity: Values, colour: Values, *, black: npt.NDArray[np.bool_]) -> _Ink:
    """Strokes on a transparent ground, black ones too."""
    told: tuple[str, ...] = ()
    if (black & (opacity > 0)).any():
        told = ("has black on a transparent ground; what isn't transparent is taken for defective",)
    shown = colour.astype(np.int64) << 16 | opacity.astype(np.int64)
    return _Ink(opacity, np.where(opacity == 0, -1, shown), told)


def _of_colours(rgb: npt.NDArray[np.uint8], remarks: tuple[str, ...] = ()) -> _Ink:
    red, green, blue = (rgb[..., i] for i in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return _on_black(red, remarks)
    colour = _packed(rgb)
    height = np.maximum(np.maximum(red, green), blue)
    if not height.all():
        return _Ink(height, colour, remarks)
    values, counts = np.unique(colour, return_counts=True)
    ground = int(values[counts.argmax()])
    ends = ground >> 16, ground >> 8 & 255, ground & 255
    away = np.abs(rgb.astype(np.int16) - ends).max(axis=2).astype(np.uint8)
    # Of a photograph, no two pixels need be alike.
    if counts.max() < away.size / 10 or not 0.5 < (away <= _NOISE).mean() < 1:
        return _Ink(height, colour, remarks)  # and all is defective
    shown = " ".join(map(str, ends))
    told = f"has no black; its most frequent colour, {shown}, is taken for the ground"
    return _Ink(away, colour, (*remarks, told))


def _on_black(grey: Values, remarks: tuple[str, ...] = ()) -> _Ink:
    low, high = grey.min(), grey.max()
    if low in (0, high):
        return _Ink(grey, grey, remarks)
    told = f"has no black; its lowest value, {low}, is taken for the ground"
    return _Ink(grey - low, grey, (*remarks, told))


def _packed(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    packed = rgb[..., 0].astype(np.int32)
    for channel in (1, 2):
        packed = packed << 8 | rgb[..., channel]
    return packed


def _defective(ink: _Ink, lossy: bool) -> Mask:
    marked: npt.NDArray[np.bool_] = ink.height != 0
    box = ndimage.find_objects(marked.astype(np.uint8))
    if not box:
        return Mask(marked, ink.remarks)
    # With a border of ground, where there is any.
    part = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box[0])
    height, colour = ink.height[part], ink.colour[part]
    top = float(height.max())
    if not ((height > 0) & (height < top)).any():
        return Mask(marked, ink.remarks)
    told = "has soft edges; half of its highest value is taken for the edge"
    zones = _Zones.of(height, colour)
    between = height[(height > top / 8) & (height < top * 7 / 8) & ~zones.inner]
    if len(between) > marked.size / 4 and len(np.unique(between)) > _TONES:
        told = "looks like a photograph; half of its highest value is taken for the edge"
        half = height >= top / 2
    elif lossy or zones.are_soft():
        half = zones.above_half()
    else:
        return Mask(marked, ink.remarks)
    marked = np.zeros_like(marked)
    marked[part] = half
    return Mask(marked, (*ink.remarks, told))


@dataclass(frozen=True, eq=False)
class _Zones:
    """Where the values of a mask change, by which soft edges are told from numbered defects.

    A number of a defect fills an area, and another one that it touches isn't reached by steps. The
    values of a soft edge come in thin rows and specks, each with a higher one beside it. Those that
    compression leaves are specks, close to what is compressed, and close to 0 or to the top.

    Parameters
    ----------
    height, colour : array of shape (H, W)
        As in `_Ink`.
    middle : bool array of shape (H, W)
        Values between the ground and the top.
    inner : bool array of shape (H, W)
        Pixels that look like all around them.
    """

    height: Values
    colour: Values
    middle: npt.NDArray[np.bool_]
    inner: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, height: Values, colour: Values) -> _Zones:
        middle = (height > 0) & (height < height.max())
        low = ndimage.minimum_filter(colour, 3, mode="nearest")
        high = ndimage.maximum_filter(colour, 3, mode="nearest")
        return cls(height, colour, middle, (low == high) & (height > 0))

    def are_soft(self) -> bool:
        """Whether there are edges that rise by steps, or specks that compression left."""
        thin = self.middle & ~self._beside_inner()
        higher = ndimage.maximum_filter(self.height, 3, mode="nearest") > self.height
        starts = self._starts()
        values, place = np.unique(self.colour[self.middle], return_inverse=True)
        steps = np.bincount(place, (thin & higher)[self.middle], len(values))
        is_step = steps >= np.bincount(place, minlength=len(values)) / 2
        lonely = np.bincount(place, (self._alone() & higher)[self.middle], len(values))
        many = lonely[is_step].sum() >= 4 or is_step.sum() >= 5
        if is_step.sum() >= 2 and many and steps[is_step].sum() >= thin.sum() / 4:
            return True
        top = float(self.height.max())
        low = self.middle & (self.height <= top / 16)
        close_by = ndimage.maximum_filter(
            (self.height >= top / 4).astype(np.uint8), 2 * _REACH - 1, mode="constant"
        ).astype(np.bool_)
        specks, area = int(starts[low].sum()), int(low.sum())
        a_value = specks / max(len(np.unique(self.colour[low])), 1)
        many = (specks >= 8 and a_value >= 4) or (specks >= 3 and a_value >= 2 >= area / specks)
        return many and bool((thin & close_by)[low].all())

    def above_half(self) -> npt.NDArray[np.bool_]:
        """What reaches half of the highest value of its region."""
        top = float(self.height.max())
        levels = self._levels()
        areas = self.inner & np.isin(self.height, levels)
        # What is lower is a trace of compression, unless it fills an area.
        floor, least = min(top / 8, levels.min(initial=top) / 2), 0.0
        peaked = self.height == ndimage.maximum_filter(self.height, 3, mode="nearest")
        traces = self.height[peaked & (self.height > 0) & (self.height < top / 8) & ~areas]
        if len(traces):
            # The highest are a few times as high as most.
            least = min(top / 3, 4 * float(np.quantile(traces, 0.95)))
        else:
            floor = 0.0
        regions, count = ndimage.label(self.height > floor, _EIGHT)
        peaks = ndimage.maximum(self.height, regions, np.arange(count + 1)).astype(np.float64)
        flat = np.zeros(count + 1, np.bool_)
        flat[regions[areas]] = True
        needed = np.where(flat | (peaks >= least), peaks / 2, np.inf)
        needed[0] = np.inf
        marked: npt.NDArray[np.bool_] = self.height >= needed[regions]
        # An area of a lower value than half of one that it touches is a defect all the same.
        missed = np.where(areas & ~marked, self.height, 0)
        if missed.any():
            around = ndimage.maximum_filter(missed, _SMEAR, mode="constant")
            marked |= (around > 0) & (self.height >= around / 2)
        return marked

    def _levels(self) -> Values:
        """The values that fill areas, rather than being passed on the way to another."""
        values, place = np.unique(self.height, return_inverse=True)
        inside = np.bincount(place.ravel(), self.inner.ravel(), len(values))
        whole = np.bincount(place.ravel(), minlength=len(values))
        kept: Values = values[(inside >= whole / 4) & (values >= self.height.max() / 32)]
        return kept

    def _beside_inner(self) -> npt.NDArray[np.bool_]:
        """Pixels of zones that are more than two pixels wide."""
        beside = self.inner.copy()
        rows, columns = self.colour.shape
        inner, colour = np.pad(self.inner, 1), np.pad(self.colour, 1)
        for y in range(3):
            for x in range(3):
                there = np.s_[y : y + rows, x : x + columns]
                beside |= inner[there] & (colour[there] == self.colour)
        return beside

    def _starts(self) -> npt.NDArray[np.bool_]:
        """Pixels that begin a zone: none like it touches it from before, in reading order.

        A zone has one, or few where its outline is ragged.
        """
        return self._unlike(_BEFORE)

    def _alone(self) -> npt.NDArray[np.bool_]:
        """Pixels that are a zone of their own."""
        return self._unlike(_BEFORE + tuple((2 - y, 2 - x) for y, x in _BEFORE))

    def _unlike(self, places: tuple[tuple[int, int], ...]) -> npt.NDArray[np.bool_]:
        """Pixels off the ground that look like none of their neighbours at some places."""
        rows, columns = self.colour.shape
        unlike = self.height > 0
        marked, colour = np.pad(unlike, 1), np.pad(self.colour, 1)
        for y, x in places:
            there = np.s_[y : y + rows, x : x + columns]
            unlike &= ~(marked[there] & (colour[there] == self.colour))
        return unlike


def _is_lossy_webp(source: str | Path | bytes) -> bool:
    """Whether the picture in a WebP file is of the kind that compression changes (RFC 9649)."""
    with open_source(source) as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            if head[:4] in (b"VP8 ", b"VP8L"):
                return head[:4] == b"VP8 "
            size = int.from_bytes(head[4:], "little")
            file.seek(size + size % 2, 1)
    return False
