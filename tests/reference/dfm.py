"""DFM written straight from its papers, with scikit-learn's PCA, in float64 and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.stats
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.decomposition import PCA

Array = npt.NDArray[np.float64]


def pool(maps: Array, windows: tuple[int, int]) -> Array:
    """Means over equal windows of maps (N, C, h, w), locations counted by the part inside."""
    count, channels, height, width = maps.shape
    pooled = np.zeros((count, channels, *windows))
    for i in range(windows[0]):
        for j in range(windows[1]):
            top, bottom = i * height / windows[0], (i + 1) * height / windows[0]
            left, right = j * width / windows[1], (j + 1) * width / windows[1]
            for y in range(height):
                for x in range(width):
                    inside_y = max(0.0, min(bottom, y + 1) - max(top, y))
                    inside_x = max(0.0, min(right, x + 1) - max(left, x))
                    pooled[:, :, i, j] += maps[:, :, y, x] * inside_y * inside_x
            pooled[:, :, i, j] /= (bottom - top) * (right - left)
    return pooled


def score(
    train: Array, test: Array, level: float, size: tuple[int, int]
) -> tuple[Array, Array, Array]:
    """Reconstruction errors (N,), negative log-likelihoods (N,) and maps (N, H, W)."""
    good, vectors = train.reshape(len(train), -1), test.reshape(len(test), -1)
    pca = PCA(level if level < 1 else len(train) - 1, svd_solver="full").fit(good)
    reduced = pca.transform(vectors)
    errors = (vectors - pca.inverse_transform(reduced)) ** 2
    coordinates = pca.transform(good)
    gaussian = scipy.stats.multivariate_normal(
        coordinates.mean(axis=0), np.atleast_2d(np.cov(coordinates.T, bias=True))
    )
    by_window: Any = torch.from_numpy(errors.reshape(test.shape).sum(axis=1))
    maps = F.interpolate(by_window[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return errors.sum(axis=1), -np.atleast_1d(gaussian.logpdf(reduced)), maps.numpy()
