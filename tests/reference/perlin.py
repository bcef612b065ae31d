"""Gradient noise, one pixel at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def perlin_noise(
    shape: tuple[int, int], scale: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Interpolate the four corners' slopes at each pixel with the fade of 6t^5 - 15t^4 + 10t^3."""
    angles = 2 * math.pi * rng.random((scale[0] + 1, scale[1] + 1), np.float32).astype(float)
    noise = np.zeros(shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            row, y = divmod(i * scale[0], shape[0])
            column, x = divmod(j * scale[1], shape[1])
            y, x = y / shape[0], x / shape[1]
            for down in (0, 1):
                for right in (0, 1):
                    angle = angles[row + down, column + right]
                    slope = math.cos(angle) * (y - down) + math.sin(angle) * (x - right)
                    weight_y = fade(y) if down else 1 - fade(y)
                    weight_x = fade(x) if right else 1 - fade(x)
                    noise[i, j] += math.sqrt(2) * slope * weight_y * weight_x
    return noise


def fade(t: float) -> float:
    return 6 * t**5 - 15 * t**4 + 10 * t**3


def pool_mask(mask: npt.NDArray[np.bool_], grid: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """A patch is True if any of the pixels that it covers, even in part, is."""
    pooled = np.zeros(grid, bool)
    for i in range(grid[0]):
        for j in range(grid[1]):
            top, left = math.floor(i * mask.shape[0] / grid[0]), j * mask.shape[1] // grid[1]
            bottom = math.ceil((i + 1) * mask.shape[0] / grid[0])
            right = math.ceil((j + 1) * mask.shape[1] / grid[1])
            pooled[i, j] = mask[top:bottom, left:right].any()
    return pooled
