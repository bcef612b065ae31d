"""A brushed brass key that lies on a rubber mat at any angle."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from anomalist.data.samples.drawing import (
    Category,
    Field,
    Flaw,
    Picture,
    along,
    clouds,
    dust,
    grid,
    lamp_on,
    lumps,
    mix,
    noise,
    sample,
    smoothstep,
    walk,
)

_TIP, _COLLAR, _HALF = -0.84, 0.16, 0.125
_BOW, _BOW_RADIUS = (0.47, 0.0), 0.30
_HOLE, _HOLE_RADIUS = (0.63, 0.0), 0.070
_BEVEL = 0.020
_CUTS = (
    (-0.665, 0.045),
    (-0.525, 0.130),
    (-0.385, 0.075),
    (-0.245, 0.140),
    (-0.105, 0.060),
    (0.025, 0.105),
)
"""Where along the blade its bitting is cut and how deep."""
_FLAT, _FLANK = 0.018, 0.042
"""Half the width of a cut's floor and the run of its flanks."""
_BRASS = np.array([0.80, 0.555, 0.235], np.float32)
_MAT = np.array([0.060, 0.066, 0.074], np.float32)


def paint(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Picture:
    """Paint one key, shape (S, S, 3), with or without a flaw."""
    x, y = grid(size)
    angle = float(rng.uniform(0, 2 * np.pi))
    at_x, at_y = rng.normal(0, 0.03, 2).tolist()
    zoom = float(rng.normal(0.94, 0.010))
    azimuth = float(rng.normal(-2.2, 0.15))
    lamps = float(np.exp(rng.normal(0, 0.10)))
    wear = 0.05 * clouds(rng, size, 4, 3)
    mat = 1 + 0.06 * noise(rng, size, 2) + 0.09 * clouds(rng, size, 60, 2)
    brushing = rng.standard_normal((256, 48), dtype=np.float32)
    scuffs = [
        (float(a), float(b), float(c))
        for a, b, c in rng.uniform((-0.7, -0.1, 0), (0.7, 0.1, np.pi), (3, 3))
    ]

    c, s = float(np.cos(angle)), float(np.sin(angle))
    px = ((x - at_x) * c + (y - at_y) * s) * zoom - 0.035
    py = ((y - at_y) * c - (x - at_x) * s) * zoom
    depth = _depth(px, py, flaw)
    cover = smoothstep(-0.004, 0.004, depth)

    nx, ny = _slopes(px, py, depth, size)
    streaks = sample(brushing, py * 150, px * 9)
    bend_along, bend_across, gouge = _scratch(px, py, flaw)
    for a, b, heading in scuffs:
        distance, place = along(px, py, walk(rng, (a, b), heading, 0.10, 0.05, 2))
        gouge = gouge + 0.10 * np.exp(-((distance / 0.004) ** 2)) * (4 * place * (1 - place))
    fine_x, fine_y = bend_along * c - bend_across * s, bend_along * s + bend_across * c
    fine_x, fine_y = fine_x - 0.035 * streaks * s, fine_y + 0.035 * streaks * c
    metal = _brass(nx + fine_x, ny + fine_y, azimuth, azimuth - angle, lamps)
    metal = metal * (1 + wear + 0.045 * streaks - 0.55 * gouge)[..., None]

    reach = round(0.045 * size)
    shift = round(0.022 * size)
    shadow = _blurred(cover, reach)
    shadow = np.roll(shadow, (shift, shift), (0, 1))
    ground = (mat * (1 - 0.70 * shadow) * lamps)[..., None] * _MAT
    return dust(mix(ground, metal, cover), rng, 8, 0.30)


def _blurred(cover: Field, reach: int) -> Field:
    for _ in range(2):
        cover = ndimage.uniform_filter(cover, reach)
    return cover


def _depth(px: Field, py: Field, flaw: Flaw | None) -> Field:
    """Return how far inside the key's outline each point lies, negative outside."""
    kind = flaw.kind if flaw else ""
    cuts = _top_edge()
    hole = _HOLE_RADIUS
    if flaw and kind == "bent_tip":
        rng = flaw.rng()
        start = float(rng.uniform(-0.60, -0.35))
        lift = float(rng.choice([-1.0, 1.0])) * flaw.between(0.018, 0.14)
        beyond = np.clip((start - px) / (start - _TIP), 0, None)
        py = py - lift * beyond * beyond
        px = px - 0.25 * abs(lift) * beyond
    if flaw and kind == "missing_tooth":
        cuts = _filed(cuts, flaw)
    if flaw and kind == "blocked_hole":
        hole = _HOLE_RADIUS * flaw.between(0.86, 0.0) - 0.02 * float(flaw.severity > 0.9)

    edge = np.interp(px, *cuts).astype(np.float32)
    flank = (np.interp(px + 0.004, *cuts) - np.interp(px - 0.004, *cuts)).astype(np.float32)
    upper = (py - edge) / np.sqrt(1 + (flank / 0.008) ** 2)
    blade = np.minimum(upper, _HALF - py)
    nose = (px - _TIP - 0.55 * np.abs(py - 0.02)) * 0.876
    blade = np.minimum(np.minimum(blade, nose), _COLLAR + 0.1 - px)
    collar = np.minimum(0.045 - np.abs(px - _COLLAR), 0.185 - np.abs(py))
    round_ = _BOW_RADIUS - np.hypot(px - _BOW[0], py * 0.94)
    eye = np.hypot(px - _HOLE[0], py - _HOLE[1])
    depth = np.maximum(np.maximum(blade, collar), np.minimum(round_, eye - hole))
    if flaw and kind == "burr":
        depth = np.maximum(depth, _burr(px, py, flaw))
    return depth.astype(np.float32)


def _top_edge() -> tuple[list[float], list[float]]:
    knots = [(-2.0, -_HALF), (2.0, -_HALF)]
    for place, deep in _CUTS:
        for side in (-1, 1):
            knots.append((place + side * _FLAT, -_HALF + deep))
            knots.append((place + side * (_FLAT + _FLANK), -_HALF))
    return _split(knots)


def _split(knots: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    knots = sorted(knots)
    return [place for place, _ in knots], [edge for _, edge in knots]


def _filed(
    cuts: tuple[list[float], list[float]], flaw: Flaw
) -> tuple[list[float], list[float]]:
    """Cut down the tooth between two neighbouring cuts."""
    rng = flaw.rng()
    tooth = int(rng.integers(len(_CUTS) - 1))
    (left, deep_left), (right, deep_right) = _CUTS[tooth], _CUTS[tooth + 1]
    floor = -_HALF + flaw.between(0.25, 0.95) * max(deep_left, deep_right)
    kept = [k for k in zip(*cuts, strict=True) if not left + _FLAT < k[0] < right - _FLAT]
    places = np.linspace(left + _FLAT, right - _FLAT, 7)[1:-1]
    floors = np.maximum(np.interp(places, *cuts), floor + rng.normal(0, 0.006, 5))
    return _split([*kept, *zip(places.tolist(), floors.tolist(), strict=True)])


def _burr(px: Field, py: Field, flaw: Flaw) -> Field:
    """A sliver of metal that stands out of the edge."""
    rng = flaw.rng()
    radius = flaw.between(0.014, 0.055)
    if rng.random() < 0.5:
        at = (float(rng.uniform(-0.65, 0.05)), _HALF)
    else:
        turn = float(rng.uniform(-2.0, 2.0))
        at = (_BOW[0] + _BOW_RADIUS * np.cos(turn), _BOW[1] + _BOW_RADIUS * np.sin(turn) / 0.94)
    return lumps(rng, px, py, (float(at[0]), float(at[1])), radius) * radius


def _slopes(px: Field, py: Field, depth: Field, size: int) -> tuple[Field, Field]:
    """Return the slope of bevel, milled groove and recessed bow, in the picture's axes."""
    rounded = np.clip(depth / _BEVEL, 0, 1)
    height = _BEVEL * 0.9 * (1 - (1 - rounded) ** 2)
    blade = smoothstep(_COLLAR - 0.035, _COLLAR - 0.06, px)
    groove = smoothstep(0.030, 0.022, np.abs(py - 0.055)) * blade
    recess = smoothstep(0.232, 0.222, np.hypot(px - _BOW[0] + 0.015, py))
    boss = smoothstep(_HOLE_RADIUS + 0.030, _HOLE_RADIUS + 0.038, np.hypot(px - _HOLE[0], py))
    height = height - 0.010 * groove - 0.008 * recess * boss
    dy, dx = np.gradient(height, 2 / size)
    return -dx, -dy


def _scratch(px: Field, py: Field, flaw: Flaw | None) -> tuple[Field, Field, Field]:
    """Return how a scratch tilts the metal along and across the key, and how deep it is."""
    zero = np.zeros(px.shape, np.float32)
    if flaw is None or flaw.kind != "scratch":
        return zero, zero, zero
    rng = flaw.rng()
    heading = float(rng.uniform(0, np.pi))
    length = flaw.between(0.10, 0.42)
    on_bow = bool(rng.random() < 0.5)
    middle = (0.42, float(rng.uniform(-0.1, 0.1))) if on_bow else (float(rng.uniform(-0.6, 0)), 0.06)
    heading = heading if on_bow else float(rng.normal(0, 0.25))
    start = (
        middle[0] - length / 2 * float(np.cos(heading)),
        middle[1] - length / 2 * float(np.sin(heading)),
    )
    distance, place = along(px, py, walk(rng, start, heading, length, 0.06, 6))
    width = flaw.between(0.0045, 0.0085)
    line = np.exp(-((distance / width) ** 2)) * smoothstep(0, 0.2, place) * smoothstep(1, 0.8, place)
    line = line.astype(np.float32)
    strength = flaw.between(0.25, 0.9)
    tilt = line * strength * float(rng.choice([-1.0, 1.0]))
    return -tilt * float(np.sin(heading)), tilt * float(np.cos(heading)), line * strength


def _brass(nx: Field, ny: Field, azimuth: float, grain: float, lamps: float) -> Picture:
    wide = lamp_on(nx, ny, azimuth, 1.15, 6)
    tight = lamp_on(nx, ny, azimuth + 0.3, 0.55, 9)
    back = lamp_on(nx, ny, azimuth + 2.9, 0.45, 9)
    # Light across the brushing is scattered towards the camera, light along it is not.
    scatter = 0.72 + 0.16 * float(np.cos(2 * grain))
    light = (0.07 + scatter * wide + 2.2 * tight + 0.7 * back) * lamps
    return light[..., None] * _BRASS + (0.35 * tight * lamps)[..., None]


BRASS_KEY = Category(
    "brass_key", ("bent_tip", "blocked_hole", "burr", "missing_tooth", "scratch"), paint
)
