"""Defect regions: the connected parts of a mask, which the per-region overlap weighs alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.metrics.threads import threaded_map

EIGHT_NEIGHBORS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Regions:
    """The 8-connected regions of N masks that hold P defective pixels.

    Parameters
    ----------
    per_image : array of shape (N,)
        Number of regions in each mask.
    inverse_area : list of N arrays, P values in all
        For each defective pixel, row by row, one over the area of its region in pixels.
    """

    per_image: npt.NDArray[np.int64]
    inverse_area: list[npt.NDArray[np.float64]]

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """What each defective pixel adds to the overlap averaged over all regions, shape (P,)."""
        weights: npt.NDArray[np.float64] = np.concatenate(self.inverse_area)
        return weights / max(int(self.per_image.sum()), 1)


def find_regions(masks: npt.NDArray[np.bool_]) -> Regions:
    """Find the 8-connected regions of masks of shape (N, H, W)."""
    found = list(threaded_map(_regions_in, masks))
    return Regions(np.array([n for n, _ in found]), [inverse for _, inverse in found])


def _regions_in(mask: npt.NDArray[np.bool_]) -> tuple[int, npt.NDArray[np.float64]]:
    box = bounding_box(mask)
    return (0, np.empty(0)) if box is None else regions_of(mask[box])


def bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return the rows and columns that hold all that is marked; None where nothing is."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    marked = mask[rows[0] : rows[-1] + 1]
    columns = np.flatnonzero(marked.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def regions_of(mask: npt.NDArray[np.bool_]) -> tuple[int, npt.NDArray[np.float64]]:
    """Return how many regions a mask has, and one over its region's area for each marked pixel."""
    regions, n = ndimage.label(mask, structure=EIGHT_NEIGHBORS)
    region_of_pixel = regions[mask]
    area: npt.NDArray[np.int64] = np.bincount(region_of_pixel, minlength=n + 1)
    return n, 1 / area[region_of_pixel]
