"""Where the pixels of images lie in maps of another size, and what the maps are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.compiling import njit
from anomalist.data import Transform
from anomalist.metrics.ranking import Array

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the pixels of an image lie in a map: one row's and one column's at a time.

    Parameters
    ----------
    rows_at, columns_at : array of shape (H,), (W,)
        The map's row or column at or before the pixel's centre, -1 where the map doesn't reach.
    rows_part, columns_part : array of shape (H,), (W,)
        How far from there to the next one, from 0 to 1.
    """

    rows_at: npt.NDArray[np.int64]
    rows_part: npt.NDArray[np.float64]
    columns_at: npt.NDArray[np.int64]
    columns_part: npt.NDArray[np.float64]

    def touches(self, mask: Mask) -> Mask:
        """Return in which pixels (H, W) a True one of a mask of the map has any part."""
        found = np.zeros((len(self.rows_at), len(self.columns_at)), np.bool_)
        for rows in _neighbours(self.rows_at, self.rows_part, mask.shape[0]):
            for columns in _neighbours(self.columns_at, self.columns_part, mask.shape[1]):
                found |= mask[rows][:, columns]
        found[self.rows_at < 0] = found[:, self.columns_at < 0] = False
        return found

    @classmethod
    def of_nothing(cls) -> Grid:
        """Lay no pixel on a map."""
        at, part = np.empty(0, np.int64), np.empty(0)
        return cls(at, part, at, part)

    @classmethod
    def of(cls, transform: Transform, size: tuple[int, int], shape: tuple[int, int]) -> Grid:
        """Lay a map of ``shape`` on an image of ``size`` that went through a transform."""
        left, top, right, bottom = transform.region(size)
        rows = _axis(size[0], top, bottom, shape[0])
        return cls(*rows, *_axis(size[1], left, right, shape[1]))


def _axis(
    pixels: int, first: float, last: float, cells: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    centres = np.arange(pixels) + 0.5
    # Between the centres of cells linear, beyond the outer ones flat.
    places = ((centres - first) * (cells / (last - first)) - 0.5).clip(0, cells - 1)
    at = np.floor(places).astype(np.int64)
    part = places - at
    at[(centres < first) | (centres > last)] = -1
    return at, part


def _neighbours(
    at: npt.NDArray[np.int64], part: npt.NDArray[np.float64], cells: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The two cells between which each pixel lies; twice the same where one is all of it."""
    return at, np.where(part > 0, np.minimum(at + 1, cells - 1), at)


@njit()
def interpolate(
    values: Array,
    rows_at: Array,
    rows_part: Array,
    columns_at: Array,
    columns_part: Array,
    unseen: Any,
    target: Array,
) -> None:
    """Enlarge values to a target, bilinearly, rounding once, so that what is equal stays equal."""
    height, width = values.shape
    line, step = np.empty(width), np.zeros(width)
    for y in range(len(rows_at)):
        above = rows_at[y]
        if above < 0:
            target[y, :] = unseen
            continue
        below, part = min(above + 1, height - 1), rows_part[y]
        for x in range(width):
            start = np.float64(values[above, x])
            line[x] = start + (np.float64(values[below, x]) - start) * part
        for x in range(width - 1):
            step[x] = line[x + 1] - line[x]
        for x in range(len(columns_at)):
            at = columns_at[x]
            target[y, x] = line[at] + step[at] * columns_part[x] if at >= 0 else unseen
