"""The kinds of made defects: what each does to a window of a good photograph."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.synthesis.canvas import Canvas, Colours, Field, Window, blob, lines, smoothed, walk
from anomalist.synthesis.patterns import draw_pattern
from anomalist.synthesis.perlin import perlin_mask

Rng = np.random.Generator
Made = tuple[Window, Colours, Field]
"""A window, what it shows with the defect, RGB of shape (h, w, 3), and its opacity (h, w)."""

_PATTERN = 288


def cut_paste(canvas: Canvas, rng: Rng) -> Made:
    """A rectangle of the photograph pasted elsewhere on the part, a little lighter or darker.

    Li et al., "CutPaste: Self-Supervised Learning for Anomaly Detection and Localization", CVPR
    2021, section 2.2.
    """
    length = canvas.size(rng, 0.04, 0.45)
    aspect = math.exp(rng.uniform(-1, 1))
    tall, wide = length * math.sqrt(aspect), length / math.sqrt(aspect)
    height, width = (
        max(1, min(round(side), most // 2))
        for side, most in zip((tall, wide), canvas.shape, strict=True)
    )
    source, window = (_rectangle(canvas, rng, height, width) for _ in range(2))
    light = np.float32(1 + rng.uniform(-0.1, 0.1))
    return window, canvas.colours(source) * light, np.ones(window.shape, np.float32)


def scratch(canvas: Canvas, rng: Rng) -> Made:
    """A thin, smooth line, lighter or darker than what it crosses."""
    length = canvas.size(rng, 0.08, 0.7)
    thick = max(canvas.size(rng, 0.002, 0.015) if rng.random() < 0.8 else 1.0, 1.0)
    centre = canvas.place(rng)
    window = canvas.window(centre, length + thick)
    opacity = lines(window, [walk(rng, centre, length, 24, 0.08)], [thick])
    return window, _lighter(canvas.colours(window), rng, 0.12, 0.6), opacity


def stain(canvas: Canvas, rng: Rng) -> Made:
    """A soft, cloudy spot of another colour, through which the part shows."""
    diameter = canvas.size(rng, 0.04, 0.4)
    centre = canvas.place(rng)
    window = canvas.window(centre, diameter)
    opacity = blob(rng, window, centre, diameter, rng.uniform(0.2, 0.9))
    shown = canvas.colours(window)
    colour = _other_colour(shown[opacity > 0.5], rng)
    share = np.float32(rng.uniform(0.15, 0.7)) * _cloudy(window, rng, diameter)[..., None]
    return window, shown * (1 - share) + colour * share, opacity


def missing(canvas: Canvas, rng: Rng) -> Made:
    """A piece that is gone: the background, or what surrounds it, goes on in its place.

    Half of those on a part with a background are at its edge, as if it were broken off.
    """
    diameter = canvas.size(rng, 0.05, 0.4)
    centre = canvas.place(rng, on_edge=canvas.stands_out and rng.random() < 0.5)
    window = canvas.window(centre, 1.5 * diameter)
    opacity = blob(rng, window, centre, diameter, 0.05)
    shown = canvas.colours(window)
    known = ~window.of(canvas.foreground)
    if np.count_nonzero(known) < 0.05 * known.size:
        known = opacity == 0
    return window, _carried_on(shown, known, rng, diameter), opacity


def dent(canvas: Canvas, rng: Rng) -> Made:
    """A place that is bent: drawn together, swollen or shoved aside, most in its middle."""
    diameter = canvas.size(rng, 0.06, 0.4)
    centre = canvas.place(rng, on_edge=rng.random() < 0.5)
    window = canvas.window(centre, diameter)
    opacity = blob(rng, window, centre, diameter, 0.8)
    rows, columns = np.mgrid[: window.shape[0], : window.shape[1]].astype(np.float32)
    row, column = np.float32(centre[0] - window.top), np.float32(centre[1] - window.left)
    strength = np.float32(rng.uniform(0.15, 0.45)) * opacity
    if rng.random() < 0.5:
        factor = np.float32(rng.choice([-1.0, 1.0])) * strength
        rows, columns = rows + (rows - row) * factor, columns + (columns - column) * factor
    else:
        angle = rng.uniform(0, math.tau)
        far = strength * np.float32(diameter / 2)
        rows = rows + far * np.float32(math.sin(angle))
        columns = columns + far * np.float32(math.cos(angle))
    shown = canvas.colours(window)
    moved = [
        ndimage.map_coordinates(shown[..., c], (rows, columns), order=1, mode="nearest")
        for c in range(3)
    ]
    return window, np.stack(moved, axis=2), (opacity > 0).astype(np.float32)


def blur(canvas: Canvas, rng: Rng) -> Made:
    """A place without its fine structure: smeared, worn or out of focus."""
    diameter = canvas.size(rng, 0.08, 0.5)
    centre = canvas.place(rng)
    window = canvas.window(centre, diameter)
    opacity = blob(rng, window, centre, diameter, 0.3)
    sigma = max(diameter * rng.uniform(0.04, 0.15), 1.0)
    shown = canvas.colours(window)
    smeared = np.stack([smoothed(shown[..., c], sigma) for c in range(3)], axis=2)
    return window, smeared, opacity


def turned_piece(canvas: Canvas, rng: Rng) -> Made:
    """A round piece of the part, turned in its place or mirrored."""
    diameter = canvas.size(rng, 0.08, 0.5)
    centre = canvas.place(rng)
    window = canvas.window(centre, diameter / 2)
    shown = canvas.colours(window)
    row, column = centre[0] - window.top, centre[1] - window.left
    rows, columns = np.mgrid[: window.shape[0], : window.shape[1]].astype(np.float32)
    rows, columns = rows - row, columns - column
    angle = rng.uniform(math.pi / 6, 2 * math.pi - math.pi / 6)
    sine, cosine = np.float32(math.sin(angle)), np.float32(math.cos(angle))
    side = -1 if rng.random() < 0.3 else 1
    places = (
        row + cosine * rows - sine * columns,
        column + side * (sine * rows + cosine * columns),
    )
    moved = [
        ndimage.map_coordinates(shown[..., c], places, order=1, mode="nearest") for c in range(3)
    ]
    opacity = np.clip(np.float32(diameter / 2) - np.hypot(rows, columns) + 0.5, 0, 1)
    return window, np.stack(moved, axis=2), opacity.astype(np.float32)


def crack(canvas: Canvas, rng: Rng) -> Made:
    """A thin, jagged, dark line with branches."""
    length = canvas.size(rng, 0.08, 0.6)
    thick = max(canvas.size(rng, 0.002, 0.01), 1.0)
    centre = canvas.place(rng)
    window = canvas.window(centre, 1.5 * length)
    trunk = walk(rng, centre, length, 14, 0.5)
    paths, widths = [trunk], [thick]
    for _ in range(int(rng.integers(0, 4))):
        start = trunk[rng.integers(len(trunk))]
        branch = walk(rng, (0, 0), length * rng.uniform(0.15, 0.4), 6, 0.5)
        paths.append(branch - branch[0] + start)
        widths.append(max(0.6 * thick, 1.0))
    opacity = lines(window, paths, widths)
    return window, canvas.colours(window) * np.float32(rng.uniform(0.2, 0.75)), opacity


def pits(canvas: Canvas, rng: Rng) -> Made:
    """A few small dots close together, lighter or darker: pores, dust, splashes."""
    spread, count = canvas.size(rng, 0.03, 0.3), int(rng.integers(2, 12))
    diameter = max(canvas.size(rng, 0.006, 0.04), 1.5)
    centre = canvas.place(rng)
    window = canvas.window(centre, spread + 2 * diameter)
    opacity = np.zeros(window.shape, np.float32)
    for row, column in rng.normal(0, spread / 2, (count, 2)).clip(-spread, spread).tolist():
        place = round(centre[0] + row), round(centre[1] + column)
        size = diameter * rng.uniform(0.5, 1.5)
        opacity = np.maximum(opacity, blob(rng, window, place, size, 0.2))
    return window, _lighter(canvas.colours(window), rng, 0.15, 0.7), opacity


def discoloured(canvas: Canvas, rng: Rng) -> Made:
    """A place whose colours are off, its structure as it was: heated, faded, wet."""
    diameter = canvas.size(rng, 0.06, 0.5)
    centre = canvas.place(rng)
    window = canvas.window(centre, diameter)
    opacity = blob(rng, window, centre, diameter, rng.uniform(0.1, 0.8))
    light = rng.uniform(0.08, 0.4) * rng.choice([-1, 1])
    gain = (1 + light + rng.uniform(-0.15, 0.15, 3)).astype(np.float32)
    offset = np.float32(0.25 * light)
    return window, canvas.colours(window) * gain + offset, opacity


def blended_piece(canvas: Canvas, rng: Rng) -> Made:
    """A piece from elsewhere on the part in the light of its new place, with no visible seam.

    After Schlüter et al., "Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and
    Localization", ECCV 2022, with soft edges for their Poisson blending.
    """
    diameter = canvas.size(rng, 0.06, 0.45)
    side = max(1, min(round(1.3 * diameter), *(length // 2 for length in canvas.shape)))
    source, window = (_rectangle(canvas, rng, side, side) for _ in range(2))
    centre = (window.top + window.bottom) // 2, (window.left + window.right) // 2
    opacity = blob(rng, window, centre, side / 1.3, 0.5)
    there, piece = canvas.colours(window), canvas.colours(source)
    around = opacity < 0.5
    light = there[around].mean(axis=0) - piece[around].mean(axis=0) if around.any() else 0
    return window, piece + light, opacity


def perlin_texture(canvas: Canvas, rng: Rng) -> Made:
    """A drawn pattern that shines through where Perlin noise is high.

    Zavrtanik et al., "DRAEM - A Discriminatively Trained Reconstruction Embedding for Surface
    Anomaly Detection", ICCV 2021, section 3.3; what GLASS learns from is made so too.
    """
    diameter = canvas.size(rng, 0.08, 0.6)
    centre = canvas.place(rng)
    window = canvas.window(centre, diameter / 2)
    height, width = window.shape
    pattern = Image.fromarray(draw_pattern(rng, _PATTERN)).resize((width, height))
    texture = np.asarray(pattern, np.float32) / np.float32(255)
    patches = -(-height // 8), -(-width // 8)
    opacity = perlin_mask((height, width), patches, rng, window.of(canvas.foreground))
    keeps = np.float32(np.clip(rng.normal(0.5, 0.1), 0.2, 0.8))
    shown = canvas.colours(window)
    return window, shown * keeps + texture * (1 - keeps), opacity.astype(np.float32)


KINDS: dict[str, Callable[[Canvas, Rng], Made]] = {
    kind.__name__: kind
    for kind in (
        cut_paste,
        scratch,
        stain,
        missing,
        dent,
        blur,
        turned_piece,
        crack,
        pits,
        discoloured,
        blended_piece,
        perlin_texture,
    )
}
"""Every kind of made defect by its name."""

ON_SURFACE = frozenset(
    kind.__name__ for kind in (scratch, stain, blur, crack, pits, discoloured, perlin_texture)
)
"""Kinds that leave the part its outline: they end where it does."""


def _rectangle(canvas: Canvas, rng: Rng, height: int, width: int) -> Window:
    """A window of this size with its middle on the part, moved inside the photograph."""
    row, column = canvas.place(rng)
    top = min(max(row - height // 2, 0), canvas.shape[0] - height)
    left = min(max(column - width // 2, 0), canvas.shape[1] - width)
    return Window(top, left, top + height, left + width)


def _lighter(shown: Colours, rng: Rng, low: float, high: float) -> Colours:
    """Lighter or darker by a share that is drawn, towards where there is more room for it."""
    change = np.float32(rng.uniform(low, high))
    room = float(shown.mean())
    lighter = rng.random() < (0.8 if room < 0.35 else 0.2 if room > 0.65 else 0.5)
    return shown + (1 - shown) * change if lighter else shown * (1 - change)


def _other_colour(shown: Colours, rng: Rng) -> Colours:
    """A colour unlike the mean of those shown: dark, light or of another hue."""
    mean = shown.mean(axis=0) if len(shown) else np.full(3, 0.5, np.float32)
    drawn = rng.random(3).astype(np.float32)
    far = np.where(mean > 0.5, drawn * mean * np.float32(0.8), 1 - drawn * (1 - mean))
    grey = np.float32(rng.random())
    colour: Colours = (grey * far.mean() + (1 - grey) * far).astype(np.float32)
    return colour


def _cloudy(window: Window, rng: Rng, diameter: float) -> Field:
    """An uneven opacity about 1, whose clouds are a few to a diameter."""
    noise = rng.standard_normal(window.shape).astype(np.float32)
    noise = smoothed(noise, max(diameter / 8, 1.0))
    cloudy: Field = np.clip(1 + np.float32(0.4) * noise / max(float(noise.std()), 1e-6), 0, 1.4)
    return cloudy


def _carried_on(shown: Colours, known: npt.NDArray[np.bool_], rng: Rng, far: float) -> Colours:
    """What the known pixels come to where the others are, with their grain."""
    if not known.any():
        return np.full_like(shown, float(shown.mean()))
    weight = known.astype(np.float32)
    sigma = max(far / 2, 1.0)
    total = smoothed(weight, sigma)
    filled: Colours = np.empty_like(shown)
    for c in range(3):
        spread = smoothed(shown[..., c] * weight, sigma)
        mean = float(shown[..., c][known].mean())
        filled[..., c] = np.where(total > 1e-4, spread / np.maximum(total, 1e-4), mean)
    fine = shown - ndimage.uniform_filter(shown, (3, 3, 1), mode="nearest")
    grain = np.float32(1.25 * np.median(np.abs(fine[known])))
    filled += grain * rng.standard_normal((*shown.shape[:2], 1), np.float32)
    return filled
