"""What the sample categories share: random fields, lamps, shapes and the camera."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

Field = npt.NDArray[np.floating[Any]]
"""One number a pixel, shape (S, S)."""
Picture = npt.NDArray[np.floating[Any]]
"""Linear light, shape (S, S, 3), 1.0 = white."""

OVERSAMPLING = 2


@dataclass(frozen=True)
class Flaw:
    """A defect to draw: its kind, how glaring it is (0 barely visible, 1 glaring), its stream."""

    kind: str
    severity: float
    stream: tuple[int, ...]

    def rng(self) -> np.random.Generator:
        """Return the flaw's own stream from its start, apart from the scene's."""
        return np.random.default_rng(self.stream)

    def between(self, barely: float, glaring: float) -> float:
        """Return the value at this severity on the line from ``barely`` to ``glaring``."""
        return barely + (glaring - barely) * self.severity


@dataclass(frozen=True)
class Scene:
    """What to paint: how large, from which stream, with which flaw.

    ``phase`` is drawn at random from 0 to 1, for what can lie at any angle.
    """

    size: int
    rng: np.random.Generator
    phase: float
    flaw: Flaw | None


Painter = Callable[[Scene], Picture]


@dataclass(frozen=True)
class Category:
    """A kind of object, the defects it may have and the function that paints it."""

    name: str
    defects: tuple[str, ...]
    paint: Painter


def grid(size: int) -> tuple[Field, Field]:
    """Return x to the right, shape (1, S), and y downwards, shape (S, 1), both from -1 to 1."""
    line = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    return line[None, :], line[:, None]


def smoothstep(low: float, high: float, value: Field) -> Field:
    """Return 0 below ``low``, 1 above ``high`` and a smooth rise between."""
    t: Field = np.clip((value - low) * (1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def noise(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Return a smooth random field of about unit variance, ``cells`` bumps across at any size."""
    knots = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    # Averaging by the cubic B-spline leaves white noise about 0.48 of its deviation.
    return _interpolated(_interpolated(knots, size).T, size) * 2.1


def clouds(rng: np.random.Generator, size: int, cells: int, octaves: int = 3) -> Field:
    """Return a sum of `noise` whose octaves halve in height and double in number."""
    field = noise(rng, size, cells)
    for octave in range(1, octaves):
        field += noise(rng, size, cells << octave) * 0.5**octave
    return field


def sample(texture: Field, rows: Field, columns: Field) -> Field:
    """Read a repeating texture at fractional rows and columns, linearly interpolated."""
    rows, columns = np.broadcast_arrays(rows, columns)
    read: Field = ndimage.map_coordinates(texture, [rows, columns], order=1, mode="grid-wrap")
    return read


def slopes(height: Field) -> tuple[Field, Field]:
    """Return how steeply a surface falls to the right and downwards."""
    spacing = 2 / height.shape[0]
    right: Field = np.gradient(height, spacing, axis=1)
    down: Field = np.gradient(height, spacing, axis=0)
    return -right, -down


def soften(cover: Field, reach: int) -> Field:
    """Return a cover blurred over about ``reach`` pixels, as a shadow's edge is."""
    for _ in range(2):
        cover = ndimage.uniform_filter(cover, reach)
    return cover


def lamp_on(nx: Field, ny: Field, azimuth: float, elevation: float, tightness: float) -> Field:
    """Return the highlight of one lamp, seen from above, on a surface with the slope (nx, ny)."""
    nz2 = 1 / (1 + nx * nx + ny * ny)
    flat = 2 * math.cos(elevation)
    towards = (nx * (flat * math.cos(azimuth)) + ny * (flat * math.sin(azimuth))) * nz2
    towards = towards + (2 * nz2 - 1) * math.sin(elevation)
    highlight: Field = np.exp((towards - 1) * tightness)
    return highlight


def along(x: Field, y: Field, points: npt.NDArray[np.float64]) -> tuple[Field, Field]:
    """Return each pixel's distance to a polyline and where along it (0 to 1) it is nearest."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    nearest = np.full(shape, np.inf, np.float32)
    place = np.zeros(shape, np.float32)
    for k in range(len(points) - 1):
        (ax, ay), (bx, by) = points[k].tolist(), points[k + 1].tolist()
        dx, dy = bx - ax, by - ay
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + 1e-12), 0, 1)
        squared = (x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2
        closer = squared < nearest
        nearest = np.where(closer, squared, nearest)
        place = np.where(closer, (k + t) / (len(points) - 1), place)
    return np.sqrt(nearest), place


def walk(
    rng: np.random.Generator,
    start: tuple[float, float],
    heading: float,
    length: float,
    wander: float,
    steps: int = 10,
) -> npt.NDArray[np.float64]:
    """Return a random path of ``steps`` segments whose heading wanders by ``wander`` radians."""
    headings = heading + np.cumsum(rng.normal(0, wander, steps))
    strides = np.stack([np.cos(headings), np.sin(headings)], 1) * (length / steps)
    return np.concatenate([[start], start + np.cumsum(strides, 0)])


def lumps(
    rng: np.random.Generator, x: Field, y: Field, at: tuple[float, float], radius: float
) -> Field:
    """Return a field that is above 0 in an irregular blob, about 1 in its middle."""
    stretch, turn = float(rng.uniform(0.65, 1.0)), float(rng.uniform(0, math.pi))
    c, s = math.cos(turn), math.sin(turn)
    dx, dy = (x - at[0]) / radius, (y - at[1]) / radius
    a, b = dx * c + dy * s, (dy * c - dx * s) / stretch
    angle = np.arctan2(b, a)
    edge = 1.0 + sum(
        float(rng.normal(0, 0.22 / k)) * np.cos(k * angle + float(rng.uniform(0, 6.28)))
        for k in range(1, 7)
    )
    return 1 - np.sqrt(a * a + b * b) / np.maximum(edge, 0.3)


def mix(below: Picture, above: Picture | npt.ArrayLike, cover: Field) -> Picture:
    """Lay ``above`` over ``below`` where ``cover`` is 1."""
    return below + (np.asarray(above, np.float32) - below) * cover[..., None]


def dust(picture: Picture, rng: np.random.Generator, most: int, strength: float) -> Picture:
    """Scatter up to ``most`` specks, fainter and smaller than any defect."""
    size = picture.shape[0]
    picture = picture.copy()
    for _ in range(int(rng.integers(0, most + 1))):
        px, py = rng.uniform(0, size, 2)
        radius = float(rng.uniform(0.0025, 0.0055)) * size
        tone = float(rng.choice([-1.0, 0.7]) * rng.uniform(0.4, 1.0)) * strength
        reach = int(np.ceil(3 * radius))
        top, left = max(int(py) - reach, 0), max(int(px) - reach, 0)
        box = picture[top : int(py) + reach + 1, left : int(px) + reach + 1]
        rows = np.arange(top, top + box.shape[0], dtype=np.float32)[:, None] - py
        columns = np.arange(left, left + box.shape[1], dtype=np.float32)[None, :] - px
        speck = np.exp(-(rows**2 + columns**2) / radius**2)
        box *= (1 + tone * speck)[..., None].astype(np.float32)
    return picture


@dataclass(frozen=True)
class Camera:
    """Exposure, focus and sensor of one photograph, drawn anew for each image."""

    exposure: float
    balance: tuple[float, float, float]
    blur: float
    falloff: float
    read_noise: float
    shot_noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Camera:
        """Draw the settings that vary a little from one photograph to the next."""
        warmth = float(rng.normal(0, 0.012))
        return cls(
            exposure=float(np.exp(rng.normal(0, 0.05))),
            balance=(1 + warmth, 1.0, 1 - warmth),
            blur=float(rng.uniform(0.0006, 0.0024)),
            falloff=float(rng.uniform(0.04, 0.12)),
            read_noise=float(rng.uniform(0.003, 0.006)),
            shot_noise=float(rng.uniform(0.004, 0.009)),
        )

    def expose(self, picture: Picture) -> Picture:
        """Return what reaches the sensor: fewer pixels, blurred, gamma-coded, still noiseless."""
        size = picture.shape[0] // OVERSAMPLING
        binned = picture.reshape(size, OVERSAMPLING, size, OVERSAMPLING, 3).mean((1, 3))
        sigma = self.blur * size
        binned = ndimage.gaussian_filter(binned, (sigma, sigma, 0), truncate=3.0)
        x, y = grid(size)
        light = self.exposure * (1 - self.falloff * (x * x + y * y))
        binned = binned * light[..., None] * np.array(self.balance, np.float32)
        # A soft shoulder keeps highlights from clipping hard, as a camera's tone curve does.
        knee = np.maximum(binned, 0)
        knee = np.where(knee > 0.8, 0.8 + 0.2 * np.tanh((knee - 0.8) / 0.2 * 0.6), knee)
        coded: Picture = knee ** np.float32(1 / 2.2)
        return coded

    def grain(self, rng: np.random.Generator, size: int) -> tuple[Field, Field]:
        """Draw the noise of one exposure: the part that grows with light and the rest."""
        both = rng.standard_normal((2, size, size, 3), dtype=np.float32)
        return both[0] * self.shot_noise, both[1] * self.read_noise

    @staticmethod
    def develop(exposed: Picture, grain: tuple[Field, Field]) -> npt.NDArray[np.uint8]:
        """Add the noise and round to 8 bits."""
        noisy = exposed + grain[0] * np.sqrt(exposed) + grain[1]
        return (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8)


def _interpolated(knots: Field, size: int) -> Field:
    """Stretch the rows to ``size``, three knots outside, by cubic B-splines."""
    # Sums of rows instead of a matrix product: BLAS threads would fight with those of the caller.
    place = (np.arange(size) + 0.5) * ((len(knots) - 3) / size)
    first = place.astype(np.intp)
    t = (place - first).astype(np.float32)[:, None]
    field = knots[first] * ((1 - t) ** 3 / 6)
    field += knots[first + 1] * (((3 * t - 6) * t * t + 4) / 6)
    field += knots[first + 2] * ((((3 - 3 * t) * t + 3) * t + 1) / 6)
    field += knots[first + 3] * (t**3 / 6)
    return field
