"""Metrics of maps that one threshold makes binary: SegF1 and ClassF1 of MVTec AD 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError, ParameterError
from anomalist.metrics.counts import count_images
from anomalist.metrics.pixels import Pixels
from anomalist.metrics.ranking import check_binary, check_finite

Int64 = npt.NDArray[np.int64]


def seg_f1(maps: npt.ArrayLike, masks: npt.ArrayLike, threshold: float) -> float:
    """F1 of pixels above one threshold, those of all images counted together.

    Parameters
    ----------
    maps : array of shape (N, H, W)
        Finite numbers, higher where more anomalous.
    masks : array of shape (N, H, W)
        True or 1 where a pixel is defective, False or 0 where it is normal.
    threshold : float
        Pixels with higher values are called anomalous; one that equals it isn't.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    DataError
        If shapes differ or aren't (N, H, W), a value is of no use, or no pixel is defective.
    ParameterError
        If the threshold is NaN.

    References
    ----------
    Heckler-Kram et al., "The MVTec AD 2 Dataset", arXiv:2503.21622 (2025), which takes the
    threshold from good images alone: mean plus three standard deviations of their map values.

    Examples
    --------
    >>> import numpy as np
    >>> seg_f1(np.array([[[0.1, 0.9]], [[0.2, 0.8]]]), np.array([[[0, 1]], [[0, 0]]]), 0.5)
    0.6666666666666666
    """
    pixels = Pixels.of_arrays(maps, masks)
    if not pixels.n_positive.any():
        raise DataError("F1 takes a defective pixel: the masks hold none")
    return Binary.of(pixels, threshold).seg_f1()


def class_f1(maps: npt.ArrayLike, labels: npt.ArrayLike, threshold: float) -> float:
    """F1 of images that are called anomalous if any of their pixels is above one threshold.

    It is what the evaluation server of MVTec AD 2 can make of binary maps, which is all that it is
    given for it.

    Parameters
    ----------
    maps : array of shape (N, H, W)
        Finite numbers, higher where more anomalous.
    labels : array of shape (N,)
        True or 1 where an image is anomalous, False or 0 where it is normal.
    threshold : float
        Pixels with higher values are called anomalous.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    DataError
        If there isn't one label for each map, a value is of no use, or no image is anomalous.
    ParameterError
        If the threshold is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> class_f1(np.array([[[0.1, 0.9]], [[0.2, 0.8]]]), [1, 0], 0.5)
    0.6666666666666666
    """
    values, anomalous = np.asarray(maps), check_binary(np.asarray(labels), "labels")
    if values.ndim != 3 or anomalous.shape != values.shape[:1]:
        raise DataError(
            f"maps must have shape (N, H, W) and labels (N,), not {values.shape} and"
            f" {anomalous.shape}"
        )
    if not anomalous.any():
        raise DataError("F1 takes an anomalous image: there is none")
    check_threshold(threshold)
    check_finite(values)
    above: npt.NDArray[np.bool_] = values > threshold
    return f1_of(np.asarray(above.any(axis=(1, 2))), anomalous)


def f1_of(alarms: npt.NDArray[np.bool_], anomalous: npt.NDArray[np.bool_]) -> float:
    """F1 of decisions on items of which at least one is anomalous."""
    hits = int(np.count_nonzero(alarms & anomalous))
    return 2 * hits / int(np.count_nonzero(alarms) + np.count_nonzero(anomalous))


def check_threshold(threshold: float) -> None:
    """Refuse one that nothing can be compared with."""
    if np.isnan(threshold):
        raise ParameterError("the threshold is NaN")


@dataclass(frozen=True, eq=False)
class Binary:
    """What each of N images has above one threshold.

    Parameters
    ----------
    hits, alarms, positives : int64 array of shape (N,)
        Defective pixels above the threshold, all pixels above it, and all defective ones.
    """

    hits: Int64
    alarms: Int64
    positives: Int64

    @classmethod
    def of(cls, pixels: Pixels, threshold: float) -> Binary:
        """Count the pixels above a threshold, image after image."""
        check_threshold(threshold)
        # Pixels are counted that reach a threshold.
        counts = count_images(pixels, [np.nextafter(pixels.dtype.type(threshold), np.inf)])
        hits = counts.tp[:, 0]
        return cls(hits, hits + counts.fp[:, 0], pixels.n_positive)

    def seg_f1(self) -> float:
        """F1 of the pixels of all images together."""
        return float(2 * self.hits.sum() / (self.alarms.sum() + self.positives.sum()))

    def class_f1(self, labels: npt.NDArray[np.bool_]) -> float:
        """F1 of images that have any pixel above the threshold."""
        return f1_of(self.alarms > 0, labels)
