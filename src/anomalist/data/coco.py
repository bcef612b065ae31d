"""COCO annotations: one JSON file for many images, found by their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.data.annotations import CALLED_GOOD, Annotation, is_good, points_of, size_of
from anomalist.data.images import MAX_PIXELS
from anomalist.data.names import common_end, composed, first_of
from anomalist.data.polygons import Points, Shape, box


class Coco:
    """The annotations of a file, by image.

    Parameters
    ----------
    values : dict
        What the file holds.

    Raises
    ------
    ValueError
        If images or annotations lack what they need.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._categories = {
            entry["id"]: str(entry.get("name", "")) for entry in values.get("categories") or ()
        }
        self._images: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for entry in values["images"]:
            self._images[_parts(entry["file_name"])[-1]].append(entry)
        self._of_image: dict[object, list[Mapping[str, Any]]] = defaultdict(list)
        for entry in values["annotations"]:
            self._of_image[entry["image_id"]].append(entry)

    def of(self, image: Path) -> Annotation:
        """Return what is drawn on an image; nothing on one that is listed without annotations.

        Raises
        ------
        ValueError
            If the image isn't listed, listed twice, or what is drawn makes no sense.
        """
        entry = self._entry(image)
        remarks: dict[str, None] = {}
        shapes: list[Shape] = []
        bitmaps: list[npt.NDArray[np.bool_]] = []
        for drawn in self._of_image.get(entry["id"], ()):
            if is_good(self._categories.get(drawn.get("category_id"), "")):
                remarks[CALLED_GOOD] = None
                continue
            outline = drawn.get("segmentation")
            if isinstance(outline, Mapping):
                bitmaps.append(decode_rle(outline["counts"], outline["size"]))
            elif outline:
                rings = [outline] if np.isscalar(outline[0]) else outline
                shapes += [Shape("polygon", _pairs(ring)) for ring in rings]
            else:
                left, top, width, height = points_of([drawn["bbox"]], 1, 4)[0].tolist()
                shapes.append(box(left, top, left + width, top + height))
                remarks["has boxes without an outline, which mark more than the defect"] = None
        return Annotation(shapes, bitmaps, size_of(entry, "height", "width"), tuple(remarks))

    def _entry(self, image: Path) -> Mapping[str, Any]:
        parts = _parts(image.as_posix())
        found = self._images.get(parts[-1], [])
        if not found:
            listed = [entry["file_name"] for entries in self._images.values() for entry in entries]
            such = f", but {first_of(listed, 3)}" if listed else ""
            raise ValueError(f"it lists no image {parts[-1]}{such}")
        alike = [common_end(_parts(entry["file_name"]), parts) for entry in found]
        best = [entry for entry, n in zip(found, alike, strict=True) if n == max(alike)]
        if len(best) > 1:
            raise ValueError(f"it lists several images {parts[-1]} that could be {image}")
        return best[0]


def decode_rle(counts: str | Sequence[int], size: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return the mask of COCO's run lengths: columns one after the other, 0 and 1 in turns.

    Parameters
    ----------
    counts : str or sequence of int
        Lengths, the first of zeros; or a text that packs them: five bits a letter, the lowest
        first, a bit that says that more follow, and from the fourth on the difference to the last
        but one.
    size : (int, int)
        Height and width.

    Raises
    ------
    ValueError
        If they don't fill the mask.

    Examples
    --------
    >>> decode_rle([1, 2, 1], (2, 2)).astype(int)
    array([[0, 1],
           [1, 0]])
    >>> decode_rle("121", (2, 2)).astype(int)
    array([[0, 1],
           [1, 0]])
    """
    height, width = (int(side) for side in size)
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise ValueError(f"it has a run-length mask of {width} x {height} pixels")
    lengths = _unpacked(counts) if isinstance(counts, str | bytes) else [int(n) for n in counts]
    if min(lengths, default=0) < 0 or sum(lengths) != height * width:
        raise ValueError(
            f"it has run lengths that don't fill the {width} x {height} pixels of their mask"
        )
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return np.ascontiguousarray(flat.reshape(width, height).T)


def _pairs(ring: Sequence[float]) -> Points:
    if len(ring) % 2:
        raise ValueError(f"it has an outline of {len(ring)} numbers, which aren't pairs")
    return points_of(zip(ring[::2], ring[1::2], strict=True), 3)


def _unpacked(text: str | bytes) -> list[int]:
    codes = text.encode("ascii") if isinstance(text, str) else text
    lengths: list[int] = []
    value = shift = 0
    for code in codes:
        bits = code - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("it has run lengths that aren't COCO's")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("it has run lengths that end too early")
    return lengths


def _parts(name: object) -> tuple[str, ...]:
    """A name that compares as a person reads it."""
    if not isinstance(name, str) or not name:
        raise ValueError("it lists an image without a file_name")
    path = PurePosixPath(composed(name.replace("\\", "/")))
    return path.parts or (name,)
