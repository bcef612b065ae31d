"""The contact sheet: what is anomalous, unsure and normal, the highest scores first."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from anomalist.calibration import DEFAULT_REVIEW, State, state
from anomalist.data import Transform
from anomalist.digits import shown
from anomalist.drawing import check_scale, overlay
from anomalist.drawing.legend import legend, marks_of
from anomalist.drawing.lines import Frame, framed
from anomalist.drawing.placing import GAP, beside, stack
from anomalist.drawing.text import LINE, captions, paragraph
from anomalist.errors import DataError, ParameterError
from anomalist.predictions import Predictions
from anomalist.report.sheets import fitted

SHEET_SIDE = 224
"""Pixels of the longer side of an image on a contact sheet."""

_LEAST_WIDTH = 460
_FRAME = 5
# Told apart without colour too: thick, dashed, thin.
_FRAMES = {
    "anomalous": Frame((200, 30, 40), _FRAME),
    "unsure": Frame((170, 105, 0), _FRAME, dash=12),
    "normal": Frame((110, 110, 110), 1),
    "undecided": Frame(),
}
_MARKED = _FRAMES["anomalous"]
_TWO = (
    "Image and pixels have a threshold each, found on good images apart: an outlined image can be"
    " normal, where some pixels are above theirs and the score isn't above its own; an anomalous"
    " one can have no outline."
)


def contact_sheet(
    predictions: Predictions,
    transform: Transform,
    *,
    low: float,
    high: float,
    threshold: float | None = None,
    image_threshold: float | None = None,
    states: Sequence[State] | None = None,
    columns: int = 6,
    side: int = SHEET_SIDE,
    max_pixels: int = 20_000_000,
    marked: Mapping[Path, str] | None = None,
) -> Image.Image:
    """Lay the heatmaps of many images out in rows, the highest score first.

    What is anomalous, unsure and normal stands below a heading each, in frames that differ. Below
    each image stand its name, its score and what it is. On top the sheet tells both thresholds, and
    why an outlined image can be normal. Images beyond the limit of pixels are left out, those of
    the lowest scores, and the sheet says how many.

    Parameters
    ----------
    predictions : Predictions
        N images.
    transform : Transform
        The one that the images passed through.
    low, high, threshold
        As `~anomalist.drawing.overlay` takes them.
    image_threshold : float, optional
        Score above which an image is anomalous; without it nothing is said of any.
    states : sequence of str, length N, optional
        What becomes of each image, as `~anomalist.calibration.state` says it; by default what the
        threshold alone tells.
    columns : int
        Images a row.
    side : int
        Longer side of an image on the sheet, in pixels.
    max_pixels : int
        Largest width x height of the sheet.
    marked : dict of Path to str, optional
        Images with a frame, and what is said of each beside its score.

    Returns
    -------
    PIL image

    Raises
    ------
    DataError
        If there is no image, or one can't be read.
    ParameterError
        If a number isn't positive, the limit holds not even one row, or ``high`` is below ``low``.
    """
    check_scale(low, high)
    for name, number in (("columns", columns), ("side", side), ("max_pixels", max_pixels)):
        if number < 1:
            raise ParameterError(f"{name} must be at least 1, not {number}")
    if len(predictions) == 0:
        raise DataError("a contact sheet needs at least one image")
    if states is None:
        states = [state(float(score), image_threshold, None) for score in predictions.scores]
    columns = min(columns, len(predictions))
    tiles = _Tiles(
        predictions, transform, states, low, high, threshold, image_threshold, side, marked or {}
    )
    width = max(columns * (tiles.width + GAP) - GAP, _LEAST_WIDTH)
    shows_truth = predictions.masks is not None and bool(predictions.masks.any())
    marks, ignored = marks_of(low, high, threshold), predictions.ignored is not None
    told = legend(width, marks, threshold, shows_truth, ignored)
    width = max(width, told.width)
    parts = [*_thresholds(width, image_threshold, threshold), told]
    ranked = np.argsort(-predictions.scores, kind="stable").tolist()
    done = 0
    for one, rank in itertools.groupby(ranked, lambda i: states[i]):
        group = list(rank)
        heading = [] if image_threshold is None else [_heading(one, len(group), width)]
        for start in range(0, len(group), columns):
            row = beside([tiles.draw(i) for i in group[start : start + columns]])
            new = [*parts, *heading, row]
            if (_height(new) + GAP + LINE) * width > max_pixels:
                break
            parts, heading = new, []
            done += len(group[start : start + columns])
        else:
            continue
        break
    if not done:
        raise ParameterError(
            f"max_pixels {max_pixels} doesn't hold a row of {columns} images of {side} pixels: "
            "raise it, or take fewer columns or a smaller side"
        )
    if done < len(ranked):
        parts.append(captions([f"and {len(ranked) - done} more of lower scores"], width))
    return stack(parts)


@dataclass(frozen=True)
class _Tiles:
    """Draws one image of a sheet after the other."""

    predictions: Predictions
    transform: Transform
    states: Sequence[State]
    low: float
    high: float
    threshold: float | None
    image_threshold: float | None
    side: int
    marked: Mapping[Path, str]

    @property
    def width(self) -> int:
        return self.side + 2 * _FRAME

    def draw(self, i: int) -> Image.Image:
        """Draw an image in the proportions of its photograph, with what is said of it below."""
        sample, values = self.predictions.images[i], self.predictions.visible_map(i)
        photograph = fitted(sample, self.transform.bit_depth, self.side)
        size = photograph.height, photograph.width
        truth = None
        if self.predictions.masks is not None:
            mask = self.predictions.masks[i].astype(np.float32)
            truth = self.transform.on_original(mask, size) > 0.5
        heatmap = overlay(
            np.asarray(photograph),
            self.transform.on_original(values, size),
            low=self.low,
            high=self.high,
            threshold=self.threshold,
            truth=truth,
        )
        score, mark = float(self.predictions.scores[i]), self.marked.get(sample.path)
        called = f"{sample.path.parent.name}/{sample.path.name}".lstrip("/")
        said = f"{shown(score, beside=self.image_threshold)}  {mark or self._said(i)}"
        frame = _FRAMES[self.states[i]] if mark is None else _MARKED
        picture = framed(Image.fromarray(heatmap), _FRAME, frame)
        centred = Image.new("RGB", (self.width, picture.height), "white")
        centred.paste(picture, ((self.width - picture.width) // 2, 0))
        return stack([centred, captions([called, said], self.width)])

    def _said(self, i: int) -> str:
        what = self.states[i]
        if what == "undecided" or self.threshold is None:
            return "" if what == "undecided" else what
        is_outlined = bool(self.predictions.maps[i].max() > self.threshold)
        if what == "anomalous":
            return what if is_outlined else f"{what}, no outline"
        return f"{what}, outlined" if is_outlined else what


def _thresholds(
    width: int, image_threshold: float | None, threshold: float | None
) -> list[Image.Image]:
    lines = []
    if image_threshold is not None:
        lines.append(f"image threshold {shown(image_threshold)}: a score above it is anomalous")
    if threshold is not None:
        lines.append(f"pixel threshold {shown(threshold)}: map values above it are outlined")
    if len(lines) == 2:
        lines.append(_TWO)
    return [paragraph(line, width) for line in lines]


def _heading(one: State, count: int, width: int) -> Image.Image:
    said = {
        "anomalous": "above the threshold",
        "unsure": "not above the threshold, for a person to look at: at most"
        f" {DEFAULT_REVIEW:.0%} of good images look as odd",
    }.get(one)
    text = f"{one}: {count} on this sheet" + (f", {said}" if said else "")
    return captions([text], width, _FRAMES[one].colour)


def _height(parts: Sequence[Image.Image]) -> int:
    return sum(part.height + GAP for part in parts) - GAP
