"""A brushed brass key that lies on a rubber mat at any angle."""

from __future__ import annotations

import math

import numpy as np

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
    sample,
    slopes,
    smoothstep,
    soften,
    walk,
)

_TIP, _COLLAR, _HALF = -0.84, 0.16, 0.150
"""Along the key: tip and collar; across it: half the blade."""
_BOW, _BOW_RADIUS = 0.47, 0.30
_HOLE, _HOLE_RADIUS = 0.61, 0.085
_BEVEL = 0.028
_CUTS = ((-0.64, 0.08), (-0.46, 0.15), (-0.28, 0.10), (-0.10, 0.16))
"""Where along the blade its bitting is cut and how deep."""
_FLAT, _FLANK = 0.022, 0.046
"""Half the width of a cut's floor and the run of its flanks."""
_BRASS = np.array([0.80, 0.555, 0.235], np.float32)
_MAT = np.array([0.060, 0.066, 0.074], np.float32)


def paint(scene: Scene) -> Picture:
    """Paint one key, shape (S, S, 3), with or without a flaw."""
    size, rng, flaw = scene.size, scene.rng, scene.flaw
    x, y = grid(size)
    angle = 2 * math.pi * (scene.phase + float(rng.normal(0, 0.003)))
    at_x, at_y = rng.normal(0, 0.014, 2).tolist()
    zoom = float(rng.normal(0.94, 0.006))
    azimuth = float(rng.normal(-2.2, 0.08))
    lamps = float(np.exp(rng.normal(0, 0.06)))
    wear = 0.02 * clouds(rng, size, 4, 3)
    mat = 1 + 0.06 * noise(rng, size, 2) + 0.045 * clouds(rng, size, 60, 2)
    brushing = rng.standard_normal((256, 48), dtype=np.float32)

    c, s = math.cos(angle), math.sin(angle)
    px = ((x - at_x) * c + (y - at_y) * s) * zoom - 0.035
    py = ((y - at_y) * c - (x - at_x) * s) * zoom
    depth = _depth(px, py, flaw)
    cover = smoothstep(-0.004, 0.004, depth)

    nx, ny = _relief(px, py, depth)
    streaks = sample(brushing, py * 110, px * 9)
    bend_along, bend_across, gouge = _scratch(px, py, flaw)
    fine_x, fine_y = bend_along * c - bend_across * s, bend_along * s + bend_across * c
    fine_x, fine_y = fine_x - 0.012 * streaks * s, fine_y + 0.012 * streaks * c
    metal = _brass(nx + fine_x, ny + fine_y, azimuth, azimuth - angle, lamps)
    metal = metal * (1 + wear + 0.018 * streaks - 0.85 * gouge)[..., None]

    shift = round(0.022 * size)
    shadow = np.roll(soften(cover, round(0.045 * size)), (shift, shift), (0, 1))
    ground = (mat * (1 - 0.70 * shadow) * lamps)[..., None] * _MAT
    return dust(mix(ground, metal, cover), rng, 8, 0.30)


def _depth(px: Field, py: Field, flaw: Flaw | None) -> Field:
    """Return how far inside the key's outline each point lies, negative outside."""
    hole = _HOLE_RADIUS
    if flaw and flaw.kind == "bent_tip":
        rng = flaw.rng()
        start = float(rng.uniform(-0.60, -0.35))
        lift = float(rng.choice([-1.0, 1.0])) * flaw.between(0.035, 0.22)
        beyond = np.clip((start - px) / (start - _TIP), 0, None)
        py = py - lift * beyond * beyond
        px = px - 0.25 * abs(lift) * beyond
    if flaw and flaw.kind == "blocked_hole":
        hole = _HOLE_RADIUS * flaw.between(0.84, -0.2)

    blade = _HALF - np.abs(py)
    for place, deep in _CUTS:
        beside = (_FLAT + _FLANK - np.abs(px - place)) * deep - (py + _HALF) * _FLANK
        cut = np.minimum(deep - _HALF - py, beside / math.hypot(deep, _FLANK))
        blade = np.minimum(blade, -cut)
    if flaw and flaw.kind == "missing_tooth":
        blade = np.minimum(blade, -_filed(px, py, flaw))
    nose = (px - _TIP - 0.55 * np.abs(py - 0.02)) * 0.876
    blade = np.minimum(np.minimum(blade, nose), _COLLAR + 0.1 - px)
    collar = np.minimum(0.045 - np.abs(px - _COLLAR), 0.215 - np.abs(py))
    round_ = _BOW_RADIUS - np.hypot(px - _BOW, py * 0.94)
    eye = np.hypot(px - _HOLE, py)
    depth = np.maximum(np.maximum(blade, collar), np.minimum(round_, eye - hole))
    if flaw and flaw.kind == "burr":
        depth = np.maximum(depth, _burr(px, py, flaw))
    within: Field = depth.astype(np.float32)
    return within


def _filed(px: Field, py: Field, flaw: Flaw) -> Field:
    """Return how deep each point lies in the gap that a tooth left between two cuts."""
    rng = flaw.rng()
    tooth = int(rng.integers(len(_CUTS) - 1))
    (left, deep_left), (right, deep_right) = _CUTS[tooth], _CUTS[tooth + 1]
    places = np.linspace(left, right, 9)
    floors = -_HALF + flaw.between(0.48, 1.0) * max(deep_left, deep_right)
    floor = np.interp(px, places, floors + rng.normal(0, 0.006, 9)).astype(np.float32)
    gap: Field = np.minimum((right - left) / 2 - np.abs(px - (left + right) / 2), floor - py)
    return gap


def _burr(px: Field, py: Field, flaw: Flaw) -> Field:
    """A sliver of metal that stands out of the edge."""
    rng = flaw.rng()
    radius = flaw.between(0.028, 0.10)
    if rng.random() < 0.5:
        at = (float(rng.uniform(-0.65, 0.05)), _HALF)
    else:
        turn = float(rng.uniform(-2.0, 2.0))
        at = (_BOW + _BOW_RADIUS * math.cos(turn), _BOW_RADIUS * math.sin(turn) / 0.94)
    return lumps(rng, px, py, at, radius) * radius


def _relief(px: Field, py: Field, depth: Field) -> tuple[Field, Field]:
    """Return the slopes of bevel, milled groove and recessed bow, in the picture's axes."""
    rounded = np.clip(depth / _BEVEL, 0, 1)
    height = _BEVEL * 0.75 * (1 - (1 - rounded) ** 2)
    blade = smoothstep(_COLLAR - 0.035, _COLLAR - 0.06, px)
    groove = smoothstep(0.042, 0.016, np.abs(py - 0.075)) * blade
    recess = smoothstep(0.238, 0.218, np.hypot(px - _BOW + 0.015, py))
    boss = smoothstep(_HOLE_RADIUS + 0.028, _HOLE_RADIUS + 0.045, np.hypot(px - _HOLE, py))
    height = height - 0.012 * groove - 0.008 * recess * boss
    return slopes(height)


def _scratch(px: Field, py: Field, flaw: Flaw | None) -> tuple[Field, Field, Field]:
    """Return how a scratch tilts the metal along and across the key, and how deep it is."""
    zero = np.zeros(px.shape, np.float32)
    if flaw is None or flaw.kind != "scratch":
        return zero, zero, zero
    rng = flaw.rng()
    heading = float(rng.uniform(0, math.pi))
    length = flaw.between(0.14, 0.5)
    on_bow = bool(rng.random() < 0.5)
    middle = (0.42, float(rng.uniform(-0.1, 0.1))) if on_bow else (float(rng.uniform(-0.6, 0)), 0.0)
    heading = heading if on_bow else float(rng.normal(0, 0.25))
    start = (
        middle[0] - length / 2 * math.cos(heading),
        middle[1] - length / 2 * math.sin(heading),
    )
    distance, place = along(px, py, walk(rng, start, heading, length, 0.06, 6))
    width = flaw.between(0.006, 0.013)
    line = np.exp(-((distance / width) ** 2)) * flaw.between(0.35, 1.0)
    line = line * smoothstep(0, 0.2, place) * smoothstep(1, 0.8, place)
    tilt = line * float(rng.choice([-1.0, 1.0]))
    return -tilt * math.sin(heading), tilt * math.cos(heading), line


def _brass(nx: Field, ny: Field, azimuth: float, grain: float, lamps: float) -> Picture:
    wide = lamp_on(nx, ny, azimuth, 1.15, 6)
    tight = lamp_on(nx, ny, azimuth + 0.3, 0.55, 9)
    back = lamp_on(nx, ny, azimuth + 2.9, 0.45, 9)
    # Light across the brushing is scattered towards the camera, light along it is not.
    scatter = 0.72 + 0.16 * math.cos(2 * grain)
    light = (0.07 + scatter * wide + 2.2 * tight + 0.7 * back) * lamps
    metal: Picture = light[..., None] * _BRASS + (0.35 * tight * lamps)[..., None]
    return metal


BRASS_KEY = Category(
    "brass_key", ("bent_tip", "blocked_hole", "burr", "missing_tooth", "scratch"), paint
)
