"""The ground truth of an image: its mask files together, each brought to the image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from anomalist.data.annotations import read_annotation
from anomalist.data.masks import Mask, read_mask_file
from anomalist.data.names import first_of
from anomalist.data.picture import turned
from anomalist.errors import DataError

if TYPE_CHECKING:
    from anomalist.data.sample import Sample

_NAMED = 3
# Outlines in files that aren't JSON.
_UNREAD = {
    ".xml": "Pascal VOC or CVAT",
    ".txt": "YOLO",
    ".csv": "a table",
    ".geojson": "GeoJSON",
    ".mat": "MATLAB",
    ".npy": "NumPy",
}


@dataclass(frozen=True)
class Photograph:
    """What a mask must fit.

    Parameters
    ----------
    path : Path
        The file, or what the image is called.
    size : (int, int)
        Height and width, as it is read.
    turn : callable
        Returns the EXIF orientation by which it was turned.
    """

    path: Path
    size: tuple[int, int]
    turn: Callable[[], int]


def read_truth(paths: Iterable[Path], photograph: Photograph) -> Mask:
    """Read the mask files of an image: what any of them marks is defective.

    A file that ends in ``.json`` holds outlines of LabelMe or COCO, any other one is a picture.
    Outlines that are drawn for another size are scaled if its shape is the same; pictures aren't,
    since a part of the image can have that shape too. A mask that fits the photograph as it is
    stored, but not as its EXIF orientation turns it, is turned the same way.

    Parameters
    ----------
    paths : iterable of Path
        The files.
    photograph : Photograph
        The image.

    Raises
    ------
    DataError
        If a file can't be read or doesn't fit the image.
    """
    pixels = np.zeros(photograph.size, np.bool_)
    remarks: dict[str, None] = {}
    for path in paths:
        if path.suffix.lower() == ".json":
            mask = _outlined(path, photograph)
        else:
            mask = _pictured(path, photograph)
        pixels |= mask.pixels
        remarks.update(dict.fromkeys(mask.remarks))
    return Mask(pixels, (*remarks, *share_remarks(pixels)))


def share_remarks(pixels: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """What a mask tells that marks more than a defect does, as a rule."""
    if pixels.all():
        return ("marks every pixel of its image",)
    if pixels.mean() > 0.5:
        return ("marks more than half of its image; if black is what it marks, invert it",)
    return ()


def gather_mask_remarks(samples: Iterable[Sample]) -> list[str]:
    """Return what the masks of images told, in lines for people.

    The same remark of many masks is one line, with their number and some names. Masks of good
    images are looked at too: they should mark nothing.

    Parameters
    ----------
    samples : iterable of Sample
        Those without a mask, or whose label is unknown, say nothing.

    Raises
    ------
    DataError
        If a mask can't be read.

    Examples
    --------
    >>> from anomalist.data import Sample
    >>> image, mask = np.zeros((4, 4), np.uint8), np.ones((4, 4), bool)
    >>> gather_mask_remarks([Sample("frame", True, "cut", mask, image)])
    ['the mask of frame marks every pixel of its image']
    """
    said: dict[str, list[str]] = defaultdict(list)
    count = 0
    for sample in samples:
        if sample.mask is None or sample.label is None:
            continue
        count += 1
        name = _called(sample)
        if sample.label:
            for remark in sample.mask_remarks():
                said[remark].append(name)
        elif (mask := sample.read_mask()) is not None and mask.any():
            said["marks a defect, but its image is a good one and counts as such"].append(name)
    return [_line(remark, names, count) for remark, names in said.items()]


def _line(remark: str, names: list[str], masks: int) -> str:
    if len(names) == 1:
        return f"the mask {names[0]} {remark}"
    if len(names) == masks:
        return f"each of the {masks} masks {remark}"
    return f"of {len(names)} masks ({first_of(names, _NAMED)}) each {remark}"


def _called(sample: Sample) -> str:
    if isinstance(sample.mask, Path):
        return str(sample.mask)
    if isinstance(sample.mask, tuple):
        return f"{sample.mask[0]} and {len(sample.mask) - 1} more of its image"
    return f"of {sample.path}"


def _pictured(path: Path, photograph: Photograph) -> Mask:
    if (kind := _UNREAD.get(path.suffix.lower())) is not None:
        raise DataError(
            f"the mask {path} isn't a picture: of outlines, those of LabelMe and COCO (.json) are"
            f" read, so convert it from {kind} to one of these, or to a PNG"
        )
    mask = read_mask_file(path)
    size = photograph.size
    if mask.pixels.shape == size:
        return Mask(mask.pixels, (*mask.remarks, *_doubts(photograph)))
    if mask.pixels.shape == size[::-1] and (turn := photograph.turn()) >= 5:
        return Mask(turned(mask.pixels, turn), (*mask.remarks, _TURNED))
    raise DataError(
        f"the mask {path} is {_shown(mask.pixels.shape)} pixels, but its image {photograph.path} is"
        f" {_shown(size)}{_way(mask.pixels.shape, size)}"
    )


_TURNED = "fits its photograph as it is stored, and was turned as its EXIF orientation asks"


def _doubts(photograph: Photograph) -> tuple[str, ...]:
    """A mask of the right size may still be drawn on the photograph as it is stored."""
    turn = photograph.turn()
    square = photograph.size[0] == photograph.size[1]
    if turn in (2, 3, 4) or (turn >= 5 and square):
        return (
            "is taken as drawn on its photograph as one sees it, which EXIF orientation"
            f" {turn} turns",
        )
    return ()


def _outlined(path: Path, photograph: Photograph) -> Mask:
    found = read_annotation(path, photograph.path)
    size, remarks = photograph.size, list[str]()
    frame, turn = found.size or size, 1
    if not _alike(frame, size):
        turn = photograph.turn()
        if turn < 5 or not _alike(frame, size[::-1]):
            raise DataError(
                f"the outlines in {path} are drawn for {_shown(frame)} pixels, but the image"
                f" {photograph.path} is {_shown(size)}{_way(frame, size)}"
            )
        remarks.append(_TURNED)
    else:
        remarks += _doubts(photograph)
    try:
        pixels, told = found.drawn(size[::-1] if turn >= 5 else size)
    except ValueError as error:
        raise DataError(f"{path} can't be read as annotations: {error}") from error
    return Mask(turned(pixels, turn), (*told, *remarks))


def _alike(frame: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether two sizes have one shape, but for the rounding of a side."""
    return abs(frame[0] * size[1] - frame[1] * size[0]) <= max(*frame, *size)


def _way(mask: tuple[int, ...], size: tuple[int, int]) -> str:
    if mask == size[::-1]:
        return ": turn one of them by a right angle"
    if _alike((mask[0], mask[1]), size):
        return ": if it shows the same, bring it to that size (without smoothing)"
    return ": it shows something else, or a part"


def _shown(size: tuple[int, ...]) -> str:
    return f"{size[1]} x {size[0]}"
