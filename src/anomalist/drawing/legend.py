"""What colours and lines of heatmaps mean, drawn."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from anomalist.digits import shown
from anomalist.drawing.colours import TOP
from anomalist.drawing.lines import BLACK
from anomalist.drawing.overlay import overlay
from anomalist.drawing.placing import GAP, beside, stack
from anomalist.drawing.text import LINE, captions, plain_font

_BAR = (260, 14)


def marks_of(low: float, high: float, threshold: float | None) -> list[tuple[float, str]]:
    """What stands below the colour bar: places on the display scale and texts."""
    good = (0.0, f"typical good {shown(low)}")
    if threshold is None:
        return [good, (1.0, f"highest good {shown(high)}")]
    place = (threshold - low) / (high - low or 1.0)
    return [good, (min(max(place, 0.0), TOP), f"pixel threshold {shown(threshold)}")]


def legend(
    width: int,
    marks: list[tuple[float, str]],
    threshold: float | None,
    truth: bool,
    ignored: bool = False,
) -> Image.Image:
    """A colour bar and a sample of each line, in as many rows as the width asks for."""
    items = [_bar(marks)]
    if threshold is not None:
        items.append(_sample("above the pixel threshold", threshold=0.5))
    if truth:
        items.append(_sample("true defect", truth=True))
    if ignored:
        items.append(_sample("edge of what is ignored", ignored=True))
    rows: list[list[Image.Image]] = [[]]
    for item in items:
        row = rows[-1]
        if row and sum(i.width + 2 * GAP for i in [*row, item]) > width:
            rows.append(row := [])
        row.append(item)
    body = stack([beside(row, 2 * GAP) for row in rows])
    framed = Image.new("RGB", (body.width + 2 * GAP, body.height + 2 * GAP), "white")
    framed.paste(body, (GAP, GAP))
    return framed


def _bar(marks: list[tuple[float, str]]) -> Image.Image:
    width, height = _BAR
    ramp = np.linspace(0, TOP, width)[None].repeat(height, 0)
    grey = np.full((height, width, 3), 200, np.uint8)
    bar = Image.fromarray(overlay(grey, ramp, low=0.0, high=1.0))
    font = plain_font()
    texts = []
    for place, text in marks:
        at, length = place / TOP * (width - 1), math.ceil(font.getlength(text))
        texts.append((at, max(0, round(at - length / 2)), length, text))
    # Texts keep a distance from each other, to the right if need be.
    end = 0
    picture = Image.new("RGB", (2 * width, height + 4 + LINE), "white")
    picture.paste(bar)
    draw = ImageDraw.Draw(picture)
    for at, left, length, text in texts:
        left = max(left, end)
        draw.line([(at, height), (at, height + 4)], fill=BLACK)
        draw.text((left, height + 4), text, fill=BLACK, font=font)
        end = left + length + GAP
    return picture.crop((0, 0, max(width, end), picture.height))


def _sample(
    text: str, *, threshold: float | None = None, truth: bool = False, ignored: bool = False
) -> Image.Image:
    """What a line looks like, and what it means."""
    size = 40
    patch = np.zeros((_BAR[1] + GAP, size), np.float32)
    patch[5:-5, 6:-6] = 1
    grey = np.full((*patch.shape, 3), 200, np.uint8)
    drawn = overlay(
        grey,
        np.where(patch > 0, np.float32(np.nan), patch) if ignored else patch,
        low=0.0,
        high=1.0,
        threshold=threshold,
        truth=patch > 0 if truth else None,
        opacity=0.0,
    )
    return beside(
        [Image.fromarray(drawn), captions([text], round(plain_font().getlength(text)) + 4)]
    )
