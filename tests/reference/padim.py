"""PaDiM written straight from the paper, a location and an image at a time, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import mahalanobis

Array = npt.NDArray[np.float64]


def embed(maps: list[Array], channels: npt.NDArray[np.int64]) -> Array:
    """Join the vectors of maps (N, C, h, w) that lie over one another, and choose of them."""
    images, _, height, width = maps[0].shape
    embeddings = np.empty((images, height, width, len(channels)))
    for y in range(height):
        for x in range(width):
            vectors = [m[:, :, y * m.shape[2] // height, x * m.shape[3] // width] for m in maps]
            embeddings[:, y, x] = np.concatenate(vectors, axis=1)[:, channels]
    return embeddings


def distances(train: Array, test: Array, regularization: float) -> Array:
    """Mahalanobis distances of (M, h, w, D) to the Gaussians of (N, h, w, D), both float64."""
    images, height, width, dimensions = train.shape
    result = np.empty((len(test), height, width))
    for y in range(height):
        for x in range(width):
            seen = train[:, y, x]
            covariance = regularization * np.identity(dimensions)
            if images > 1:
                covariance += np.cov(seen, rowvar=False)
            inverse = np.linalg.inv(covariance)
            for i, vector in enumerate(test[:, y, x]):
                result[i, y, x] = mahalanobis(vector, seen.mean(axis=0), inverse)
    return result


def left_out(rows: Array, groups: Array, regularization: float) -> Array:
    """Distances of (locations, N, D), each to the Gaussian of all images of other groups."""
    result = np.empty(rows.shape[:2])
    for i, group in enumerate(groups):
        others = rows[:, groups != group].transpose(1, 0, 2)[:, :, None]
        here = rows[:, i : i + 1].transpose(1, 0, 2)[:, :, None]
        result[:, i] = distances(others, here, regularization)[0, :, 0]
    return result
