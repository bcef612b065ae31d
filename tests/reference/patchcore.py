"""PatchCore written straight from the paper, in float64 and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import torch
import torch.nn.functional as F  # noqa: N812

Array = npt.NDArray[np.float64]


def score_image(
    patches: Array, bank: Array, num_neighbors: int
) -> tuple[float, npt.NDArray[np.float64]]:
    """Image score by equations 6 and 7, and the patch scores, of patches (h, w, C)."""
    height, width, _ = patches.shape
    distances = np.empty((height, width))
    nearest = np.empty((height, width), int)
    for y in range(height):
        for x in range(width):
            to_bank = np.sqrt(((bank - patches[y, x]) ** 2).sum(axis=1))
            nearest[y, x] = to_bank.argmin()
            distances[y, x] = to_bank.min()
    y, x = np.unravel_index(distances.argmax(), distances.shape)
    score = distances[y, x]
    if num_neighbors > 1:
        closest = bank[nearest[y, x]]
        order = np.sqrt(((bank - closest) ** 2).sum(axis=1)).argsort(kind="stable")
        neighbourhood = bank[order[:num_neighbors]]
        to_neighbours = np.sqrt(((neighbourhood - patches[y, x]) ** 2).sum(axis=1))
        score *= 1 - np.exp(score) / np.exp(to_neighbours).sum()
    return float(score), distances


def smooth_map(distances: Array, size: tuple[int, int], sigma: float) -> Array:
    """Bilinear interpolation to the input's size, then a Gaussian."""
    enlarged: Any = F.interpolate(
        torch.from_numpy(distances)[None, None], size, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    return np.asarray(scipy.ndimage.gaussian_filter(enlarged, sigma) if sigma else enlarged)
