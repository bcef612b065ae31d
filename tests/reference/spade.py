"""SPADE as its reference code computes it, in float64 and loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import torch
import torch.nn.functional as F  # noqa: N812

Array = npt.NDArray[np.float64]


def nearest_images(pooled: Array, good: Array, k: int) -> tuple[float, list[int]]:
    """Mean distance of an image's averaged features (C,) to the k nearest of (n, C), and those."""
    distances = [float(np.sqrt(((pooled - other) ** 2).sum())) for other in good]
    order = sorted(range(len(good)), key=lambda i: distances[i])[:k]
    return sum(distances[i] for i in order) / len(order), order


def level_distances(level: Array, good: Array) -> Array:
    """Distance of each location of (h, w, C) to the nearest of all of (k, h, w, C)."""
    height, width, channels = level.shape
    gallery = good.reshape(-1, channels)
    distances = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            distances[y, x] = np.sqrt(((gallery - level[y, x]) ** 2).sum(axis=1)).min()
    return distances


def score_map(levels: Sequence[Array], size: tuple[int, int], sigma: float) -> Array:
    """Enlarge each level's distances (h, w), average them, then smooth."""
    enlarged = [
        F.interpolate(
            torch.from_numpy(level)[None, None], size, mode="bilinear", align_corners=False
        )[0, 0].numpy()
        for level in levels
    ]
    mean = np.mean(enlarged, axis=0)
    return np.asarray(scipy.ndimage.gaussian_filter(mean, sigma) if sigma else mean)


def score_image(
    pyramid: Sequence[Array],
    pooled: Array,
    good_pyramids: Sequence[Array],
    good_pooled: Array,
    k: int,
    size: tuple[int, int],
    sigma: float,
) -> tuple[float, Array]:
    """Score one image: mean distance to its k nearest, and its map.

    ``pyramid`` has levels (h, w, C), ``good_pyramids`` levels (n, h, w, C).
    """
    score, nearest = nearest_images(pooled, good_pooled, k)
    levels = [
        level_distances(level, good[nearest])
        for level, good in zip(pyramid, good_pyramids, strict=True)
    ]
    return score, score_map(levels, size, sigma)
