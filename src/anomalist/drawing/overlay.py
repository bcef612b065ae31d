"""An anomaly map laid over its photograph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data import Sample, Transform
from anomalist.drawing.colours import TOP, check_scale, colour_map
from anomalist.drawing.lines import BLACK, CYAN, WHITE, draw_around, draw_dashes, line_width
from anomalist.errors import DataError, ParameterError

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Map = npt.NDArray[np.floating[Any]]

HEATMAP_SIDE = 1024
"""Pixels of the longer side of a heatmap, at most, where none are given."""


def overlay(
    photograph: Pixels,
    anomaly_map: Map,
    *,
    low: float,
    high: float,
    threshold: float | None = None,
    truth: Mask | None = None,
    opacity: float = 0.6,
) -> Pixels:
    """Lay the colours of an anomaly map over a photograph.

    The scale doesn't depend on the image, so that equal colours mean the same in all pictures:
    ``low`` and below leave the photograph as it is, ``high`` has the colour in the middle, and all
    that is twice as far from ``low`` or farther has the last one. A solid line, cyan with a black
    edge, runs around what is above the threshold; dashes of black and white around the truth. Both
    are told apart without colour as well.

    Parameters
    ----------
    photograph : uint8 array of shape (H, W, 3)
    anomaly_map : array of shape (h, w)
        Of all that the photograph shows; brought to its size, bilinearly. NaN where the detector
        saw nothing, as `Transform.on_original` gives it: there the photograph is left as it is,
        and a thin line in black and white runs around the rest.
    low, high : float
        Map values of a typical good pixel and of the threshold.
    threshold : float, optional
        Map value above which a pixel is anomalous, for the line.
    truth : bool array of shape (H, W), optional
        True where the photograph is known to be anomalous.
    opacity : float
        How much the colours cover at ``high`` and above, from 0 to 1.

    Returns
    -------
    uint8 array of shape (H, W, 3)

    Raises
    ------
    DataError
        If photograph or truth has another shape.
    ParameterError
        If ``high`` is below ``low``, one of them isn't finite, or the opacity isn't from 0 to 1.

    Examples
    --------
    >>> photograph = np.full((4, 6, 3), 100, np.uint8)
    >>> good = overlay(photograph, np.zeros((2, 3)), low=0.0, high=1.0, threshold=1.0)
    >>> bool((good == photograph).all())
    True
    """
    check_scale(low, high)
    if not 0 <= opacity <= 1:
        raise ParameterError(f"opacity must be from 0 to 1, not {opacity}")
    if photograph.ndim != 3 or photograph.shape[2] != 3 or photograph.dtype != np.uint8:
        raise DataError(
            f"a photograph is a uint8 array of shape (H, W, 3), not {photograph.dtype} of shape "
            f"{photograph.shape}"
        )
    height, width = photograph.shape[:2]
    if truth is not None and truth.shape != (height, width):
        raise DataError(f"the truth has shape {truth.shape}, the photograph ({height}, {width}, 3)")
    values = anomaly_map.astype(np.float32)
    if values.shape != (height, width):
        bilinear = Image.Resampling.BILINEAR
        values = np.asarray(Image.fromarray(values).resize((width, height), bilinear))

    # 256 levels, looked up: a photograph of many megapixels needs no copy in floating point.
    scale = np.linspace(0, TOP, 256)
    unit = max(high - low, float(np.finfo(np.float32).tiny))
    with np.errstate(over="ignore"):
        shown = np.clip((values - np.float32(low)) / np.float32(unit), 0, TOP)
    level = Image.fromarray(np.nan_to_num(shown * np.float32(255 / TOP)).round().astype(np.uint8))
    # The more anomalous, the less of the photograph shines through.
    cover = (255 * opacity * np.minimum(scale, 1) ** 2).round().astype(np.uint8)
    coloured = level.copy()
    coloured.putpalette(colour_map(scale / TOP).tobytes())
    picture = Image.composite(
        coloured.convert("RGB"), Image.fromarray(photograph), level.point(cover.tolist())
    )
    line = line_width(height, width)
    if threshold is not None:
        above = values > threshold
        draw_around(picture, above, line + 1, BLACK)
        draw_around(picture, above, line, CYAN)
    if truth is not None:
        draw_dashes(picture, truth, line)
    unseen = np.isnan(values)
    if unseen.any():
        draw_around(picture, ~unseen, 2, BLACK)
        draw_around(picture, ~unseen, 1, WHITE)
    return np.array(picture)


def heatmap(
    sample: Sample,
    values: Map,
    *,
    transform: Transform,
    low: float,
    high: float,
    threshold: float | None = None,
    truth: Mask | None = None,
    side: int = HEATMAP_SIDE,
) -> Image.Image:
    """Draw the heatmap of one image, in the proportions of the photograph.

    Parameters
    ----------
    sample : Sample
        The image, which is read if it hasn't kept its view, see `~anomalist.data.Sample.keep_view`.
    values : array of shape (H, W)
        Its anomaly map at the detector's resolution.
    transform : Transform
        The one that the image passed through.
    low, high, threshold
        As `overlay` takes them.
    truth : bool array of shape (H, W), optional
        Its mask at the detector's resolution.
    side : int
        Most pixels of the longer side, see `~anomalist.data.views.view_size`.

    Returns
    -------
    PIL image
        With a line around what the detector saw where a crop cut some off.

    Raises
    ------
    DataError
        If the image can't be read.

    Examples
    --------
    >>> from anomalist.data import Sample, Transform
    >>> frame = Sample("frame", image=np.zeros((1200, 1600), np.uint8))
    >>> heatmap(frame, np.ones((8, 8)), transform=Transform(8), low=0.0, high=1.0, side=320).size
    (320, 240)
    """
    photograph = sample.view(side, transform.bit_depth)
    size = photograph.height, photograph.width
    if truth is not None:
        truth = transform.on_original(truth.astype(np.float32), size) > 0.5
    drawn = overlay(
        np.asarray(photograph),
        transform.on_original(values, size),
        low=low,
        high=high,
        threshold=threshold,
        truth=truth,
    )
    return Image.fromarray(drawn)
