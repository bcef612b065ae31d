"""What lies above a photograph on a page: the colours of its map, and outlines as paths."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.drawing import colour_map

SCALE_END = 2.0
"""Where the display scale ends: 0 is a typical good pixel, 1 the threshold."""
# Few enough for a small file, and too many for the eye to see steps.
_LEVELS = 32


def heat_layer(values: npt.NDArray[np.uint8]) -> bytes:
    r"""Return a map as a PNG with a palette, clear where nothing is amiss.

    Parameters
    ----------
    values : uint8 array of shape (H, W)
        On the display scale, from 0 for a typical good pixel to 255 for twice the threshold.

    Returns
    -------
    bytes

    Examples
    --------
    >>> heat_layer(np.zeros((8, 8), np.uint8))[:4]
    b'\x89PNG'
    """
    levels = np.round(values * ((_LEVELS - 1) / 255)).astype(np.uint8)
    picture = Image.fromarray(levels, "P")
    picture.putpalette(colour_map(np.linspace(0, 1, _LEVELS)).tobytes())
    cover = np.minimum(np.linspace(0, SCALE_END, _LEVELS), 1) ** 2
    stream = io.BytesIO()
    transparency = (255 * cover).round().astype(np.uint8).tobytes()
    picture.save(stream, "PNG", optimize=True, transparency=transparency)
    return stream.getvalue()


def on_display_scale(
    values: npt.NDArray[np.floating[Any]], low: float, high: float
) -> npt.NDArray[np.uint8]:
    """Bring map values to 256 levels: 0 at ``low`` and below or NaN, 127.5 at ``high``.

    Examples
    --------
    >>> on_display_scale(np.array([[1.0, 2.0, 9.0]]), low=1.0, high=3.0).tolist()
    [[0, 64, 255]]
    """
    unit = max(high - low, float(np.finfo(np.float32).tiny))
    with np.errstate(over="ignore"):
        shown = np.clip((values - np.float32(low)) / np.float32(unit), 0, SCALE_END)
    levels: npt.NDArray[np.uint8] = (
        (np.nan_to_num(shown) * (255 / SCALE_END)).round().astype(np.uint8)
    )
    return levels


def outline(region: npt.NDArray[np.bool_]) -> str:
    """Return the border of a region as an SVG path, in pixels.

    Examples
    --------
    >>> outline(np.array([[True, True]]))
    'M0 0h2M0 1h2M0 0v1M2 0v1'
    """
    padded = np.pad(region, 1).astype(np.int8)
    across = np.diff(padded, axis=0)[:, 1:-1] != 0
    down = np.diff(padded, axis=1)[1:-1] != 0
    lines = [f"M{start} {y}h{length}" for y, start, length in _stretches(across)]
    lines += [f"M{x} {start}v{length}" for x, start, length in _stretches(down.T)]
    return "".join(lines)


def _stretches(edges: npt.NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Row, start and length of each run of True in a row."""
    change = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(change == 1)
    ends = np.nonzero(change == -1)[1]
    return [
        (int(row), int(start), int(end - start))
        for row, start, end in zip(rows, starts, ends, strict=True)
    ]
