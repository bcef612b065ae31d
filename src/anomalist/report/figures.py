"""Pictures of predictions: photographs, what is wrong with them, and what a detector saw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from anomalist.data import Transform, read_image
from anomalist.errors import DataError, ParameterError
from anomalist.predictions import Predictions

# Dark violet to pale yellow, even in lightness, and told apart by colour-blind readers.
_COLOURS = np.array(
    [(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)],
    float,
)
_OUTLINE = (0, 220, 255)
_GAP = 6
_CAPTION = 18
_MOST_COLUMNS = 8


def colour_map(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Colour values from 0 (dark) to 1 (bright); what lies outside is cut.

    Parameters
    ----------
    values : array of shape (...)

    Returns
    -------
    uint8 array of shape (..., 3)

    Examples
    --------
    >>> colour_map(np.array([0.0, 1.0])).tolist()
    [[0, 0, 4], [252, 255, 164]]
    """
    position = np.clip(values, 0, 1) * (len(_COLOURS) - 1)
    knots = np.arange(len(_COLOURS))
    channels = [np.interp(position, knots, _COLOURS[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def heatmap_sheet(predictions: Predictions, transform: Transform) -> Image.Image:
    """Draw a typical image of each kind of defect: photograph, truth outlined, heatmap.

    Typical is the image of the median score, so the sheet shows neither the best nor the worst.
    One colour scale serves the whole sheet, from the median to the maximum of all maps; it is for
    the eye alone and changes no score.

    Parameters
    ----------
    predictions : Predictions
        With the kinds of defect known.
    transform : Transform
        The one that the images passed through.

    Returns
    -------
    PIL image
        A column a kind of defect, ``good`` first, at most eight.

    Raises
    ------
    DataError
        If the kinds of defect are unknown.
    """
    if predictions.defects is None:
        raise DataError("a sheet of heatmaps needs the kind of defect of each image")
    kinds = sorted(set(predictions.defects), key=lambda kind: (kind != "good", kind))
    low, high = float(np.median(predictions.maps)), float(predictions.maps.max())
    columns = [_column(predictions, kind, transform, low, high) for kind in kinds[:_MOST_COLUMNS]]
    width = sum(c.width + _GAP for c in columns) - _GAP
    sheet = Image.new("RGB", (width, columns[0].height), "white")
    for i, column in enumerate(columns):
        sheet.paste(column, (i * (column.width + _GAP), 0))
    return sheet


def synthesis_sheet(
    pairs: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]], columns: int = 6
) -> Image.Image:
    """Lay images out in rows, each with a thin line around what its mask covers.

    Parameters
    ----------
    pairs : sequence of (uint8 array of shape (H, W, 3), bool array of shape (H, W))
        Images of one size with their masks, such as those of synthetic defects.
    columns : int
        Images a row.

    Returns
    -------
    PIL image

    Raises
    ------
    DataError
        If there is no image or they differ in size.
    ParameterError
        If ``columns`` is less than 1.

    Examples
    --------
    >>> pair = np.zeros((20, 30, 3), np.uint8), np.ones((20, 30), bool)
    >>> synthesis_sheet([pair] * 5, columns=3).size
    (102, 46)
    """
    if columns < 1:
        raise ParameterError(f"columns must be at least 1, not {columns}")
    sizes = {image.shape[:2] for image, _ in pairs}
    if len(sizes) != 1:
        raise DataError(f"a sheet takes images of one size, not of {sorted(sizes) or 'none'}")
    ((height, width),) = sizes
    columns = min(columns, len(pairs))
    rows = -(-len(pairs) // columns)
    across, down = width + _GAP, height + _GAP
    sheet = Image.new("RGB", (columns * across - _GAP, rows * down - _GAP), "white")
    for i, (image, mask) in enumerate(pairs):
        outlined = image.copy()
        outlined[_outline(mask, 1)] = _OUTLINE
        sheet.paste(Image.fromarray(outlined), (i % columns * across, i // columns * down))
    return sheet


def _column(
    predictions: Predictions, kind: str, transform: Transform, low: float, high: float
) -> Image.Image:
    of_kind = [i for i, defect in enumerate(predictions.defects or ()) if defect == kind]
    ranked = sorted(of_kind, key=lambda i: float(predictions.scores[i]))
    chosen = ranked[len(ranked) // 2]
    photograph = transform(read_image(predictions.paths[chosen]))
    values = (predictions.maps[chosen] - low) / (high - low or 1.0)
    # The more anomalous, the less of the photograph shines through.
    weight = np.clip(0.35 + values, 0.35, 0.8)[..., None]
    overlay = photograph * (1 - weight) + colour_map(values) * weight
    outlined = photograph.copy()
    if predictions.masks is not None:
        outlined[_outline(predictions.masks[chosen])] = _OUTLINE
    height, width = photograph.shape[:2]
    column = Image.new("RGB", (width, 3 * height + 2 * _GAP + _CAPTION), "white")
    for row, pixels in enumerate((photograph, outlined, overlay)):
        picture = Image.fromarray(pixels.round().astype(np.uint8))
        column.paste(picture, (0, row * (height + _GAP)))
    text = f"{kind}  {predictions.scores[chosen]:.3g}"
    font = ImageFont.load_default(13)
    place = (2, 3 * height + 2 * _GAP + 1)
    ImageDraw.Draw(column).text(place, text, fill="black", font=font)
    return column


def _outline(mask: npt.NDArray[np.bool_], thickness: int = 2) -> npt.NDArray[np.bool_]:
    """The pixels just around a mask."""
    grown = np.zeros_like(mask)
    padded = np.pad(mask, thickness)
    height, width = mask.shape
    for dy in range(2 * thickness + 1):
        for dx in range(2 * thickness + 1):
            grown |= padded[dy : dy + height, dx : dx + width]
    return grown & ~mask
