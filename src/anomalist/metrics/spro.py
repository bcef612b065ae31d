"""Saturated per-region overlap: a defect counts as found before all pixels it may take are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from anomalist.data import Defect
from anomalist.errors import DataError
from anomalist.metrics.pixels import Marked, Pixels
from anomalist.metrics.pro import check_fpr_limits
from anomalist.metrics.ranking import Array, Ranking
from anomalist.metrics.summary import rank_pixels
from anomalist.metrics.threads import threaded_map

SPRO_LIMITS = (0.01, 0.05, 0.1, 0.3, 1.0)
"""False positive rates up to which MVTec LOCO's evaluation integrates."""


class Saturated(Marked):
    """Defects of one image, each with the area from which on it counts as found whole.

    Parameters
    ----------
    defects : sequence of Defect
        At least one; they may share pixels, which are then found in each.
    """

    def __init__(self, defects: Sequence[Defect]) -> None:
        joined = np.logical_or.reduce([defect.pixels for defect in defects])
        super().__init__(joined)
        self.n_regions = len(defects)
        self._parts = []
        for defect in defects:
            assert self.box is not None
            self._parts.append((np.packbits(defect.pixels[self.box]), defect.saturation))

    def shares(self, values: Array) -> npt.NDArray[np.float64]:
        """Return what each defective pixel adds to the overlap, summed over defects.

        Of a defect, its highest pixels share the overlap, as many as its saturation area has; the
        others add nothing. At any threshold this comes to the overlap at it.
        """
        share = np.zeros(values.shape)
        for bits, saturation in self._parts:
            inside = np.unpackbits(bits, count=values.size).view(np.bool_).reshape(values.shape)
            found = values[inside]
            rank = np.empty(len(found))
            rank[np.argsort(found)[::-1]] = np.arange(len(found))
            area = min(saturation, len(found))
            share[inside] += np.clip(area - rank, 0, 1) / area
        return share[self.mask()]


@overload
def spro(
    maps: npt.ArrayLike, defects: Sequence[Sequence[Defect]], fpr_limit: float = 0.05
) -> float: ...


@overload
def spro(
    maps: npt.ArrayLike,
    defects: Sequence[Sequence[Defect]],
    fpr_limit: Sequence[float] | npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]: ...


def spro(
    maps: npt.ArrayLike,
    defects: Sequence[Sequence[Defect]],
    fpr_limit: float | Sequence[float] | npt.NDArray[np.float64] = 0.05,
) -> float | npt.NDArray[np.float64]:
    """Area under the saturated overlap curve up to a false positive rate, divided by that rate.

    The overlap of a defect is the number of its pixels that reach the threshold divided by its
    saturation area, and at most 1; it is averaged over the defects of all images. So where a part
    is missing that could have lain in many places, it is enough to mark as much as the part would
    have covered. The false positive rate is over all pixels that belong to no defect, those of good
    images included. Exact over all thresholds.

    Parameters
    ----------
    maps : array of shape (N, H, W)
        Finite numbers, higher where more anomalous.
    defects : sequence of N sequences of Defect
        Those of each image, none of a good one.
    fpr_limit : float, or sequence of K floats
        Where the curve is cut off, above 0 and at most 1.

    Returns
    -------
    float, or array of shape (K,)
        From 0 to 1.

    Raises
    ------
    DataError
        If shapes differ, a map value is NaN or infinite, a defect has no pixel or a saturation area
        that isn't above 0, or no pixel is defective or none is normal.
    ParameterError
        If a limit isn't above 0 and at most 1.

    References
    ----------
    Bergmann, Batzner, Fauser, Sattlegger and Steger, "Beyond Dents and Scratches: Logical
    Constraints in Unsupervised Anomaly Detection and Localization", IJCV 130 (2022), section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from anomalist.data import Defect
    >>> maps = np.zeros((2, 4, 4))
    >>> maps[1, 0, :2] = 1.0
    >>> shelf = np.zeros((4, 4), dtype=bool)
    >>> shelf[0] = True  # a part is missing somewhere in the first row, which would cover two
    >>> spro(maps, [[], [Defect(shelf, saturation=2)]])
    1.0
    >>> round(spro(maps, [[], [Defect(shelf, saturation=4)]], fpr_limit=0.1), 3)
    0.525
    """
    limits = check_fpr_limits(fpr_limit)
    maps = np.asarray(maps)
    shapes = {defect.pixels.shape for of_image in defects for defect in of_image}
    if maps.ndim != 3 or len(maps) != len(defects) or not shapes <= {maps.shape[1:]}:
        raise DataError(
            f"maps of shape {maps.shape} and defects of {len(defects)} images don't fit: maps must"
            " have shape (N, H, W), each defect (H, W)"
        )
    pixels = Pixels.of_arrays(maps, np.zeros(maps.shape, bool))
    marked = list(threaded_map(marked_by, defects))
    ranking = Ranking.join(list(rank_pixels(Pixels(pixels.maps, marked))))
    values = np.array([float(ranking.pro(limit)) for limit in limits.reshape(-1).tolist()])
    return float(values[0]) if limits.ndim == 0 else values


def marked_by(defects: Sequence[Defect]) -> Marked:
    """Return what the defects of an image mark; nothing where there is none.

    Raises
    ------
    DataError
        If a defect has no pixel or no saturation area.
    """
    for defect in defects:
        if not defect.pixels.any() or not defect.saturation > 0:
            raise DataError(
                f"a defect of {int(defect.pixels.sum())} pixels with a saturation area of"
                f" {defect.saturation:g} has no overlap: both must be above 0"
            )
    return Saturated(defects) if defects else Marked(None)
