"""Lines around parts of a picture: solid ones, and dashes that are seen on any ground."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage  # type: ignore[import-untyped]

Mask = npt.NDArray[np.bool_]

BLACK, WHITE, CYAN = (0, 0, 0), (255, 255, 255), (0, 220, 255)


def line_width(height: int, width: int) -> int:
    """How wide lines are on a picture of this size."""
    return max(2, round(max(height, width) / 350))


def outline(mask: Mask, thickness: int) -> Mask:
    """The pixels just around a mask."""
    around: Mask = ndimage.maximum_filter(mask, 2 * thickness + 1, mode="constant") & ~mask
    return around


def paint(mask: Mask) -> Image.Image:
    """A mask as Pillow takes it for pasting."""
    return Image.fromarray(mask.astype(np.uint8) * 255)


def draw_around(
    picture: Image.Image, mask: Mask, thickness: int, colour: tuple[int, int, int]
) -> None:
    """Draw a solid line just around a mask."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    # Only where there is something: most of a picture has no line.
    top, left = max(0, rows[0] - thickness), max(0, columns[0] - thickness)
    window = slice(top, rows[-1] + thickness + 1), slice(left, columns[-1] + thickness + 1)
    picture.paste(colour, (int(left), int(top)), paint(outline(mask[window], thickness)))


def draw_dashes(picture: Image.Image, mask: Mask, width: int) -> None:
    """Draw dashes of black and white just around a mask."""
    if not mask.any():
        return
    white = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.bool_)
    for path in _loops(mask):
        corners = np.array(path[:-1])
        # A whole number of dashes, so that the last meets the first. Widening lengthens the white.
        period = len(corners) / max(1, round(len(corners) / (8 * width)))
        x, y = corners[np.arange(len(corners)) % period <= period / 4].T
        white[y, x] = True
    wide = ndimage.maximum_filter(white, 2 * width, mode="constant")[1:, 1:]
    around = outline(mask, width)
    picture.paste(BLACK, mask=paint(around))
    picture.paste(WHITE, mask=paint(around & wide))


def _loops(mask: Mask) -> list[list[tuple[int, int]]]:
    """Closed paths of corners (x, y) around the parts of a mask and their holes."""
    inside = np.pad(mask, 1)
    following = defaultdict(list)
    # Of each side of a pixel: the neighbour, and where it starts and ends, clockwise.
    for (down, right), start, end in (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (1, 1)),
        ((1, 0), (1, 1), (0, 1)),
        ((0, -1), (0, 1), (0, 0)),
    ):
        border = inside & ~np.roll(inside, (-down, -right), (0, 1))
        for y, x in (np.argwhere(border) - 1).tolist():
            following[x + start[0], y + start[1]].append((x + end[0], y + end[1]))
    loops = []
    while following:
        path = [next(iter(following))]
        while path[-1] in following:
            ends = following[path[-1]]
            here, there = path[-1], ends.pop()
            if not ends:
                del following[here]
            path.append(there)
        loops.append(path)
    return loops


@dataclass(frozen=True)
class Frame:
    """A frame around a picture.

    Parameters
    ----------
    colour : (int, int, int)
    width : int
        In pixels; 0 for none.
    dash : int
        How long its dashes and the gaps between them are; 0 for a solid one.
    """

    colour: tuple[int, int, int] = WHITE
    width: int = 0
    dash: int = 0


def framed(picture: Image.Image, margin: int, frame: Frame) -> Image.Image:
    """A picture with a margin on each side and a frame in that, next to the picture."""
    width, colour, dash = frame.width, frame.colour, frame.dash
    size = picture.width + 2 * margin, picture.height + 2 * margin
    made = Image.new("RGB", size, "white")
    outer = margin - width
    made.paste(colour, (outer, outer, size[0] - outer, size[1] - outer))
    if dash:
        draw = ImageDraw.Draw(made)
        # Corners stay, so that a frame is seen around the smallest picture.
        for x in range(margin + dash // 2, size[0] - margin, 2 * dash):
            end = min(x + dash, size[0] - margin) - 1
            draw.rectangle((x, 0, end, margin - 1), fill=WHITE)
            draw.rectangle((x, size[1] - margin, end, size[1] - 1), fill=WHITE)
        for y in range(margin + dash // 2, size[1] - margin, 2 * dash):
            end = min(y + dash, size[1] - margin) - 1
            draw.rectangle((0, y, margin - 1, end), fill=WHITE)
            draw.rectangle((size[0] - margin, y, size[0] - 1, end), fill=WHITE)
    made.paste(picture, (margin, margin))
    return made
