"""Cloth in 2/2 twill, beige warp and blue weft, lit from the side."""

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
    lumps,
    mix,
    noise,
    smoothstep,
    walk,
)

_THREADS = 36
"""Threads across the picture."""
_MARGIN = 6
_BENDS = 96
"""Knots of the thickness along one thread."""
_FIBRES = (64, 512)
_WARP = np.array([0.50, 0.42, 0.31], np.float32)
_WEFT = np.array([0.20, 0.27, 0.36], np.float32)
_BACKING = np.array([0.022, 0.020, 0.020], np.float32)


class _Threads:
    """One set of parallel threads: their places, widths and tones, the same at every size."""

    def __init__(self, rng: np.random.Generator) -> None:
        n = _THREADS + 2 * _MARGIN
        self.offset = rng.normal(0, 0.045, n).astype(np.float32)
        self.width = np.clip(rng.normal(0.47, 0.025, n), 0.38, 0.54).astype(np.float32)
        self.tone = np.exp(rng.normal(0, 0.055, n)).astype(np.float32)
        self.slubs = rng.normal(0, 1, (n, _BENDS)).astype(np.float32)
        self.twist = rng.uniform(0, 1, n).astype(np.float32)


def paint(scene: Scene) -> Picture:
    """Paint one piece of cloth, shape (S, S, 3), with or without a flaw."""
    size, rng, flaw = scene.size, scene.rng, scene.flaw
    x, y = grid(size)
    turn = float(rng.normal(0, 0.02))
    phase_u, phase_v = rng.uniform(0, 1, 2).tolist()
    pitch = float(rng.normal(1, 0.012))
    drift_u, drift_v = 0.20 * noise(rng, size, 3), 0.20 * noise(rng, size, 3)
    azimuth = float(rng.normal(-2.2, 0.18))
    glow = noise(rng, size, 2)
    fuzz = clouds(rng, size, 70, 2)
    dye = float(np.exp(rng.normal(0, 0.05)))
    warp, weft = _Threads(rng), _Threads(rng)
    fibres = rng.standard_normal(_FIBRES, dtype=np.float32)

    crease, relief = _wrinkle(x, y, flaw)
    half = _THREADS / 2 * pitch
    u = (x + turn * y + crease[0]) * half + _THREADS / 2 + _MARGIN + phase_u + drift_u
    v = (y - turn * x + crease[1]) * half + _THREADS / 2 + _MARGIN + phase_v + drift_v

    count = np.arange(_THREADS + 2 * _MARGIN)
    over = _misweave(np.where(np.add.outer(count, count) % 4 < 2, 1, -1).astype(np.float32), flaw)
    warp_there, weft_there = _missing(x, y, u, v, flaw)
    warp_z, warp_light = _strand(u, v, warp, over, warp_there, fibres, azimuth, upright=True)
    weft_z, weft_light = _strand(v, u, weft, -over.T, weft_there, fibres, azimuth, upright=False)

    top = smoothstep(-0.10, 0.10, warp_z - weft_z)
    height = np.maximum(warp_z, weft_z)
    picture = mix(weft_light[..., None] * (_WEFT * dye), warp_light[..., None] * _WARP, top)
    covered = smoothstep(-1.5, -1.1, height)
    hollow = 0.42 + 0.58 * smoothstep(-1.0, 0.9, height)
    picture = mix(np.broadcast_to(_BACKING, picture.shape), picture * hollow[..., None], covered)
    picture = picture * (1 + 0.05 * glow + 0.035 * fuzz + relief)[..., None]
    return dust(_spoiled(x, y, picture, flaw), rng, 9, 0.20)


def _strand(
    across: Field,
    lengthwise: Field,
    threads: _Threads,
    over: Field,
    there: Field | float,
    fibres: Field,
    azimuth: float,
    *,
    upright: bool,
) -> tuple[Field, Field]:
    """Return height (about -1 to 2; -2 where no thread is) and shade of one set of threads."""
    n = len(threads.tone)
    which = np.clip(np.floor(across), 0, n - 1).astype(np.intp)
    below = np.clip(np.floor(lengthwise - 0.5), 0, n - 2).astype(np.intp)
    t = np.clip(lengthwise - 0.5 - below, 0, 1)
    t = t * t * (3 - 2 * t)
    crossing = below * n + which
    start, end = over.ravel().take(crossing), over.ravel().take(crossing + n)
    rise = start + (end - start) * t
    climb = (end - start) * (t * (1 - t)) * 2.0

    bend = np.clip(lengthwise * (_BENDS / n), 0, _BENDS - 1.001)
    knot = bend.astype(np.intp)
    part = bend - knot
    knot += which * _BENDS
    thin, thick = threads.slubs.take(knot), threads.slubs.take(knot + 1)
    width = threads.width.take(which) * (1 + 0.055 * (thin + (thick - thin) * part))
    width = width * np.sqrt(np.maximum(there, 1e-4))
    side = (across - which - 0.5 - threads.offset.take(which)) / width
    inside = np.clip(1 - side * side, 0, 1)
    dome = np.sqrt(inside)
    height = np.where(inside > 0, 0.62 * rise + 0.8 * dome, -2).astype(np.float32)

    row = ((threads.twist.take(which) + side * 0.10 + lengthwise * 0.11) * 64).astype(np.intp)
    column = (lengthwise * 10 + side * 4).astype(np.intp) + which * 37
    strand = fibres.take((row & (_FIBRES[0] - 1)) * _FIBRES[1] + (column & (_FIBRES[1] - 1)))
    tilt_across, tilt_along = side * 0.85, -climb * 0.9
    nx, ny = (tilt_across, tilt_along) if upright else (tilt_along, tilt_across)
    facing = 0.82 + 0.5 * (nx * math.cos(azimuth) + ny * math.sin(azimuth))
    facing = facing / np.sqrt(1 + nx * nx + ny * ny)
    sheen = 0.16 * np.square(np.square(np.square(np.clip(facing, 0, None))))
    light = (np.clip(facing, 0.12, None) + sheen) * threads.tone.take(which) * (1 + 0.12 * strand)
    return height, light.astype(np.float32)


def _misweave(over: Field, flaw: Flaw | None) -> Field:
    """A thread that stays on top (or below) where it should cross, perhaps with its neighbour."""
    if flaw is None or flaw.kind != "misweave":
        return over
    rng = flaw.rng()
    over = over.copy()
    # The columns are the warp's threads, the rows the weft's.
    lines = over.T if rng.random() < 0.5 else over
    length = round(flaw.between(3, 9))
    threads = 1 + int(flaw.severity > 0.55) + int(flaw.severity > 0.85)
    first = int(rng.integers(_MARGIN + 4, _MARGIN + _THREADS - 6))
    start = int(rng.integers(_MARGIN + 3, _MARGIN + _THREADS - 3 - length))
    lines[first : first + threads, start : start + length] = -lines[first, start + length // 2]
    return over


def _missing(
    x: Field, y: Field, u: Field, v: Field, flaw: Flaw | None
) -> tuple[Field | float, Field | float]:
    """Return how much of the warp and of the weft is there, 1 = all, at each pixel."""
    if flaw is None or flaw.kind not in ("broken_thread", "hole"):
        return 1.0, 1.0
    rng = flaw.rng()
    if flaw.kind == "hole":
        at, radius = _hole(flaw, rng)
        frayed = lumps(rng, x, y, at, radius) + 0.12 * noise(rng, x.shape[1], 40)
        return 1 - smoothstep(-0.05, 0.2, frayed), 1 - smoothstep(0.0, 0.25, frayed)
    which = int(rng.integers(_MARGIN + 4, _MARGIN + _THREADS - 4))
    length = flaw.between(1.6, 13)
    middle = float(rng.uniform(_MARGIN + 5, _MARGIN + _THREADS - 5))
    across, lengthwise = (u, v) if rng.random() < 0.5 else (v, u)
    gone = smoothstep(length / 2 + 0.4, length / 2 - 0.4, np.abs(lengthwise - middle))
    gone = gone * (np.floor(across) == which)
    return (1 - gone, 1.0) if across is u else (1.0, 1 - gone)


def _hole(flaw: Flaw, rng: np.random.Generator) -> tuple[tuple[float, float], float]:
    at_x, at_y = rng.uniform(-0.75, 0.75, 2).tolist()
    return (at_x, at_y), flaw.between(0.035, 0.17)


def _wrinkle(
    x: Field, y: Field, flaw: Flaw | None
) -> tuple[tuple[Field | float, Field | float], Field | float]:
    """Return how a crease pulls the cloth along x and y and how it lights it."""
    if flaw is None or flaw.kind != "wrinkle":
        return (0.0, 0.0), 0.0
    rng = flaw.rng()
    at = rng.uniform(-0.45, 0.45, 2).tolist()
    heading = float(rng.uniform(0, 2 * math.pi))
    length = flaw.between(0.35, 1.1)
    start = (at[0] - length / 2 * math.cos(heading), at[1] - length / 2 * math.sin(heading))
    path = walk(rng, start, heading, length, 0.08, 8)
    distance, place = along(x, y, path)
    ax, ay = -math.sin(heading), math.cos(heading)
    middle = path[len(path) // 2]
    signed = (x - float(middle[0])) * ax + (y - float(middle[1])) * ay
    signed = np.sign(signed) * distance
    width = flaw.between(0.035, 0.06)
    fade = smoothstep(0, 0.25, place) * smoothstep(1, 0.75, place)
    slope = -(signed / width) * np.exp(0.5 - 0.5 * (signed / width) ** 2) * fade
    strength = flaw.between(0.20, 0.60)
    pull = slope * (flaw.between(0.15, 0.5) * width)
    side = float(np.sign(rng.normal()))
    return (pull * ax, pull * ay), slope * (strength * side)


def _spoiled(x: Field, y: Field, picture: Picture, flaw: Flaw | None) -> Picture:
    """Lay over the cloth what lies on it: a stain, or the loose fibres around a hole."""
    if flaw and flaw.kind == "hole":
        return _fibres(x, y, picture, flaw)
    if flaw is None or flaw.kind != "stain":
        return picture
    rng = flaw.rng()
    at_x, at_y = rng.uniform(-0.75, 0.75, 2).tolist()
    blob = lumps(rng, x, y, (at_x, at_y), flaw.between(0.09, 0.26))
    soaked = smoothstep(-0.05, 0.35, blob + 0.10 * clouds(rng, x.shape[1], 9, 3))
    rim = np.exp(-(((blob - 0.12) * 7) ** 2)) * soaked
    colour = np.array([[0.5, 0.9, 1.6], [1.0, 1.0, 0.9], [1.3, 1.1, 0.4]], np.float32)
    depth = (soaked + 0.35 * rim) * flaw.between(0.20, 0.85)
    stained: Picture = picture * np.exp(-depth[..., None] * colour[int(rng.integers(3))])
    return stained


def _fibres(x: Field, y: Field, picture: Picture, flaw: Flaw) -> Picture:
    """Draw the torn fibres that reach into a hole."""
    rng = flaw.rng()
    at, radius = _hole(flaw, rng)
    columns = np.flatnonzero(np.abs(x[0] - at[0]) < 1.5 * radius)
    rows = np.flatnonzero(np.abs(y[:, 0] - at[1]) < 1.5 * radius)
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    picture = picture.copy()
    for _ in range(round(flaw.between(5, 26))):
        angle = float(rng.uniform(0, 2 * math.pi))
        start = (at[0] + radius * math.cos(angle), at[1] + radius * math.sin(angle))
        heading = angle + math.pi + float(rng.normal(0, 0.5))
        path = walk(rng, start, heading, radius * float(rng.uniform(0.2, 0.8)), 0.35, 4)
        distance, _ = along(x[:, box[1]], y[box[0]], path)
        cover = 0.8 * smoothstep(0.007, 0.002, distance)
        tone = (_WARP if rng.random() < 0.5 else _WEFT) * float(rng.uniform(0.5, 1.0))
        picture[box] = mix(picture[box], tone, cover)
    return picture


WOVEN_FABRIC = Category(
    "woven_fabric", ("broken_thread", "hole", "misweave", "stain", "wrinkle"), paint
)
