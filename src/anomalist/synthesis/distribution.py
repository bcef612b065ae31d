"""How good images are distributed, judged from their mean: the choice that GLASS makes once."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.errors import ParameterError

Distribution = Literal["manifold", "hypersphere"]

_SIDE = 289
_BLUR = 39
_LEVEL = 170.0
_LEAST_DENSITY = 0.21
_LEAST_RADIUS = 12.0
_LEAST_POINTS = 60


def judge_distribution(
    mean_image: npt.NDArray[np.uint8] | npt.NDArray[np.floating[Any]],
) -> Distribution:
    """Judge whether the features of good images fill a hypersphere or lie on a manifold.

    A mean with a bold shape in it, such as that of an object before a plain background, has a wide,
    dense blot of strong low frequencies in its spectrum: a hypersphere. All else is a manifold
    (GLASS, Chen et al., ECCV 2024, as its authors' code judges).

    The mean is resized to 289 x 289 pixels, made grey and blurred by a box of 39 x 39. A frequency
    is strong where 20 ln(magnitude) exceeds 170. It is a hypersphere if there are more than 60
    strong ones, the farthest more than 12 steps from frequency 0, and they fill more than 0.21 of
    the rectangle or of the disc that reaches as far as they do.

    Parameters
    ----------
    mean_image : array of shape (H, W, 3)
        Mean of the training images, RGB from 0 to 255.

    Returns
    -------
    {"manifold", "hypersphere"}

    Raises
    ------
    ParameterError
        If it isn't of shape (H, W, 3).

    Examples
    --------
    >>> judge_distribution(np.full((288, 288, 3), 128, np.uint8))
    'manifold'
    >>> disc = np.hypot(*np.mgrid[-144:144, -144:144]) < 110
    >>> judge_distribution(np.where(disc, 30.0, 230.0)[..., None].repeat(3, axis=2))
    'hypersphere'
    """
    if mean_image.ndim != 3 or mean_image.shape[2] != 3:
        raise ParameterError(f"the mean image must be of shape (H, W, 3), not {mean_image.shape}")
    grey = np.floor(mean_image) @ np.array([0.299, 0.587, 0.114])
    resized = _resized(_resized(grey).T).T
    blurred = ndimage.uniform_filter(resized, _BLUR, mode="mirror")
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(blurred)))
    rows, columns = np.argwhere(magnitude > math.exp(_LEVEL / 20)).T - _SIDE // 2
    points = len(rows)
    if points <= _LEAST_POINTS:
        return "manifold"
    radius = float(np.hypot(rows, columns).max())
    box = 4 * max(int(np.abs(rows).max()), 1) * max(int(np.abs(columns).max()), 1)
    # The authors' grid has frequency 0 a quarter from its corner, which cuts the largest discs.
    steps = np.arange(2 * _SIDE) - _SIDE // 2
    disc = int((np.hypot(steps[:, None], steps) <= radius).sum())
    dense = max(points / box, points / disc) > _LEAST_DENSITY
    return "hypersphere" if dense and radius > _LEAST_RADIUS else "manifold"


def _resized(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bring the rows to the judge's number: linear, pixels' centres aligned, no antialiasing."""
    place = (np.arange(_SIDE) + 0.5) * (len(image) / _SIDE) - 0.5
    place = np.clip(place, 0, len(image) - 1)
    first = np.minimum(place.astype(np.intp), max(len(image) - 2, 0))
    second = np.minimum(first + 1, len(image) - 1)
    weight = (place - first)[:, None]
    resized: npt.NDArray[np.float64] = image[first] * (1 - weight) + image[second] * weight
    return resized
