"""A green glass bottle on a light table, seen from above."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anomalist.data.samples.drawing import (
    Category,
    Field,
    Flaw,
    Picture,
    Scene,
    along,
    clouds,
    dust,
    grid,
    lamp_on,
    lumps,
    mix,
    noise,
    slopes,
    smoothstep,
    walk,
)

_BODY, _LIP, _BORE = 0.87, 0.555, 0.345
"""Radius of the bottle, of its lip and of the opening."""
_EDGE = 0.005
_DOTS = (0, 1, 3, 4, 6)
"""The mould's number, as places of raised dots in a row."""
_ABSORPTION = np.array([2.5, 0.62, 1.75], np.float32)
_LAMP = np.array([1.0, 1.0, 0.96], np.float32)

# fmt: off
# At each radius: how clearly shoulder and lip let the light table through, from 0 to 1,
_CLEAR = np.array(
    [
        (0.345, 0.1), (0.365, 0.45), (0.4, 0.72), (0.44, 0.86), (0.49, 0.78), (0.53, 0.5),
        (0.548, 0.22), (0.555, 0.1), (0.57, 0.12), (0.59, 0.42), (0.62, 0.52), (0.65, 0.34),
        (0.665, 0.12), (0.68, 0.16), (0.7, 0.34), (0.74, 0.56), (0.765, 0.4), (0.79, 0.6),
        (0.82, 0.5), (0.845, 0.26), (0.862, 0.1), (0.87, 0.06),
    ]
)
# and how steeply the glass falls outwards there.
_SLOPE = np.array(
    [
        (0.345, -1.2), (0.37, -0.55), (0.41, -0.2), (0.45, 0), (0.49, 0.2), (0.53, 0.6),
        (0.555, 1.4), (0.57, 1.2), (0.585, -0.3), (0.62, 0.25), (0.655, 0.9), (0.675, 1.2),
        (0.7, 0.45), (0.8, 0.65), (0.87, 1.8),
    ]
)
# fmt: on


@dataclass
class _Marks:
    """What a flaw does to the glass: bends its surface, clears it, covers it with a colour."""

    bend_x: Field | float = 0.0
    bend_y: Field | float = 0.0
    clear: Field | float = 1.0
    colour: Picture | None = None
    cover: Field | None = None


def paint(scene: Scene) -> Picture:
    """Paint one bottle mouth, shape (S, S, 3), with or without a flaw."""
    size, rng, flaw = scene.size, scene.rng, scene.flaw
    x, y = grid(size)
    cx, cy = rng.normal(0, 0.026, 2).tolist()
    zoom = float(rng.normal(1, 0.014))
    lean_x, lean_y = rng.normal(0, 0.013, 2).tolist()
    turn = float(rng.normal(0, 0.16))
    lamps = float(np.exp(rng.normal(0, 0.15)))
    tint = float(np.exp(rng.normal(0, 0.09)))
    table = 0.72 + 0.03 * noise(rng, size, 2) + 0.005 * clouds(rng, size, 40, 2)
    wave_x, wave_y = 0.06 * clouds(rng, size, 6, 3), 0.06 * clouds(rng, size, 6, 3)
    foot = noise(rng, size, 4)

    # The shoulder lies lower than the lip: a leaning bottle shows the one beside the other.
    low_x, low_y = (x - cx + lean_x) * zoom, (y - cy + lean_y) * zoom
    high_x, high_y = (x - cx - lean_x) * zoom, (y - cy - lean_y) * zoom
    low, high = np.hypot(low_x, low_y), np.hypot(high_x, high_y)
    mould_x, mould_y = _mould(low_x, low_y, low, 2 * math.pi * scene.phase)
    marks = _marks(high_x, high_y, flaw)

    shadow = np.exp(-(((low - _BODY) * (1 / 0.07)) ** 2)) * (low > _BODY - 0.05)
    picture = (table * (1 - 0.30 * shadow))[..., None] * np.array([0.97, 1.0, 0.98], np.float32)
    for radius, px, py, edge in ((low, low_x, low_y, _BODY), (high, high_x, high_y, _LIP)):
        steep = _profile(_SLOPE, radius)
        clear = _profile(_CLEAR, radius)
        nx = steep * px / radius + wave_x + mould_x + marks.bend_x
        ny = steep * py / radius + wave_y + mould_y + marks.bend_y
        glass = _glass(table, clear * marks.clear, nx, ny, tint, turn, lamps)
        picture = mix(picture, glass, smoothstep(edge + _EDGE, edge - _EDGE, radius))
    bore = _bore(table, foot, high, high_x + 3 * lean_x, high_y + 3 * lean_y, tint, turn)
    picture = mix(picture, bore, smoothstep(_BORE + _EDGE, _BORE - _EDGE, high))
    if marks.colour is not None and marks.cover is not None:
        picture = mix(picture, marks.colour, marks.cover)
    return dust(picture, rng, 7, 0.25)


def _profile(knots: npt.NDArray[np.float64], radius: Field) -> Field:
    return np.interp(radius, knots[:, 0], knots[:, 1]).astype(np.float32)


def _mould(x: Field, y: Field, radius: Field, turn: float) -> tuple[Field, Field]:
    """Return the slopes of what the mould left: two seams and its number in raised dots.

    A round bottle stands at any angle on the line, so they show up anywhere.
    """
    c, s = math.cos(turn), math.sin(turn)
    across = y * c - x * s
    height = 0.0032 * np.exp(-((across / 0.008) ** 2)) * smoothstep(_LIP, _LIP + 0.03, radius)
    for step in _DOTS:
        at = _polar(turn + 1.1 + 0.105 * step, 0.755)
        inside = 1 - ((x - at[0]) ** 2 + (y - at[1]) ** 2) * (1 / 0.017**2)
        height = height + 0.0065 * np.clip(inside, 0, None)
    return slopes(height)


def _glass(
    table: Field, clear: Field, nx: Field, ny: Field, tint: float, turn: float, lamps: float
) -> Picture:
    tilt2 = nx * nx + ny * ny
    depth = (1.35 - 0.9 * clear) * tint
    through = np.exp(-depth[..., None] * _ABSORPTION) * (table * clear)[..., None]
    mirror = 0.05 + 0.5 * (1 - 1 / np.sqrt(1 + tilt2)) ** 2
    shine = sum(
        gain * lamp_on(nx, ny, turn + azimuth, elevation, tightness)
        for azimuth, elevation, tightness, gain in (
            (-2.3, 0.85, 40, 16.0),
            (0.75, 0.80, 50, 9.0),
            (-0.75, 0.60, 60, 2.5),
            (2.4, 0.62, 60, 2.5),
        )
    )
    halo = 0.9 * np.exp(-(((np.sqrt(tilt2) - 0.42) * (1 / 0.10)) ** 2))
    glass: Picture = through + (mirror * (shine + halo + 0.25) * lamps)[..., None] * _LAMP
    return glass


def _bore(
    table: Field, foot: Field, radius: Field, px: Field, py: Field, tint: float, turn: float
) -> Picture:
    deep = np.hypot(px, py)
    floor = smoothstep(0.30, 0.12, deep) * 0.62 + 0.16
    rings = 0.10 * np.exp(-(((deep - 0.245) * (1 / 0.012)) ** 2))
    rings -= 0.10 * np.exp(-(((deep - 0.19) * (1 / 0.025)) ** 2))
    light = (floor + rings + 0.03 * foot) * smoothstep(_BORE + 0.01, _BORE - 0.05, radius)
    lit_x, lit_y = _polar(turn + 0.9, 1.0)
    facing = (px * lit_x + py * lit_y) / np.maximum(deep, 1e-3)
    wall = np.exp(8 * (np.abs(facing) - 1)) * smoothstep(0.22, 0.33, radius)
    bore: Picture = (light * table + 0.10 * wall)[..., None] * np.exp(-0.62 * tint * _ABSORPTION)
    return bore


def _marks(x: Field, y: Field, flaw: Flaw | None) -> _Marks:
    if flaw is None:
        return _Marks()
    return _FLAWS[flaw.kind](x, y, flaw)


def _polar(angle: float, radius: float) -> tuple[float, float]:
    return radius * math.cos(angle), radius * math.sin(angle)


def _chip(x: Field, y: Field, flaw: Flaw) -> _Marks:
    """A shell broken out of the lip: ribbed facets, bright where they catch a lamp."""
    rng = flaw.rng()
    size = x.shape[1]
    angle = float(rng.uniform(-math.pi, math.pi))
    at = _polar(angle, float(rng.choice([_BORE + 0.03, _LIP - 0.03])))
    radius = flaw.between(0.032, 0.16)
    blob = lumps(rng, x, y, at, radius)
    ring = np.hypot(x, y)
    cover = smoothstep(0, 0.12, blob) * smoothstep(_BORE - 0.01, _BORE, ring)
    cover = cover * smoothstep(_LIP + 0.01, _LIP, ring)
    struck = np.hypot(x - 1.08 * at[0], y - 1.08 * at[1]) / radius
    ribs = np.sin(struck * float(rng.uniform(7, 12)) + 0.6 * noise(rng, size, 9))
    ribs = ribs * flaw.between(0.18, 0.6)
    rough = clouds(rng, size, 22, 2) * flaw.between(0.1, 0.45)
    facet = float(rng.uniform(-math.pi, math.pi))
    bend_x, bend_y = _polar(facet, flaw.between(0.18, 0.7))
    clear = 1 + cover * (
        0.35 * noise(rng, size, 12) * flaw.between(0.4, 1) + float(rng.uniform(-0.35, 0.2))
    )
    rim = np.exp(-(((blob - 0.05) * 14) ** 2)) * (cover > 0)
    clear = clear * (1 - flaw.between(0.4, 0.8) * rim)
    return _Marks(
        bend_x=cover * (bend_x + ribs + rough),
        bend_y=cover * (bend_y + ribs - rough),
        clear=np.clip(clear, 0.05, 1.35),
    )


def _crack(x: Field, y: Field, flaw: Flaw) -> _Marks:
    """A fracture that runs outwards: a mirror edge-on, so bright on one side and dark beside it."""
    rng = flaw.rng()
    angle = float(rng.uniform(-math.pi, math.pi))
    heading = angle + float(rng.normal(0, 0.7))
    start = _polar(angle, float(rng.uniform(0.38, 0.50)))
    path = walk(rng, start, heading, flaw.between(0.09, 0.34), 0.30, 12)
    distance, place = along(x, y, path)
    shift_x, shift_y = _polar(heading + math.pi / 2, 0.009)
    beside, _ = along(x - shift_x, y - shift_y, path)
    width = flaw.between(0.0045, 0.011) * (1.25 - place)
    glint = np.exp(-((distance / width) ** 2)) * (0.6 + 0.4 * np.sin(place * 19 + angle))
    dark = np.exp(-((beside / (1.6 * width)) ** 2))
    cover = np.clip(glint + 0.8 * dark, 0, 1) * flaw.between(0.28, 1.0)
    tone = glint / (glint + dark + 1e-6)
    colour = tone[..., None] * np.array([0.62, 0.85, 0.70], np.float32) + 0.015
    return _Marks(colour=colour, cover=cover)


def _bubble(x: Field, y: Field, flaw: Flaw) -> _Marks:
    """Air in the glass: a lens with a dark rim and a bright middle."""
    rng = flaw.rng()
    angle = float(rng.uniform(-math.pi, math.pi))
    low, high = ((0.39, 0.51), (0.70, 0.80))[int(rng.integers(2))]
    at = _polar(angle, float(rng.uniform(low, high)))
    radius = flaw.between(0.017, 0.052)
    # Blowing stretches bubbles around the bottle.
    c, s = _polar(angle, 1.0)
    a, b = (x - at[0]) * c + (y - at[1]) * s, (y - at[1]) * c - (x - at[0]) * s
    r = np.hypot(a, b / float(rng.uniform(1.2, 2.0))) / radius
    inside = smoothstep(1.08, 0.95, r)
    strength = flaw.between(0.5, 0.95)
    clear = 1 + (strength * inside) * (0.75 * np.exp(-((r / 0.55) ** 2)) - smoothstep(0.5, 0.9, r))
    dome = inside * r * flaw.between(0.2, 1.0)
    scale = 1 / (radius * np.maximum(r, 1e-3))
    return _Marks(
        bend_x=-dome * (x - at[0]) * scale, bend_y=-dome * (y - at[1]) * scale, clear=clear
    )


def _residue(x: Field, y: Field, flaw: Flaw) -> _Marks:
    """Something that shouldn't be there: a crumb of dirt, a smear of lubricant or a fibre."""
    rng = flaw.rng()
    size = x.shape[1]
    at = _polar(float(rng.uniform(-math.pi, math.pi)), float(rng.uniform(0.05, 0.75)))
    looks = int(rng.integers(3))
    if looks == 0:
        path = walk(rng, at, float(rng.uniform(0, 6.28)), flaw.between(0.10, 0.5), 0.55, 14)
        distance, _ = along(x, y, path)
        cover = smoothstep(1.5, 0.6, distance / flaw.between(0.006, 0.011))
        shade = 0.5 + 0.2 * noise(rng, size, 30)
        tone = np.array([0.75, 0.74, 0.70], np.float32) * float(rng.uniform(0.4, 1))
        cover = cover * flaw.between(0.28, 0.9)
    else:
        blob = lumps(rng, x, y, at, flaw.between(0.030, 0.15))
        grain = clouds(rng, size, 20, 3)
        cover = smoothstep(0.0, 0.25, blob + 0.10 * grain)
        dome = np.sqrt(np.clip(blob, 0, 1))
        nx, ny = slopes(dome + 0.06 * grain)
        shade = 0.55 + 0.05 * (nx + ny) + 0.10 * grain
        if looks == 1:
            tone = np.array([0.30, 0.21, 0.13], np.float32) * float(rng.uniform(0.5, 1.3))
            cover = cover * flaw.between(0.4, 1.0)
        else:
            tone = np.array([0.80, 0.78, 0.66], np.float32)
            cover = cover * flaw.between(0.16, 0.65)
    return _Marks(colour=np.clip(shade, 0.05, 1.2)[..., None] * tone, cover=cover)


_FLAWS = {"bubble": _bubble, "chip": _chip, "crack": _crack, "residue": _residue}

BOTTLE_MOUTH = Category("bottle_mouth", tuple(_FLAWS), paint)
