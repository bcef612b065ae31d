"""Where the part is in an image of it, so that synthetic anomalies land on the part."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.errors import ParameterError

_BORDER = 0.03
_SMOOTHING = 1 / 200
_LEAST_LEVELS = 14.0
_DEVIATIONS = 5.0
_SHADOW = 0.75
_LEAST_CALM = 0.6
_LEAST_CONTRAST = 10.0
_LEAST_PART, _MOST_PART = 0.01, 0.95

Mask = npt.NDArray[np.bool_]


def foreground_mask(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Tell the part from the background by comparing each pixel with the image's border.

    The background's colour is fitted to the border as a surface of second order in x and y, so
    that light may fall off, and outliers (a part that touches the border) are left out. The part is
    what differs from it by more than the background itself varies, and by more than three
    quarters of what best divides the image in two (N. Otsu, 1979), which leaves out most of a soft
    shadow. Then specks are dropped, holes filled and the edge is moved outwards a little.

    Where no part stands out from a background, the whole image counts as the part: textures such as
    fabric, and parts that fill the picture.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)

    Returns
    -------
    bool array of shape (H, W)
        True on the part.

    Raises
    ------
    ParameterError
        If the image isn't of shape (H, W, 3).

    Examples
    --------
    >>> image = np.full((64, 64, 3), 230, np.uint8)
    >>> image[20:40, 10:50] = 60
    >>> mask = foreground_mask(image)
    >>> bool(mask[20:40, 10:50].all()), float(mask.mean().round(2))
    (True, 0.23)
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise ParameterError(f"a foreground needs an image of shape (H, W, 3), not {image.shape}")
    height, width = image.shape[:2]
    side = min(height, width)
    everything = np.ones((height, width), np.bool_)
    sigma = side * _SMOOTHING
    smooth = ndimage.gaussian_filter(image.astype(np.float64), (sigma, sigma, 0))
    reach = max(1, round(side * _BORDER))
    border = everything.copy()
    border[reach:-reach, reach:-reach] = False
    distance, spread = _distance(smooth, border)
    calm = distance < max(_LEAST_LEVELS, _DEVIATIONS * spread, _SHADOW * _otsu(distance))
    part = _cleaned(~calm, max(1, round(side / 150)))
    if calm[border].mean() < _LEAST_CALM or not _LEAST_PART < part.mean() < _MOST_PART:
        return everything
    stands_out = np.median(distance[part]) > _LEAST_CONTRAST * max(spread, 1.0)
    return part if stands_out else everything


def _distance(
    image: npt.NDArray[np.float64], border: Mask
) -> tuple[npt.NDArray[np.float64], float]:
    """Each pixel's difference in colour from the background, and how far the background varies."""
    height, width = border.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    there, colours = terms[border], image[border]
    middle = np.median(colours, axis=0)
    residual = np.linalg.norm(colours - middle, axis=1)
    for _ in range(5):
        inliers = residual <= max(2.5 * float(np.median(residual)), 3.0)
        surface = np.linalg.lstsq(there[inliers], colours[inliers], rcond=None)[0]
        residual = np.linalg.norm(colours - there @ surface, axis=1)
    return np.linalg.norm(image - terms @ surface, axis=2), float(np.median(residual))


def _otsu(values: npt.NDArray[np.float64]) -> float:
    """The threshold that leaves least variance on its two sides."""
    counts, edges = np.histogram(values, 128)
    centres = (edges[1:] + edges[:-1]) / 2
    below, total = np.cumsum(counts), np.cumsum(counts * centres)
    above, rest = below[-1] - below, total[-1] - total
    apart = total / np.maximum(below, 1) - rest / np.maximum(above, 1)
    return float(edges[1 + np.argmax(below * above * apart**2)])


def _cleaned(part: Mask, reach: int) -> Mask:
    """Without specks and holes, and a little larger."""
    disc = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= reach + 0.5
    part = ndimage.binary_opening(part, disc)
    part = ndimage.binary_closing(np.pad(part, 4 * reach), disc, iterations=2)
    part = part[4 * reach : -4 * reach, 4 * reach : -4 * reach]
    grown: Mask = ndimage.binary_dilation(ndimage.binary_fill_holes(part), disc)
    return grown
