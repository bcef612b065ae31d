"""One image and what was found on it, side by side, with a legend."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data import Sample, Transform
from anomalist.digits import shown
from anomalist.drawing.colours import TOP
from anomalist.drawing.legend import legend, marks_of
from anomalist.drawing.overlay import heatmap
from anomalist.drawing.placing import beside, stack
from anomalist.drawing.text import captions


def plot(
    sample: Sample,
    values: npt.NDArray[np.floating[Any]],
    *,
    transform: Transform,
    low: float,
    high: float,
    threshold: float | None = None,
    truth: npt.NDArray[np.bool_] | None = None,
    on_a_scale: bool = True,
    title: str = "",
    side: int = 384,
) -> Image.Image:
    """Draw a photograph, and its heatmap beside it, below a title and above a legend.

    Parameters
    ----------
    sample, values, transform, low, high, threshold, truth
        As `heatmap` takes them.
    on_a_scale : bool
        Whether ``low`` and ``high`` are a typical good pixel and the threshold, or else where the
        middle of the values is, and half the way from there to the highest.
    title : str
        Stands on top.
    side : int
        Most pixels of the longer side of the photograph.

    Returns
    -------
    PIL image

    Raises
    ------
    DataError
        If the image can't be read.

    Examples
    --------
    >>> frame = Sample("frame", image=np.zeros((240, 320), np.uint8))
    >>> plot(frame, np.ones((8, 8)), transform=Transform(8), low=0.0, high=1.0, side=160).width
    326
    """
    drawn = heatmap(
        sample,
        values,
        transform=transform,
        low=low,
        high=high,
        threshold=threshold,
        truth=truth,
        side=side,
    )
    pictures = beside([sample.view(side, transform.bit_depth), drawn])
    marks = marks_of(low, high, threshold)
    if not on_a_scale:
        top = low + TOP * (high - low)
        marks = [(0.0, f"median {shown(low)}"), (TOP, f"maximum {shown(top)}")]
    ignored = bool(np.isnan(values).any())
    told = legend(pictures.width, marks, threshold, truth is not None, ignored)
    head = [captions([title], max(pictures.width, told.width))] if title else []
    return stack([*head, pictures, told])
