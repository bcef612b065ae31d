"""Sheets of pictures: a typical image of each kind of defect, and made defects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data import Sample, Transform
from anomalist.digits import shown
from anomalist.drawing import overlay, scale_of
from anomalist.drawing.colours import TOP
from anomalist.drawing.legend import legend, marks_of
from anomalist.drawing.lines import CYAN, draw_dashes, line_width, outline
from anomalist.drawing.placing import beside, stack
from anomalist.drawing.text import captions
from anomalist.errors import DataError, ParameterError
from anomalist.predictions import Predictions

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_MOST_COLUMNS = 8
# So much room a kind of defect and a score take.
_LEAST_WIDTH = 96


def heatmap_sheet(
    predictions: Predictions,
    transform: Transform,
    *,
    low: float | None = None,
    high: float | None = None,
    threshold: float | None = None,
    side: int = 256,
) -> Image.Image:
    """Draw a typical image of each kind of defect: photograph, truth outlined, heatmap.

    Typical is the image of the median score, so the sheet shows neither the best nor the worst.
    A legend says what colours and lines mean.

    Parameters
    ----------
    predictions : Predictions
        With the kinds of defect known.
    transform : Transform
        The one that the images passed through.
    low, high : float, optional
        Map values of a typical good pixel and of the threshold, as `overlay` takes them. Where
        they aren't given, one scale from the median to the maximum of all maps serves the sheet.
    threshold : float, optional
        Map value above which a pixel is anomalous.
    side : int
        Longer side of a picture on the sheet, in pixels.

    Returns
    -------
    PIL image
        A column a kind of defect, ``good`` first, at most eight.

    Raises
    ------
    DataError
        If the kinds of defect are unknown.
    ParameterError
        If ``high`` is below ``low``, or only one of them is given.
    """
    if predictions.defects is None:
        raise DataError("a sheet of heatmaps needs the kind of defect of each image")
    if (low is None) != (high is None):
        raise ParameterError("low and high make a scale together: give both or none")
    marks = None
    if low is None or high is None:
        low, high = scale_of(predictions.counted)
        top = float(predictions.maps.max())
        marks = [(0.0, f"median {shown(low)}"), (TOP, f"maximum {shown(top)}")]
    kinds = sorted(set(predictions.defects), key=lambda kind: (kind != "good", kind))
    columns = []
    for kind in kinds[:_MOST_COLUMNS]:
        chosen = _typical(predictions, kind)
        photograph = np.asarray(fitted(predictions.images[chosen], transform.bit_depth, side))
        size = photograph.shape[:2]
        truth = None
        if predictions.masks is not None:
            mask = predictions.masks[chosen].astype(np.float32)
            truth = transform.on_original(mask, size) > 0.5
        outlined = Image.fromarray(photograph)
        if truth is not None:
            draw_dashes(outlined, truth, line_width(*truth.shape))
        heatmap = overlay(
            photograph,
            transform.on_original(predictions.visible_map(chosen), size),
            low=low,
            high=high,
            threshold=threshold,
            truth=truth,
        )
        caption = f"{kind}  {shown(float(predictions.scores[chosen]))}"
        pictures = [Image.fromarray(photograph), outlined, Image.fromarray(heatmap)]
        columns.append(stack([*pictures, captions([caption], max(size[1], _LEAST_WIDTH))]))
    body = beside(columns)
    truth_known, ignored = predictions.masks is not None, predictions.ignored is not None
    told = marks or marks_of(low, high, threshold)
    return stack([body, legend(body.width, told, threshold, truth_known, ignored)])


def synthesis_sheet(
    pairs: Sequence[tuple[Pixels, Mask]], columns: int = 6, titles: Sequence[str] = ()
) -> Image.Image:
    """Lay images out in rows, each with a thin line around what its mask covers.

    Parameters
    ----------
    pairs : sequence of (uint8 array of shape (H, W, 3), bool array of shape (H, W))
        Images of one size with their masks, such as those of synthetic defects.
    columns : int
        Images a row.
    titles : sequence of str
        What is written above each row, if anything is.

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
    pictures = []
    for image, mask in pairs:
        outlined = image.copy()
        outlined[outline(mask, 1)] = CYAN
        pictures.append(Image.fromarray(outlined))
    rows = [beside(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    if titles:
        titled = zip(titles, rows, strict=True)
        rows = [part for title, row in titled for part in (captions([title], row.width), row)]
    return stack(rows)


def fitted(sample: Sample, bit_depth: int, side: int) -> Image.Image:
    """Return an image whose longer side has ``side`` pixels, in its proportions.

    Raises
    ------
    DataError
        If it can't be read.
    """
    view = sample.view(side, bit_depth)
    scale = side / max(view.size)
    width, height = (max(1, round(length * scale)) for length in view.size)
    return view.resize((width, height), Image.Resampling.BILINEAR)


def _typical(predictions: Predictions, kind: str) -> int:
    """The image of the median score among those of a kind."""
    of_kind = [i for i, defect in enumerate(predictions.defects or ()) if defect == kind]
    ranked = sorted(of_kind, key=lambda i: float(predictions.scores[i]))
    return ranked[len(ranked) // 2]
