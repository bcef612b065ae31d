"""Per-image overlap at false positive rates of good images so low that nobody would notice them."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError, ParameterError
from anomalist.metrics.pixels import Pixels
from anomalist.metrics.ranking import Array, check_finite
from anomalist.metrics.threads import threaded_map

FPR_BOUNDS = (1e-5, 1e-4)
"""Between which shared false positive rates AUPIMO is the mean overlap, on a logarithmic scale."""

MOST_KEPT = 1 << 24
"""Pixels of good images that are kept, 64 MB of them, unless the bounds take more."""

_THRESHOLDS = 1024

Bounds = tuple[float, float]


def aupimo(
    maps: npt.ArrayLike, masks: npt.ArrayLike, *, fpr_bounds: Bounds = FPR_BOUNDS
) -> tuple[float, npt.NDArray[np.float64]]:
    """Share of each defect image's defective pixels found while good images show next to nothing.

    At each threshold the shared false positive rate is the share of pixels that reach it in an
    image without a defect, averaged over these images. AUPIMO of an image is the share of its
    defective pixels that are found, averaged over the logarithm of the shared rate between two
    bounds. Where a rate lies between those of two thresholds, the higher threshold counts.

    It is exact over all thresholds, as a sum over defective pixels: one with the score s is found
    at all rates from F(s) on, the shared rate at s, and adds log(U / max(F(s), L)) / log(U / L), or
    nothing if F(s) is above U, for bounds L and U.

    Parameters
    ----------
    maps : array of shape (N, H, W)
        Finite numbers, higher where more anomalous.
    masks : array of shape (N, H, W)
        True or 1 where a pixel is defective, False or 0 where it is normal. Images without a
        defective pixel are the good ones.
    fpr_bounds : (float, float)
        The lowest and the highest shared false positive rate. At the default, bounds of the paper,
        few pixels count: images of a million pixels have ten false ones at the lower bound.

    Returns
    -------
    mean : float
        Of the images with defects, from 0 to 1.
    scores : array of shape (N,)
        Of each image, NaN where nothing is defective.

    Raises
    ------
    DataError
        If shapes differ or aren't (N, H, W), a map value is NaN or infinite, a mask value is
        neither 0 nor 1, or all images have defects or none has.
    ParameterError
        If the bounds aren't ascending, above 0 and at most 1.

    References
    ----------
    Bertoldo, Ameln, Vaidya and Akcay, "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with
    High Speed and Low Tolerance", BMVC 2024, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> masks = np.zeros((3, 2, 2), dtype=bool)
    >>> masks[1:, 0, 0] = True
    >>> maps = np.array([[[4.0, 0], [0, 0]], [[5, 0], [0, 0]], [[3, 9], [9, 0]]])
    >>> mean, scores = aupimo(maps, masks)
    >>> mean, scores.tolist()
    (0.5, [nan, 1.0, 0.0])
    """
    check_bounds(fpr_bounds)
    pixels = Pixels.of_arrays(maps, masks)
    defective = pixels.n_positive > 0
    if defective.all() or not defective.any():
        kind = "without a defect: all" if defective.any() else "with defects: none of"
        raise DataError(f"AUPIMO takes images {kind} {len(pixels)} have one")
    found = PerImageOverlap(pixels, ~defective, fpr_bounds)
    return found.mean, found.scores


def check_bounds(fpr_bounds: Bounds) -> None:
    """Refuse bounds between which there is nothing."""
    low, high = fpr_bounds
    if not 0 < low < high <= 1:
        raise ParameterError(
            f"fpr_bounds must ascend from above 0 to at most 1, not {low:g}, {high:g}"
        )


class PerImageOverlap:
    """The overlap of each image with defects against the false positive rate of good images.

    Parameters
    ----------
    pixels : Pixels
        Map values and truth of N images.
    good : bool array of shape (N,)
        The images that false positives are counted in. Others without a defect have no part in it.
    fpr_bounds : (float, float)
        The lowest and the highest shared false positive rate.

    Attributes
    ----------
    scores : array of shape (N,)
        AUPIMO of each image, NaN where nothing is defective.
    """

    def __init__(
        self, pixels: Pixels, good: npt.NDArray[np.bool_], fpr_bounds: Bounds = FPR_BOUNDS
    ) -> None:
        self.good, self.defective = good, pixels.n_positive > 0
        self._bounds = fpr_bounds
        self._n_pixels = pixels.n_pixels[good]
        self._tops = _highest(pixels, np.flatnonzero(good), fpr_bounds[1])
        marked = np.flatnonzero(self.defective)
        # Values beyond all that good images keep are found at no rate up to the upper bound.
        measured = list(threaded_map(lambda i: self._measure(pixels, int(i)), marked))
        self.scores = np.full(len(pixels), np.nan)
        self.scores[marked] = [score for score, _ in measured]
        self._found = np.array([found for _, found in measured])

    @property
    def mean(self) -> float:
        """AUPIMO averaged over the images with defects."""
        return float(self.scores[self.defective].mean())

    @cached_property
    def _rates(self) -> tuple[Array, npt.NDArray[np.float64]]:
        """The distinct values that good images keep, ascending, and the shared rate at each."""
        values = np.concatenate(self._tops)
        share = np.repeat(
            1 / (len(self._tops) * self._n_pixels.astype(np.float64)), [len(t) for t in self._tops]
        )
        order = np.argsort(values)
        values, share = values[order], share[order]
        first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        return values[first], np.cumsum(share[::-1])[::-1][first]

    @cached_property
    def _thresholds(self) -> Array:
        """Ascending values that split what good images keep, finer where higher; one above all."""
        values, rates = self._rates
        wanted = np.geomspace(rates[-1], rates[0], _THRESHOLDS)
        chosen = len(rates) - 1 - np.searchsorted(rates[::-1], wanted).clip(max=len(rates) - 1)
        above = np.nextafter(values[-1], values.dtype.type(np.inf))
        return np.append(values[np.unique(chosen)], above)

    def _weights(self, rates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Share of the range of rates, on its logarithmic scale, from these rates on."""
        low, high = self._bounds
        within = np.log(high / np.clip(rates, low, high))
        weights: npt.NDArray[np.float64] = within / math.log(high / low)
        return weights

    def _measure(self, pixels: Pixels, image: int) -> tuple[float, npt.NDArray[np.float64]]:
        """AUPIMO of an image, and the share of its defective pixels from each threshold on."""
        values, rates = self._rates
        scores = pixels.positives(image)[0]
        check_finite(np.array([scores.min(), scores.max()]))
        n = len(scores)
        # What lies below all that good images keep is found at no rate up to the upper bound.
        scores = np.sort(scores[scores >= values[0]])
        reached = np.append(rates, 0.0)[np.searchsorted(values, scores)]
        found = len(scores) - np.searchsorted(scores, self._thresholds)
        return float(self._weights(reached).sum() / n), found / n

    def resampled(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the mean of resamples, (B,), that hold each image so often, (B, N).

        Pixels are counted at up to 1,024 thresholds. Every resample must have an image of either
        kind.
        """
        reached = [len(top) - np.searchsorted(top, self._thresholds) for top in self._tops]
        good, defective = (
            times[:, kind].astype(np.float64) for kind in (self.good, self.defective)
        )
        rates = good @ (np.array(reached) / self._n_pixels[:, None]) / good.sum(axis=1)[:, None]
        between = self._found - np.append(self._found[:, 1:], np.zeros((len(self._found), 1)), 1)
        found = (defective @ between * self._weights(rates)).sum(axis=1)
        mean: npt.NDArray[np.float64] = found / defective.sum(axis=1)
        return mean


def _highest(pixels: Pixels, images: npt.NDArray[np.intp], high: float) -> list[Array]:
    """The highest values of each good image, ascending: all that bear on a rate up to ``high``.

    Where one image reaches a value with a share of its pixels, the shared rate there is at least
    that share divided by the number of images, in any resample that holds the image too.
    """
    shares = high * len(images)
    most = max(MOST_KEPT, math.ceil(shares * int(pixels.n_pixels[images].max())))

    def of(image: np.intp) -> Array:
        return _top(pixels, int(image), math.ceil(shares * int(pixels.n_pixels[image])))

    tops: list[Array] = []
    for top in threaded_map(of, images):
        tops.append(top)
        if sum(map(len, tops)) > most:
            # So many pixels make up the shared rate alone; only resamples look further down.
            values = np.concatenate(tops)
            cut = np.partition(values, len(values) - most)[len(values) - most]
            tops = [top[np.searchsorted(top, cut) :] for top in tops]
    return tops


def _top(pixels: Pixels, image: int, keep: int) -> Array:
    """The highest values of an image, ascending, a few rows at a time."""
    top = np.empty(0, pixels.dtype)
    pieces = pixels.pieces(image)
    buffer = np.empty(max((p[2] - p[1]) * pixels.shapes[image][1] for p in pieces), pixels.dtype)
    for piece in pieces:
        values = pixels.fill([piece], buffer)
        if not len(values):
            continue
        check_finite(np.array([values.min(), values.max()]))
        top = np.concatenate([top, values if len(top) < keep else values[values > top.min()]])
        if len(top) > keep:
            top = np.partition(top, len(top) - keep)[len(top) - keep :]
    return np.sort(top)
