"""The judge of GLASS, step by step, in loops."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

SIDE = 289


def judge_distribution(mean_image: npt.NDArray[np.uint8]) -> str:
    """Count strong frequencies, and measure how far and how densely they lie."""
    strong = strong_frequencies(mean_image)
    points = [(i, j) for i in range(SIDE) for j in range(SIDE) if strong[i, j]]
    if not points:
        return "manifold"
    centre = SIDE // 2
    side_y = max(abs(i - centre) for i, _ in points)
    side_x = max(abs(j - centre) for _, j in points)
    radius = max(math.hypot(i - centre, j - centre) for i, j in points)
    in_disc = 0
    for i in range(2 * SIDE):
        for j in range(2 * SIDE):
            in_disc += math.hypot(i - centre, j - centre) <= radius
    by_box = len(points) / (4 * max(side_y, 1) * max(side_x, 1))
    by_disc = len(points) / in_disc
    dense = by_box > 0.21 or by_disc > 0.21
    return "hypersphere" if dense and radius > 12 and len(points) > 60 else "manifold"


def strong_frequencies(mean_image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Resize, make grey, blur by a plain sum over the box, transform."""
    height, width = mean_image.shape[:2]
    resized = np.zeros((SIDE, SIDE, 3))
    for i in range(SIDE):
        y = min(max((i + 0.5) * height / SIDE - 0.5, 0), height - 1)
        for j in range(SIDE):
            x = min(max((j + 0.5) * width / SIDE - 0.5, 0), width - 1)
            top, left = math.floor(y), math.floor(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = mean_image[top, left] * (1 - x + left) + mean_image[top, right] * (x - left)
            lower = mean_image[bottom, left] * (1 - x + left) + mean_image[bottom, right] * (
                x - left
            )
            resized[i, j] = upper * (1 - y + top) + lower * (y - top)
    grey = 0.299 * resized[..., 0] + 0.587 * resized[..., 1] + 0.114 * resized[..., 2]
    padded = np.pad(grey, 19, mode="reflect")
    blurred = np.zeros((SIDE, SIDE))
    for dy in range(39):
        for dx in range(39):
            blurred += padded[dy : dy + SIDE, dx : dx + SIDE] / 39**2
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(blurred)))
    strong: npt.NDArray[np.bool_] = 20 * np.log(magnitude + 1e-300) > 170
    return strong
