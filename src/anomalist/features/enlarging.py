"""Patch scores become maps at the input's resolution: interpolated, smoothed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def enlarge(patch_scores: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Interpolate patch scores bilinearly to the input's size and smooth them.

    Both steps are linear and separable, so together they are one small matrix a side.

    Parameters
    ----------
    patch_scores : Tensor of shape (B, h, w)
        A score a patch.
    size : (int, int)
        Height and width to reach, in pixels.
    sigma : float
        Standard deviation of the Gaussian in pixels, cut at four of it, mirrored at borders as by
        ``scipy.ndimage.gaussian_filter``; 0 leaves it out.

    Returns
    -------
    Tensor of shape (B, H, W)

    Examples
    --------
    >>> enlarge(torch.ones(1, 2, 2), (8, 8), sigma=4.0).round(decimals=5).unique()
    tensor([1.])
    """
    rows = _operator(patch_scores.shape[1], size[0], sigma).to(patch_scores.device)
    columns = _operator(patch_scores.shape[2], size[1], sigma).to(patch_scores.device)
    return rows @ patch_scores @ columns.T


@lru_cache(maxsize=16)
def _operator(source: int, target: int, sigma: float) -> Tensor:
    """The (target, source) matrix that interpolates bilinearly, then smooths."""
    # Half-pixel centres, the border repeated: what torch calls align_corners=False.
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.minimum(position.astype(int), max(source - 2, 0))
    matrix = np.zeros((target, source))
    rows = np.arange(target)
    matrix[rows, left] = 1 - (position - left)
    matrix[rows, np.minimum(left + 1, source - 1)] += position - left
    if sigma > 0:
        matrix = _gaussian(target, sigma) @ matrix
    return torch.from_numpy(matrix.astype(np.float32))


def _gaussian(size: int, sigma: float) -> npt.NDArray[np.float64]:
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    mirrored = np.pad(np.arange(size), radius, mode="symmetric")
    matrix = np.zeros((size, size))
    for i in range(size):
        np.add.at(matrix[i], mirrored[i : i + 2 * radius + 1], kernel)
    return matrix
