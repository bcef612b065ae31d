"""Perlin masks: where a synthetic anomaly goes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.errors import ParameterError

_OCTAVES = 6
_MOST_DEGREES = 90.0
_THRESHOLD = 0.5
_TRIES = 100

Noise = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def perlin_noise(
    shape: tuple[int, int], scale: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return gradient noise (K. Perlin, Improving Noise, SIGGRAPH 2002) with random unit gradients.

    The pixel in row i and column j lies at (i scale_y / H, j scale_x / W) in the lattice of
    gradients; between them fades 6t^5 - 15t^4 + 10t^3. All is scaled by sqrt(2), which brings the
    values into -1 to 1.

    Parameters
    ----------
    shape : (int, int)
        Height H and width W in pixels.
    scale : (int, int)
        Cells of the lattice from top to bottom and from left to right; need not divide the shape.
    rng : numpy.random.Generator
        What the gradients' angles are drawn from.

    Returns
    -------
    float32 array of shape (H, W)

    Raises
    ------
    ParameterError
        If a side or a scale is less than 1.

    Examples
    --------
    >>> noise = perlin_noise((60, 100), (3, 4), np.random.default_rng(0))
    >>> noise.shape, bool(abs(noise).max() <= 1), float(noise[20, 25])
    ((60, 100), True, 0.0)
    """
    if min(*shape, *scale) < 1:
        raise ParameterError(f"noise needs sides and scales of 1 or more, not {shape}, {scale}")
    angles = rng.random((scale[0] + 1, scale[1] + 1), np.float32) * np.float32(2 * math.pi)
    first, y, fade_y = _lattice(shape[0], scale[0])
    left, x, fade_x = _lattice(shape[1], scale[1])
    y, fade_y = y[:, None], fade_y[:, None]
    # A gradient's vertical part weighs the vertical offset, whatever the column, so that rows can
    # be interpolated on the few columns of the lattice before columns are.
    down, right = np.cos(angles), np.sin(angles)
    vertical = _mix(down[first] * y, down[first + 1] * (y - 1), fade_y)
    horizontal = _mix(right[first], right[first + 1], fade_y)
    noise = vertical.take(left, 1) * (1 - fade_x)
    noise += vertical.take(left + 1, 1) * fade_x
    noise += horizontal.take(left, 1) * (x * (1 - fade_x))
    noise += horizontal.take(left + 1, 1) * ((x - 1) * fade_x)
    noise *= np.float32(math.sqrt(2))
    return noise


def _lattice(pixels: int, cells: int) -> tuple[npt.NDArray[np.intp], Noise, Noise]:
    """Each pixel's cell, its place in the cell from 0 to 1, and the fade there."""
    # Whole numbers until the end: a pixel on a lattice line must not fall short of it.
    cell, rest = np.divmod(np.arange(pixels) * cells, pixels)
    t = (rest / pixels).astype(np.float32)
    return cell, t, ((6 * t - 15) * t + 10) * t**3


def _mix(low: Noise, high: Noise, weight: Noise) -> Noise:
    return low + (high - low) * weight


def perlin_mask(
    shape: tuple[int, int],
    grid: tuple[int, int],
    rng: np.random.Generator,
    foreground: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.bool_]:
    """Draw the mask of a synthetic anomaly, never an empty one (GLASS, Chen et al., ECCV 2024).

    Perlin noise of 1, 2, 4, 8, 16 or 32 cells along each axis is turned by -90 to 90 degrees and
    cut at 0.5. One such mask, the union of two or their intersection, a third of the time each, is
    kept inside the foreground, and drawn again while nothing is left.

    Parameters
    ----------
    shape : (int, int)
        Height H and width W in pixels.
    grid : (int, int)
        Patches from top to bottom and from left to right.
    rng : numpy.random.Generator
        What everything is drawn from.
    foreground : bool array of shape (H, W), optional
        Where anomalies may be; one that is nowhere True counts as none. In one so small that a
        hundred masks miss it, the anomaly is what lies within a patch's distance of one of its
        pixels.

    Returns
    -------
    bool array of shape (H, W)

    Raises
    ------
    ParameterError
        If the foreground has another shape.

    Examples
    --------
    >>> mask = perlin_mask((288, 288), (36, 36), np.random.default_rng(0))
    >>> mask.shape, mask.dtype, bool(mask.any())
    ((288, 288), dtype('bool'), True)
    """
    if foreground is not None and foreground.shape != tuple(shape):
        raise ParameterError(f"a foreground of shape {foreground.shape} isn't one for {shape}")
    if foreground is None or not foreground.any():
        foreground = np.ones(shape, np.bool_)
    for _ in range(_TRIES):
        mask = _cut_noise(shape, rng)
        combine = rng.integers(3)
        if combine:
            other = _cut_noise(shape, rng)
            mask = mask | other if combine == 1 else mask & other
        mask &= foreground
        if mask.any():
            return mask
    rows, columns = np.nonzero(foreground)
    chosen = rng.integers(len(rows))
    near_y = np.abs(np.arange(shape[0]) - rows[chosen]) <= shape[0] / grid[0]
    near_x = np.abs(np.arange(shape[1]) - columns[chosen]) <= shape[1] / grid[1]
    near: Mask = near_y[:, None] & near_x
    return foreground & near


def _cut_noise(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    scale_y, scale_x = (2 ** rng.integers(0, _OCTAVES, 2)).tolist()
    noise = Image.fromarray(perlin_noise(shape, (scale_y, scale_x), rng))
    degrees = rng.uniform(-_MOST_DEGREES, _MOST_DEGREES)
    turned = np.asarray(noise.rotate(degrees, Image.Resampling.BILINEAR))
    cut: Mask = turned > _THRESHOLD
    return cut


def pool_mask(mask: npt.NDArray[np.bool_], grid: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Tell which patches a mask touches: a patch is anomalous if any of its pixels is.

    Parameters
    ----------
    mask : bool array of shape (H, W)
    grid : (int, int)
        Patches h from top to bottom and w from left to right. Where they don't divide the sides,
        neighbouring patches share pixels, as in torch's adaptive pooling.

    Returns
    -------
    bool array of shape (h, w)

    Examples
    --------
    >>> mask = np.zeros((4, 6), bool)
    >>> mask[0, 5] = True
    >>> pool_mask(mask, (2, 2))
    array([[False,  True],
           [False, False]])
    """
    pooled: Mask = _pool_rows(_pool_rows(mask, grid[0]).T, grid[1]).T
    return pooled


def _pool_rows(mask: Mask, patches: int) -> Mask:
    height, width = mask.shape
    seen = np.zeros((height + 1, width), np.int32)
    np.cumsum(mask, axis=0, out=seen[1:])
    first = np.arange(patches) * height // patches
    stop = -(-np.arange(1, patches + 1) * height // patches)
    touched: Mask = seen[stop] > seen[first]
    return touched
