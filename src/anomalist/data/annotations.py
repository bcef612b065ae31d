"""Annotations in JSON files: what tools that draw outlines write, told apart and read."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anomalist.data.masks import read_mask_file
from anomalist.data.polygons import Points, Shape, box, draw
from anomalist.errors import DataError

if TYPE_CHECKING:
    from anomalist.data.coco import Coco

# A file of the whole of COCO has half of that.
_MOST_BYTES = 2**30
_GOOD = frozenset(
    {"good", "ok", "okay", "normal", "pass", "background", "_background_", "bg"}
    | {"__ignore__", "ignore", "no_defect", "defect_free", "none"}
)
CALLED_GOOD = "has shapes that are called good, which were left out"
_CLOSED = {"polygon", "rotation", "quadrilateral", "oriented_rectangle"}
#: What other tools write, by a key that only they have.
_OTHERS = {
    "_via_img_metadata": "VIA's project (VGG Image Annotator): export it as COCO there",
    "regions": "VIA's (VGG Image Annotator): export them as COCO there",
    "Labeled Data": "Labelbox's: its exporter (labelbox-export-utils) writes COCO",
    "data_row": "Labelbox's: its converter writes COCO",
    "completions": "Label Studio's: export them as COCO or as PNG there",
    "result": "Label Studio's: export them as COCO or as PNG there",
    "features": "GeoJSON, as QuPath writes it: export labelled images there",
    "classTitle": "Supervisely's: export them as COCO or as masks there",
    "geometryType": "Supervisely's: export them as COCO or as masks there",
}


@dataclass(frozen=True, eq=False)
class Annotation:
    """What is drawn on one image.

    Parameters
    ----------
    shapes : sequence of Shape
        Outlines in the pixels of ``size``.
    bitmaps : sequence of bool arrays
        Masks of the whole image.
    size : (int, int) or None
        Height and width of the image that was drawn on; None if the file doesn't say.
    remarks : tuple of str
        What was assumed.
    """

    shapes: Sequence[Shape]
    bitmaps: Sequence[npt.NDArray[np.bool_]]
    size: tuple[int, int] | None
    remarks: tuple[str, ...] = ()

    def drawn(self, size: tuple[int, int]) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
        """Return the pixels of an image of that height and width, and remarks.

        Raises
        ------
        ValueError
            If a bitmap has another size.
        """
        canvas = np.zeros(size, np.bool_)
        remarks = dict.fromkeys(self.remarks)
        for bitmap in self.bitmaps:
            if bitmap.shape != size:
                raise ValueError(
                    f"it has a mask of {bitmap.shape[1]} x {bitmap.shape[0]} pixels, but its image"
                    f" is {size[1]} x {size[0]}"
                )
            canvas |= bitmap
        frame = size if self.size is None else self.size
        if frame != size:
            remarks[f"is drawn for {frame[1]} x {frame[0]} pixels, and was scaled"] = None
        for shape in self.shapes:
            fitted = shape.scaled(size[1] / frame[1], size[0] / frame[0])
            if shape.kind in ("lines", "points"):
                remarks["has lines or points, which were drawn one pixel wide"] = None
            how = draw(fitted, canvas)
            if how == "thin":
                remarks["has shapes thinner than a pixel, which were drawn one pixel wide"] = None
            beyond = fitted.points - (size[1], size[0])
            if how == "outside":
                remarks["has shapes outside of its image, which were left out"] = None
            elif shape.kind != "circle" and (fitted.points.min() < -1 or beyond.max() > 1):
                remarks["reaches beyond its image, and was cut at its border"] = None
        return canvas, tuple(remarks)


def read_annotation(path: Path, image: Path) -> Annotation:
    """Read what a JSON file of LabelMe or COCO says of an image.

    Parameters
    ----------
    path : Path
        The file.
    image : Path
        The image, by whose name COCO's are found.

    Raises
    ------
    DataError
        If the file can't be read, is of another kind, doesn't list the image, or holds nonsense.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "0.json"
    >>> corners = [[1, 1], [3, 1], [3, 2], [1, 2]]
    >>> _ = path.write_text(json.dumps({"shapes": [{"label": "scratch", "points": corners}]}))
    >>> read_annotation(path, Path("0.png")).drawn((3, 4))[0].astype(int)
    array([[0, 0, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    try:
        state = path.stat()
        if state.st_size > _MOST_BYTES:
            raise ValueError(f"it has {state.st_size / 1e9:.1f} GB: split it")
        held = _held(path, (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
        return held if isinstance(held, Annotation) else held.of(image)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read as annotations: it isn't JSON ({error})") from error
    except RecursionError:
        raise DataError(f"{path} can't be read as annotations: it is nested too deeply") from None
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path} can't be read as annotations: {what}") from error
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} can't be read as annotations: {reason}") from error


@lru_cache(maxsize=4)
def _held(path: Path, state: tuple[int, ...]) -> Annotation | Coco:
    """What a file holds, as of a state of it; COCO's is asked for every image of a set."""
    from anomalist.data.coco import Coco

    values = json.loads(path.read_bytes())
    if isinstance(values, Mapping):
        if "shapes" in values:
            return _labelme(values)
        if "images" in values and "annotations" in values:
            return Coco(values)
    raise ValueError(
        f"it holds {_other(values)}; outlines of LabelMe and COCO are read, and so are mask images"
    )


def _labelme(values: Mapping[str, Any]) -> Annotation:
    size = size_of(values, "imageHeight", "imageWidth")
    remarks: dict[str, None] = {}
    shapes, bitmaps = [], []
    for entry in values["shapes"]:
        if is_good(str(entry.get("label", ""))):
            remarks[CALLED_GOOD] = None
            continue
        kind = entry.get("shape_type") or "polygon"
        points = entry["points"]
        if kind == "mask":
            if size is None:
                raise ValueError("it has a mask, but doesn't tell the size of its image")
            bitmaps.append(_pasted(entry["mask"], points_of(points, 1), size))
        elif kind in _CLOSED:
            # Two clicks were a line that nobody closed.
            found = points_of(points, 1)
            shapes.append(Shape("polygon" if len(found) > 2 else "lines", found))
        elif kind == "rectangle":
            found = points_of(points, 2)
            (left, top), (right, bottom) = found.min(axis=0), found.max(axis=0)
            shapes.append(box(left, top, right, bottom))
        elif kind == "circle":
            shapes.append(Shape("circle", points_of(points, 2)))
        elif kind in ("line", "linestrip"):
            shapes.append(Shape("lines", points_of(points, 1)))
        elif kind in ("point", "points"):
            shapes.append(Shape("points", points_of(points, 1)))
        else:
            raise ValueError(f"it has a shape of the kind {kind!r}: draw it as a polygon")
    return Annotation(shapes, bitmaps, size, tuple(remarks))


def _pasted(text: str, points: Points, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """A mask of LabelMe's: a PNG whose place in the image is that of its first point."""
    try:
        drawn = read_mask_file(base64.b64decode(text, validate=True), name="it").pixels
    except (ValueError, TypeError, DataError) as error:
        raise ValueError(f"it has a mask that can't be decoded ({error})") from error
    whole = np.zeros(size, np.bool_)
    left, top = np.rint(points.min(axis=0)).astype(int)
    x0, y0 = max(left, 0), max(top, 0)
    part = drawn[y0 - top :, x0 - left :][: max(size[0] - y0, 0), : max(size[1] - x0, 0)]
    whole[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    return whole


def is_good(label: str) -> bool:
    """Whether a label says that there is no defect."""
    return label.strip().lower().replace(" ", "_").replace("-", "_") in _GOOD


def points_of(values: Iterable[Any], fewest: int, columns: int = 2) -> Points:
    """Return points as an array.

    Raises
    ------
    ValueError
        If there are fewer, or they aren't finite numbers.
    """
    points = np.array(list(values), np.float64)
    if points.ndim != 2 or points.shape[1] != columns or len(points) < fewest:
        raise ValueError(f"it has a shape of {len(points)} points, or they aren't pairs of numbers")
    if not np.isfinite(points).all():
        raise ValueError("it has a shape with a point that isn't a number")
    return points


def size_of(values: Mapping[str, Any], height: str, width: str) -> tuple[int, int] | None:
    """Return the height and width that a file tells, None where it doesn't.

    Raises
    ------
    ValueError
        If they make no sense.
    """
    sides = values.get(height), values.get(width)
    if None in sides:
        return None
    found = int(sides[0]), int(sides[1])  # type: ignore[arg-type]
    if min(found) < 1:
        raise ValueError(f"it tells an image of {found[1]} x {found[0]} pixels")
    return found


def _other(values: object) -> str:
    """What a file that isn't read seems to hold."""
    entries = list(values.values()) if isinstance(values, Mapping) else values
    first = entries[0] if isinstance(entries, list) and entries else None
    for keys in (values, first, *(first.values() if isinstance(first, Mapping) else ())):
        parts = [keys, *keys] if isinstance(keys, list) else [keys]
        for part in parts:
            for key, name in _OTHERS.items():
                if isinstance(part, Mapping) and key in part:
                    return f"annotations that seem to be {name}"
    return "no annotations that are known"
