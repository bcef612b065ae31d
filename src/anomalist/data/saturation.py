"""From which area on a defect counts as found whole: the saturation areas of MVTec LOCO."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.data.picture import MAX_PIXELS, opened
from anomalist.data.source import file_state
from anomalist.errors import DataError

SATURATION_FILE = "defects_config.json"
"""What the file is called in the folder of a category."""

ANOMALIES = {"logical_anomalies": "logical", "structural_anomalies": "structural"}
"""The two groups of defects of MVTec LOCO, by the folders that hold them."""


@dataclass(frozen=True)
class Saturation:
    """What a kind of defect takes to be found whole.

    Parameters
    ----------
    defect : str
        The kind, such as ``"missing_pushpin"``.
    threshold : float
        Pixels, or of a relative one a share of the defect's own.
    relative : bool
        Which of the two.
    """

    defect: str
    threshold: float
    relative: bool

    def area(self, n_pixels: int) -> int:
        """Return from how many of its pixels on a defect of ``n_pixels`` is found whole.

        Examples
        --------
        >>> Saturation("extra", 0.5, True).area(15), Saturation("missing", 400, False).area(15)
        (7, 15)
        """
        # Of a defect of a few pixels, a share rounds down to none.
        area = math.floor(self.threshold * n_pixels) if self.relative else int(self.threshold)
        return max(1, min(area, n_pixels))


@dataclass(frozen=True, eq=False)
class Defect:
    """One defect of an image.

    Parameters
    ----------
    pixels : bool array of shape (H, W)
        Where it is, or could be: of a part that is missing, everywhere it might have lain.
    saturation : float
        Found pixels from which on it is found whole, above 0.
    """

    pixels: npt.NDArray[np.bool_]
    saturation: float


def read_saturations(path: str | Path) -> Mapping[int, Saturation]:
    """Read a category's ``defects_config.json``.

    It is a list with an entry a kind of defect: ``defect_name``, ``pixel_value``, which is its grey
    value in masks, ``saturation_threshold`` and ``relative_saturation``.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    mapping of int to Saturation
        By grey value, from 1 to 255.

    Raises
    ------
    DataError
        If there is no such file, or it says something else.
    """
    path = Path(path)
    state = file_state(path)
    if state is None:
        raise DataError(f"{path} is missing: it tells the saturation areas of MVTec LOCO")
    return _read(path, state)


@functools.lru_cache(maxsize=64)
def _read(path: Path, _state: tuple[int, ...]) -> Mapping[int, Saturation]:
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} can't be read as JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path} must hold a list of defects, as that of MVTec LOCO does")
    found: dict[int, Saturation] = {}
    for number, entry in enumerate(entries):
        try:
            value, saturation = _understood(entry)
        except ValueError as error:
            raise DataError(f"{path}, entry {number}: {error}") from None
        if found.setdefault(value, saturation) != saturation:
            raise DataError(
                f"{path}: two kinds of defect have the pixel_value {value},"
                f" {found[value].defect} and {saturation.defect}"
            )
    return found


def _understood(entry: Any) -> tuple[int, Saturation]:
    names = "defect_name", "pixel_value", "saturation_threshold", "relative_saturation"
    if not isinstance(entry, dict) or any(name not in entry for name in names):
        raise ValueError(f"it must have {', '.join(names)}")
    name, value, threshold, relative = (entry[name] for name in names)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 255:
        raise ValueError(f"pixel_value must be a whole number from 1 to 255, not {value!r}")
    if not isinstance(relative, bool):
        raise ValueError(f"relative_saturation must be true or false, not {relative!r}")
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if relative and not (number and 0 < threshold <= 1):
        raise ValueError(f"a relative saturation_threshold is above 0 to 1, not {threshold!r}")
    if not relative and not (number and 1 <= threshold < math.inf and threshold == int(threshold)):
        raise ValueError(f"a saturation_threshold is a number of pixels, not {threshold!r}")
    return value, Saturation(str(name), threshold, relative)


def read_defect(
    mask: Path, size: tuple[int, int], saturations: Mapping[int, Saturation], *, listed: Path
) -> Defect:
    """Read the mask of one defect, whose grey value says what kind it is.

    Parameters
    ----------
    mask : Path
        The file: black, and one other grey value.
    size : (int, int)
        Height and width of its image.
    saturations : mapping of int to Saturation
        By grey value.
    listed : Path
        Where these come from, for messages.

    Raises
    ------
    DataError
        If it can't be read, is another picture, or has a grey value that isn't listed.
    """
    with opened(mask, None, MAX_PIXELS) as picture:
        image = picture.upright()
        if image.mode not in ("L", "1"):
            raise ValueError("the mask of a defect of MVTec LOCO must be 8-bit grey")
        grey = np.asarray(image.convert("L"))
    if grey.shape != size:
        raise DataError(
            f"the mask {mask} is {grey.shape[1]} x {grey.shape[0]} pixels, but its image is"
            f" {size[1]} x {size[0]}"
        )
    values = [int(v) for v in np.unique(grey) if v]
    if len(values) != 1:
        what = "is all black" if not values else f"has the grey values {values[0]} and {values[1]}"
        raise DataError(f"the mask {mask} {what}: one defect has one value")
    if values[0] not in saturations:
        raise DataError(f"the mask {mask} has the grey value {values[0]}, which {listed} lacks")
    pixels = grey != 0
    return Defect(pixels, saturations[values[0]].area(int(np.count_nonzero(pixels))))
