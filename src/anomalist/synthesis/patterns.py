"""Patterns drawn by code, for whoever has no photographs of textures."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from anomalist.synthesis.perlin import perlin_noise

Field = npt.NDArray[np.floating[Any]]
"""One number a pixel, shape (S, S), float32; any range."""

Pattern = Callable[[np.random.Generator, Field, Field], Field]
"""Draws a field on a plane of coordinates x and y, about -0.5 to 0.5, turned and warped."""


def draw_pattern(rng: np.random.Generator, size: int = 288) -> npt.NDArray[np.uint8]:
    """Draw a random pattern: its kind, scale, direction, distortion, colours, shading and grain.

    Parameters
    ----------
    rng : numpy.random.Generator
        What everything is drawn from.
    size : int
        Side in pixels.

    Returns
    -------
    uint8 array of shape (S, S, 3)

    Examples
    --------
    >>> draw_pattern(np.random.default_rng(0), 64).shape
    (64, 64, 3)
    """
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    field = pattern(rng, *_plane(rng, size))
    # A few extreme pixels must not leave all others alike.
    low, high = np.quantile(field[::4, ::4], [0.02, 0.98]).astype(np.float32)
    levels = np.clip((field - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    light = np.ones((size, size), np.float32)
    if rng.random() < 0.5:
        light += _clouds(rng, size, 2, 2) * np.float32(rng.uniform(0.1, 0.6))
    grain = rng.exponential(5)
    picture = _palette(rng)[levels] * light[..., None]
    picture += (rng.standard_normal((size, size), np.float32) * np.float32(grain))[..., None]
    drawn: npt.NDArray[np.uint8] = np.clip(picture, 0, 255, out=picture).astype(np.uint8)
    return drawn


def _plane(rng: np.random.Generator, size: int) -> tuple[Field, Field]:
    line = (np.arange(size, dtype=np.float32) + 0.5) / size - np.float32(0.5)
    angle = rng.uniform(0, 2 * math.pi)
    c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    x: Field = c * line + s * line[:, None]
    y: Field = c * line[:, None] - s * line
    if rng.random() < 0.5:
        cells = int(rng.integers(1, 6))
        strength = np.float32(rng.uniform(0.02, 0.2) / cells)
        x += _noise(rng, size, cells) * strength
        y += _noise(rng, size, cells) * strength
    return x, y


def _palette(rng: np.random.Generator) -> Field:
    """256 colours, shape (256, 3), that run through two to five random ones."""
    count = int(rng.integers(2, 6))
    hue, spread, saturation = rng.random(), rng.choice([0.03, 0.1, 0.5]), rng.random() ** 1.5
    light, dark = rng.uniform(0.5, 1), rng.uniform(0, 0.6)
    values = light * rng.permutation([1.0, dark, *rng.uniform(dark, 1, count - 2)])
    knots = [
        colorsys.hsv_to_rgb(
            (hue + rng.normal(0, spread)) % 1,
            min(max(saturation + rng.normal(0, 0.15), 0.0), 1.0),
            value,
        )
        for value in values.tolist()
    ]
    inner = np.sort(rng.random(count - 2))
    places = np.concatenate([[0], inner, [1]])
    steps = np.linspace(0, 1, 256)
    channels = [np.interp(steps, places, [knot[c] * 255 for knot in knots]) for c in range(3)]
    return np.stack(channels, axis=1).astype(np.float32)


def _noise(rng: np.random.Generator, size: int, cells: int, stretch: int = 1) -> Field:
    return perlin_noise((size, size), (cells, cells * stretch), rng)


def _clouds(rng: np.random.Generator, size: int, cells: int, octaves: int) -> Field:
    field = _noise(rng, size, cells)
    for octave in range(1, octaves):
        field += _noise(rng, size, cells << octave) * np.float32(0.6**octave)
    return field


def _frequency(rng: np.random.Generator, low: float, high: float) -> np.float32:
    """A number of repeats, evenly drawn on a logarithmic scale."""
    return np.float32(math.exp(rng.uniform(math.log(low), math.log(high))))


def _tones(rng: np.random.Generator, row: npt.ArrayLike, column: npt.ArrayLike) -> Field:
    """A random tone for each cell of a grid, from its whole-numbered row and column."""
    table = rng.random((64, 64), np.float32)
    rows, columns = np.asarray(row).astype(np.int32), np.asarray(column).astype(np.int32)
    tones: Field = table[rows & 63, columns & 63]
    return tones


def _cosine(phase: Field) -> Field:
    wave: Field = np.cos(phase * np.float32(2 * math.pi))
    return wave


def _edge(depth: Field, width: float) -> Field:
    """0 where the depth is negative, 1 beyond ``width``, and a ramp between."""
    ramp: Field = np.clip(depth * np.float32(1 / width), 0, 1)
    return ramp


def _stripes(rng: np.random.Generator, x: Field, y: Field) -> Field:
    phase = x * _frequency(rng, 4, 40)
    kind = rng.integers(3)
    if kind == 0:
        return _cosine(phase)
    if kind == 1:
        return _tones(rng, np.floor(phase), 0)
    return phase % 1


def _plaid(rng: np.random.Generator, x: Field, y: Field) -> Field:
    across = _tones(rng, np.floor(x * _frequency(rng, 5, 40)), 0)
    return across + _tones(rng, np.floor(y * _frequency(rng, 5, 40)), 0)


def _checks(rng: np.random.Generator, x: Field, y: Field) -> Field:
    repeats = _frequency(rng, 4, 30)
    rows, columns = np.floor(y * repeats), np.floor(x * repeats * _frequency(rng, 0.5, 2))
    if rng.random() < 0.5:
        return _tones(rng, rows, columns)
    parity: Field = (rows + columns) % 2
    return parity


def _dots(rng: np.random.Generator, x: Field, y: Field) -> Field:
    repeats = _frequency(rng, 5, 30)
    v = y * repeats
    row = np.floor(v)
    u = x * repeats + row * np.float32(rng.choice([0.0, 0.5]))
    distance = np.hypot(u - np.floor(u) - np.float32(0.5), v - row - np.float32(0.5))
    radius = np.float32(rng.uniform(0.15, 0.45))
    dot = _edge(radius - distance, rng.uniform(0.05, 0.4))
    return dot * (1 + _tones(rng, row, np.floor(u)) * np.float32(rng.uniform(0, 1)))


def _bricks(rng: np.random.Generator, x: Field, y: Field) -> Field:
    repeats = _frequency(rng, 4, 16)
    v = y * repeats
    row = np.floor(v)
    u = x * repeats * np.float32(rng.uniform(0.3, 1)) + row * np.float32(rng.uniform(0.2, 0.5))
    column = np.floor(u)
    inside = 0.5 - np.maximum(np.abs(v - row - 0.5), np.abs(u - column - 0.5))
    joint = _edge(inside - np.float32(rng.uniform(0.02, 0.1)), 0.04)
    return joint * (np.float32(0.6) + _tones(rng, row, column) * np.float32(rng.uniform(0.1, 0.8)))


def _weave(rng: np.random.Generator, x: Field, y: Field) -> Field:
    repeats = _frequency(rng, 6, 36)
    u, v = x * repeats, y * repeats
    row, column = np.floor(v), np.floor(u)
    period = np.float32(rng.integers(2, 5))
    over = (row + column) % period == 0
    bulge_u, bulge_v = np.abs(u - column - 0.5), np.abs(v - row - 0.5)
    warp = (1 - 2 * bulge_u * bulge_u) * np.float32(rng.uniform(0.4, 1))
    woven: Field = np.where(over, warp, 1 - 2 * bulge_v * bulge_v)
    return woven


def _cells(rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Cells around scattered points (S. Worley, A Cellular Texture Basis Function, 1996)."""
    repeats = _frequency(rng, 4, 24)
    u, v = x * repeats, y * repeats
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    u, v = u - column, v - row
    points = rng.random((2, 64, 64), np.float32)
    tones = rng.random((64, 64), np.float32)
    first = np.full(u.shape, np.inf, np.float32)
    second, tone = first.copy(), np.zeros_like(u)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            place = ((row + dy) & 63) * 64 + ((column + dx) & 63)
            across = points[0].take(place) + dx - u
            along = points[1].take(place) + dy - v
            squared = across * across + along * along
            closer = squared < first
            second = np.where(closer, first, np.minimum(second, squared))
            first = np.where(closer, squared, first)
            tone = np.where(closer, tones.take(place), tone)
    kind = rng.integers(4)
    if kind == 0:
        return np.sqrt(first)
    edges = np.sqrt(second) - np.sqrt(first)
    if kind == 1:
        return edges
    crack = _edge(edges, rng.uniform(0.05, 0.2))
    cells: Field = tone if kind == 2 else crack * (np.float32(0.5) + tone)
    return cells


def _marble(rng: np.random.Generator, x: Field, y: Field) -> Field:
    turbulence = np.abs(_clouds(rng, len(x), int(rng.integers(2, 6)), 4))
    return _cosine(x * _frequency(rng, 1, 6) + turbulence * np.float32(rng.uniform(0.5, 2)))


def _wood(rng: np.random.Generator, x: Field, y: Field) -> Field:
    middle = np.float32(rng.uniform(-0.8, 0.8))
    radius = np.hypot(x - middle, y * np.float32(rng.uniform(0.05, 0.4)))
    radius += _noise(rng, len(x), 3) * np.float32(0.05)
    rings = (radius * _frequency(rng, 6, 24)) % 1
    fibres = _cosine(x * np.float32(90) + _noise(rng, len(x), 8))
    grain: Field = rings + fibres * np.float32(rng.uniform(0, 0.3))
    return grain


def _rings(rng: np.random.Generator, x: Field, y: Field) -> Field:
    across, along = rng.uniform(-0.6, 0.6, 2).astype(np.float32)
    return _cosine(np.hypot(x - across, y - along) * _frequency(rng, 4, 30))


def _cloudy(rng: np.random.Generator, x: Field, y: Field) -> Field:
    return _clouds(rng, len(x), int(rng.integers(1, 12)), int(rng.integers(2, 5)))


def _creases(rng: np.random.Generator, x: Field, y: Field) -> Field:
    field = np.abs(_noise(rng, len(x), int(rng.integers(2, 10))))
    field += np.abs(_noise(rng, len(x), int(rng.integers(10, 24)))) * np.float32(0.5)
    return np.sqrt(field)


def _blotches(rng: np.random.Generator, x: Field, y: Field) -> Field:
    field = _clouds(rng, len(x), int(rng.integers(3, 24)), 3)
    return _edge(field - np.float32(rng.uniform(-0.2, 0.3)), rng.uniform(0.02, 0.2))


def _contours(rng: np.random.Generator, x: Field, y: Field) -> Field:
    field = _clouds(rng, len(x), int(rng.integers(2, 6)), 2)
    return (field * _frequency(rng, 2, 10)) % 1


def _brushed(rng: np.random.Generator, x: Field, y: Field) -> Field:
    # Rows of noise far longer than wide; the plane's own turn and warp bend them.
    lines = rng.standard_normal(1024, np.float32)
    reach = int(rng.integers(200, 700))
    place = (x + 1) * np.float32(reach / 2)
    first = place.astype(np.int32) & 1023
    fine = lines[first] * (1 - place % 1) + lines[(first + 1) & 1023] * (place % 1)
    brushed: Field = fine + _noise(rng, len(x), 4) * np.float32(rng.uniform(0, 3))
    return brushed


def _speckle(rng: np.random.Generator, x: Field, y: Field) -> Field:
    coarse = max(2, len(x) // int(rng.integers(1, 5)))
    knots = Image.fromarray(rng.standard_normal((coarse, coarse), np.float32))
    speckle: Field = np.asarray(knots.resize(x.shape, Image.Resampling.BICUBIC))
    if rng.random() < 0.5:
        return _edge(speckle - np.float32(rng.uniform(0.3, 1.5)), 0.3)
    return speckle + _noise(rng, len(x), 6) * np.float32(rng.uniform(0, 2))


def _honeycomb(rng: np.random.Generator, x: Field, y: Field) -> Field:
    repeats = _frequency(rng, 5, 24)
    u, v = x * repeats, y * repeats * np.float32(1 / math.sqrt(3))
    # Hexagons are what is nearest to the points of two interleaved grids of rectangles.
    across, along = np.abs(u - np.rint(u)), np.abs(v - np.rint(v)) * np.float32(math.sqrt(3))
    to_other = (np.float32(0.5) - across, np.float32(math.sqrt(0.75)) - along)
    other = np.hypot(*to_other) < np.hypot(across, along)
    across, along = np.where(other, to_other[0], across), np.where(other, to_other[1], along)
    if rng.random() < 0.5:
        centres: Field = np.hypot(across, along)
        return centres
    slanted = across * np.float32(0.5) + along * np.float32(math.sqrt(0.75))
    return _edge(np.float32(0.5) - np.maximum(across, slanted), rng.uniform(0.05, 0.3))


def _chevrons(rng: np.random.Generator, x: Field, y: Field) -> Field:
    repeats = _frequency(rng, 3, 14)
    slant = np.abs((y * repeats) % 2 - 1) * np.float32(rng.uniform(0.5, 2))
    phase = x * repeats * np.float32(rng.uniform(1, 3)) + slant
    return _cosine(phase) if rng.random() < 0.5 else np.floor(phase * 2) % 2


def _scales(rng: np.random.Generator, x: Field, y: Field) -> Field:
    repeats = _frequency(rng, 5, 20)
    u, v = x * repeats, y * repeats * 2
    row = np.floor(v)
    u = u + (row % 2) * np.float32(0.5)
    across, along = u - np.floor(u) - np.float32(0.5), v - row
    # A pixel belongs to its row's scale inside that one's arc, else to the scale below.
    arc = along * along * np.float32(0.25) + across * across
    scales: Field = np.where(arc < np.float32(0.25), arc * 4, np.abs(across) * 2)
    return scales


def _strokes(rng: np.random.Generator, x: Field, y: Field) -> Field:
    size = len(x)
    picture = Image.new("L", (size, size), 128)
    draw = ImageDraw.Draw(picture)
    heading, wander = rng.uniform(0, math.pi), rng.choice([0.1, 0.5, 3.0])
    bend, longest = rng.choice([0.0, 0.3]), rng.uniform(0.1, 1) * size
    count = int(rng.integers(20, 200))
    starts = rng.uniform(-0.2, 1.2, (count, 2)) * size
    turns = heading + rng.normal(0, wander, count)
    for start, turn, tone in zip(starts, turns, rng.integers(0, 256, count), strict=True):
        headings = turn + np.cumsum(rng.normal(0, bend, 6))
        steps = np.stack([np.cos(headings), np.sin(headings)], 1) * (longest / 6)
        points = np.concatenate([start[None], start + np.cumsum(steps, 0)])
        draw.line([tuple(p) for p in points.tolist()], int(tone), int(rng.integers(1, 4)))
    return np.asarray(picture).astype(np.float32)


def _gradient(rng: np.random.Generator, x: Field, y: Field) -> Field:
    return x + y * y * np.float32(rng.uniform(-2, 2))


PATTERNS: tuple[Pattern, ...] = (
    _stripes,
    _plaid,
    _checks,
    _dots,
    _bricks,
    _weave,
    _cells,
    _marble,
    _wood,
    _rings,
    _cloudy,
    _creases,
    _blotches,
    _contours,
    _brushed,
    _speckle,
    _honeycomb,
    _chevrons,
    _scales,
    _strokes,
    _gradient,
)
