"""Outlines become pixels: a pixel belongs to a shape if its centre does."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

# Edges that are cut into rows at once.
_EDGES = 4096


@dataclass(frozen=True, eq=False)
class Shape:
    """What somebody drew round or over a defect.

    Parameters
    ----------
    kind : {"polygon", "circle", "lines", "points"}
        A closed outline; the centre of a circle and a point of its rim; a chain of lines; points.
    points : float array of shape (N, 2)
        x and y, counted in pixels from the outer edge of the first pixel: its centre is 0.5.
    """

    kind: Literal["polygon", "circle", "lines", "points"]
    points: Points

    def scaled(self, across: float, down: float) -> Shape:
        """Return it as drawn on an image of another size."""
        return Shape(self.kind, self.points * (across, down))


def box(left: float, top: float, right: float, bottom: float) -> Shape:
    """Return an upright rectangle."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return Shape("polygon", np.array(corners))


def draw(shape: Shape, canvas: npt.NDArray[np.bool_]) -> Literal["", "thin", "outside"]:
    """Mark a shape in a mask.

    A pixel belongs to it if its centre lies inside (by the even-odd rule where an outline crosses
    itself). Lines are one pixel wide, and points are the pixels that they lie in. An outline too
    thin to hold the centre of a pixel is drawn as lines, so that no defect vanishes. What lies
    outside of the mask is left out.

    Parameters
    ----------
    shape : Shape
        Of finite points.
    canvas : bool array of shape (H, W)
        Is drawn into.

    Returns
    -------
    {"", "thin", "outside"}
        Whether it had to be drawn as lines, or marks no pixel.

    Examples
    --------
    >>> canvas = np.zeros((2, 4), bool)
    >>> draw(Shape("polygon", np.array([(0, 0), (2.6, 0), (2.6, 1), (0, 1.0)])), canvas)
    ''
    >>> canvas.astype(int)
    array([[1, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    points = shape.points
    if shape.kind == "polygon" and _fill(points, canvas):
        return ""
    if shape.kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        if _fill_circle(points[0], radius, canvas):
            return ""
        points = points[:1]
    closed = np.vstack([points, points[:1]]) if shape.kind == "polygon" else points
    drawn = _mark_points(points, canvas)
    if shape.kind in ("polygon", "lines"):
        for start, end in pairwise(closed):
            drawn |= _fill(_as_thin_box(start, end), canvas)
    if not drawn:
        return "outside"
    return "thin" if shape.kind in ("polygon", "circle") else ""


def _fill(points: Points, canvas: npt.NDArray[np.bool_]) -> bool:
    """Fill an outline; whether any pixel's centre lies in it."""
    height, width = canvas.shape
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    x0, x1 = (int(v) for v in np.clip(np.ceil([left - 0.5, right - 0.5]), 0, width))
    y0, y1 = (int(v) for v in np.clip(np.ceil([top - 0.5, bottom - 0.5]), 0, height))
    if x0 >= x1 or y0 >= y1:
        return False
    # Where a row's inside begins or ends; the last column is for what lies right of the canvas.
    turns = np.zeros((y1 - y0, x1 - x0 + 1), np.uint8)
    for begin in range(0, len(points), _EDGES):
        starts = points[begin : begin + _EDGES]
        ends = np.roll(points, -1, axis=0)[begin : begin + _EDGES]
        rows, across = _crossings(starts, ends, y0, y1)
        columns = np.clip(np.ceil(across - 0.5), x0, x1).astype(np.int64) - x0
        np.bitwise_xor.at(turns, (rows - y0, columns), np.uint8(1))
    inside = np.bitwise_xor.accumulate(turns, axis=1)[:, :-1].astype(np.bool_)
    canvas[y0:y1, x0:x1] |= inside
    return bool(inside.any())


def _crossings(
    starts: Points, ends: Points, y0: int, y1: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The rows between two whose centres edges cross, and where."""
    # From top to bottom, so that two outlines that share an edge agree on it.
    swap = (starts[:, 1] > ends[:, 1])[:, None]
    upper, lower = np.where(swap, ends, starts), np.where(swap, starts, ends)
    first = np.clip(np.ceil(upper[:, 1] - 0.5), y0, y1).astype(np.int64)
    stop = np.clip(np.ceil(lower[:, 1] - 0.5), y0, y1).astype(np.int64)
    counts = stop - first
    edge = np.repeat(np.arange(len(starts)), counts)
    rows = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    (xa, ya), (xb, yb) = upper[edge].T, lower[edge].T
    return rows, xa + (rows + 0.5 - ya) / (yb - ya) * (xb - xa)


def _fill_circle(centre: Points, radius: float, canvas: npt.NDArray[np.bool_]) -> bool:
    height, width = canvas.shape
    x0, x1 = (int(v) for v in np.clip([centre[0] - radius, centre[0] + radius + 1], 0, width))
    y0, y1 = (int(v) for v in np.clip([centre[1] - radius, centre[1] + radius + 1], 0, height))
    x, y = np.arange(x0, x1) + 0.5 - centre[0], np.arange(y0, y1) + 0.5 - centre[1]
    inside = x**2 + y[:, None] ** 2 <= radius**2
    canvas[y0:y1, x0:x1] |= inside
    return bool(inside.any())


def _mark_points(points: Points, canvas: npt.NDArray[np.bool_]) -> bool:
    height, width = canvas.shape
    # A point on the far border belongs to the last pixel.
    cells = np.floor(np.where(points == (width, height), points - 1, points))
    cells = cells[((cells >= 0) & (cells < (width, height))).all(axis=1)].astype(np.int64)
    canvas[cells[:, 1], cells[:, 0]] = True
    return len(cells) > 0


def _as_thin_box(start: Points, end: Points) -> Points:
    """The outline of a line one pixel wide."""
    along = end - start
    length = float(np.hypot(*along))
    if length == 0:
        return np.array([start, end, end])
    side = np.array([-along[1], along[0]]) / (2 * length)
    return np.array([start + side, end + side, end - side, start - side])
