"""Where and in which shape a made defect lies on a photograph: its window, blobs and lines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.synthesis.foreground import foreground_mask

Samples = npt.NDArray[np.uint8 | np.uint16]
Colours = npt.NDArray[np.float32]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Side of the picture in which the part is looked for, and the most pixels drawn for a smooth line.
_LOOK = 128
_MOST_DRAWN = 2048
_WAVES = 5


@dataclass(frozen=True, eq=False)
class Window:
    """A rectangle of a photograph, in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def of(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the view of an array (H, W, ...) of the photograph that lies in it."""
        return array[self.top : self.bottom, self.left : self.right]


class Canvas:
    """A good photograph to put a defect on, as shares of its own brightest value.

    Nothing that is drawn depends on what white is, which for images of 16 bits is the camera's
    matter and may be settled later.

    Parameters
    ----------
    samples : uint8 or uint16 array of shape (H, W, 1) or (H, W, 3)
        The photograph.
    foreground : bool array of shape (H, W), optional
        Where the part is; by default as `foreground_mask` finds it.
    """

    def __init__(self, samples: Samples, foreground: Mask | None = None) -> None:
        self.samples = samples
        self.peak = max(int(samples.max()), 1)
        if foreground is None or not foreground.any():
            foreground = self._found()
        self.foreground = foreground

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the photograph."""
        height, width = self.samples.shape[:2]
        return height, width

    @cached_property
    def unit(self) -> float:
        """The part's size in pixels: the side of a square with its area."""
        return math.sqrt(np.count_nonzero(self.foreground))

    @cached_property
    def stands_out(self) -> bool:
        """Whether there is a background around the part."""
        return not bool(self.foreground.all())

    @cached_property
    def _places(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(self.foreground)

    @cached_property
    def _edge(self) -> npt.NDArray[np.intp]:
        part = self.foreground
        inside = part.copy()
        inside[1:] &= part[:-1]
        inside[:-1] &= part[1:]
        inside[:, 1:] &= part[:, :-1]
        inside[:, :-1] &= part[:, 1:]
        return np.flatnonzero(part & ~inside)

    def place(self, rng: np.random.Generator, *, on_edge: bool = False) -> tuple[int, int]:
        """Draw row and column of a pixel on the part, or on its edge where it has one."""
        places = self._edge if on_edge and len(self._edge) else self._places
        row, column = divmod(int(places[rng.integers(len(places))]), self.shape[1])
        return row, column

    def size(self, rng: np.random.Generator, low: float, high: float) -> float:
        """Draw a length in pixels, evenly on a logarithmic scale, between shares of the part's."""
        share = math.exp(rng.uniform(math.log(low), math.log(high)))
        return max(share * self.unit, 3.0)

    def window(self, centre: tuple[int, int], reach: float) -> Window:
        """Return the square that reaches so far from its centre, cut off at the borders."""
        (height, width), step = self.shape, math.ceil(reach) + 2
        row, column = centre
        return Window(
            max(row - step, 0),
            max(column - step, 0),
            min(row + step + 1, height),
            min(column + step + 1, width),
        )

    def colours(self, window: Window) -> Colours:
        """Return what a window shows as RGB, shape (h, w, 3), from 0 to 1."""
        shown = window.of(self.samples).astype(np.float32) / np.float32(self.peak)
        return np.ascontiguousarray(np.broadcast_to(shown, (*window.shape, 3)))

    def put(self, window: Window, colours: Colours) -> Samples:
        """Return the samples of a window for colours from 0 to 1."""
        shown = colours.mean(axis=2, keepdims=True) if self.samples.shape[2] == 1 else colours
        values = np.rint(np.clip(shown, 0, 1) * np.float32(self.peak))
        stored: Samples = values.astype(self.samples.dtype)
        return stored

    def _found(self) -> Mask:
        height, width = self.shape
        step = max(1, max(height, width) // (2 * _LOOK))
        eight = self.samples[::step, ::step].astype(np.float32) * np.float32(255 / self.peak)
        pixels = np.broadcast_to(np.rint(eight).astype(np.uint8), (*eight.shape[:2], 3))
        image = Image.fromarray(np.ascontiguousarray(pixels))
        image.thumbnail((_LOOK, _LOOK), Image.Resampling.BOX)
        part = Image.fromarray(foreground_mask(np.asarray(image)))
        return np.asarray(part.resize((width, height), Image.Resampling.NEAREST)).astype(np.bool_)


def polar(window: Window, centre: tuple[int, int]) -> tuple[Field, Field]:
    """Return each pixel's distance from a pixel, in pixels, and its angle; shapes (h, w)."""
    rows = np.arange(window.top, window.bottom, dtype=np.float32)[:, None] - centre[0]
    columns = np.arange(window.left, window.right, dtype=np.float32) - centre[1]
    return np.hypot(rows, columns), np.arctan2(rows, columns)


def blob(
    rng: np.random.Generator,
    window: Window,
    centre: tuple[int, int],
    diameter: float,
    softness: float,
) -> Field:
    """Draw an uneven, longish spot.

    Parameters
    ----------
    rng : numpy.random.Generator
        What it is drawn from.
    window : Window
        Where it is drawn.
    centre : (int, int)
        Row and column.
    diameter : float
        About how long it is, in pixels.
    softness : float
        Share of its radius over which its edge fades; a pixel at least.

    Returns
    -------
    float32 array of shape (h, w)
        Opacity from 0 to 1.
    """
    distance, angle = polar(window, centre)
    turn, aspect = rng.uniform(0, math.pi), math.exp(rng.uniform(0, math.log(2.5)))
    across = np.hypot(np.cos(angle - turn), np.sin(angle - turn) * np.float32(aspect))
    wave = np.ones_like(angle)
    for k, (height, phase) in enumerate(rng.random((_WAVES, 2)), start=2):
        wave += np.float32(0.35 * height / k) * np.cos(k * angle + np.float32(math.tau * phase))
    radius = np.float32(diameter / 2) * wave / across
    fade = np.float32(max(softness * diameter / 2, 1.0))
    opacity: Field = np.clip((radius - distance) / fade + np.float32(0.5), 0, 1)
    return opacity


def lines(window: Window, paths: list[npt.NDArray[np.float64]], widths: list[float]) -> Field:
    """Draw smooth-edged lines.

    Parameters
    ----------
    window : Window
        Where they are drawn.
    paths : list of float64 arrays of shape (n, 2)
        Row and column of the points that each goes through.
    widths : list of float
        Of each, in pixels.

    Returns
    -------
    float32 array of shape (h, w)
        Opacity from 0 to 1.
    """
    height, width = window.shape
    fine = max(1, min(4, _MOST_DRAWN // max(height, width)))
    drawing = Image.new("L", (width * fine, height * fine))
    pen = ImageDraw.Draw(drawing)
    for path, thick in zip(paths, widths, strict=True):
        shifted = (path - (window.top, window.left) + 0.5) * fine
        points = [(column, row) for row, column in shifted.tolist()]
        pen.line(points, fill=255, width=max(1, round(thick * fine)), joint="curve")
    small = drawing.resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def smoothed(field: Field, sigma: float) -> Field:
    """Return a field (h, w) under a Gaussian; a wide one is taken of fewer pixels."""
    fewer = max(1, int(sigma / 3))
    if fewer == 1:
        return np.asarray(ndimage.gaussian_filter(field, sigma, mode="nearest"))
    height, width = field.shape
    size = -(-width // fewer), -(-height // fewer)
    small = np.asarray(Image.fromarray(field).resize(size, Image.Resampling.BOX))
    wide = ndimage.gaussian_filter(small, sigma / fewer, mode="nearest")
    return np.asarray(Image.fromarray(wide).resize((width, height), Image.Resampling.BILINEAR))


def walk(
    rng: np.random.Generator, centre: tuple[int, int], length: float, steps: int, bend: float
) -> npt.NDArray[np.float64]:
    """Draw a path through a pixel, shape (steps + 1, 2): straighter, the smaller ``bend`` is."""
    turns = rng.uniform(0, math.tau) + np.cumsum(rng.normal(0, bend, steps))
    moves = np.stack([np.sin(turns), np.cos(turns)], axis=1) * (length / steps)
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])
    way: npt.NDArray[np.float64] = path - path[steps // 2] + np.asarray(centre, np.float64)
    return way
