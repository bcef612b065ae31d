"""What good images that a detector hadn't seen tell of its scores and maps: one scale for all."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from anomalist.calibration import conformal
from anomalist.calibration.grouping import Int64, all_differ, number_groups
from anomalist.errors import DataError, ModelFileError
from anomalist.predictions import Predictions

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

# Shares of good pixels that exceed the kept quantiles: finer the rarer, down to one in a million.
_PIXEL_SHARES = np.concatenate([np.linspace(1, 0.1, 37), np.logspace(-1, -6, 101)[1:]])
# The tail, where survival is taken for exponential, begins where so few of the good are left.
_TAIL_OF_PIXELS = 1e-3
_TAIL_OF_SCORES = 0.2
_ARRAYS = ("scores", "maxima", "pixel_values")
_NUMBERS = ("pixel_mean", "pixel_deviation", "pixel_excess")


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """What a detector gives to good images that it hadn't seen.

    From it follow thresholds with a stated false-alarm rate, p-values, and scales on which
    different detectors can be compared, combined and drawn. No defective image is needed.

    Parameters
    ----------
    scores : float32 array of shape (n,)
        Scores of n good images.
    maxima : float32 array of shape (n,)
        The highest map value of each.
    pixel_values : float32 array of shape (Q,)
        Quantiles of all their map values, ascending.
    pixel_mean, pixel_deviation : float
        Mean and standard deviation of all their map values.
    pixel_excess : float
        How far, in the mean, the highest map values lie above where the tail begins.
    method : str
        How it was seen to that the detector hadn't seen them.
    groups : int64 array of shape (n,)
        Which images aren't independent, such as shots of one part: equal for those of one scene,
        numbered from 0 in the order in which scenes first appear. Thresholds and p-values are for
        an image of a new scene.
    retrained : bool
        Whether other trainings than the detector's own gave the scores. Each training draws a scale
        of its own, so that what is promised is less certain.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> good = Predictions(["good.png"] * 40, rng.normal(size=40), rng.normal(size=(40, 8, 8)))
    >>> calibration = Calibration.of(good, method="never shown")
    >>> bool(calibration.threshold(0.05) > calibration.threshold(0.2))
    True
    """

    scores: Float32
    maxima: Float32
    pixel_values: Float32
    pixel_mean: float
    pixel_deviation: float
    pixel_excess: float
    method: str
    groups: Int64
    retrained: bool = False

    @property
    def scenes(self) -> int:
        """The number of independent scenes, which is that of images where each is one."""
        return int(self.groups.max()) + 1

    @classmethod
    def of(
        cls,
        good: Predictions,
        *,
        method: str,
        groups: Iterable[Hashable] | None = None,
        retrained: bool = False,
    ) -> Self:
        """Make the calibration from predictions of good images that the detector hadn't seen.

        Parameters
        ----------
        good : Predictions
            Of n good images.
        method : str
            How it was seen to that the detector hadn't seen them.
        groups : iterable of hashable, optional
            One an image, equal for those that aren't independent.
        retrained : bool
            Whether other trainings than the detector's own gave the scores.

        Raises
        ------
        DataError
            If there is none, one is labelled anomalous, or groups are too few or many.
        """
        if len(good) == 0:
            raise DataError("calibration needs at least one good image")
        if good.labels is not None and good.labels.any():
            path = good.paths[int(np.argmax(good.labels))]
            raise DataError(f"{path} is labelled anomalous: calibration needs good images only")
        ascending = np.sort(good.counted, axis=None)
        ranks = np.floor((len(ascending) - 1) * (1 - _PIXEL_SHARES)).astype(np.intp)
        begin = max(int(len(ascending) * (1 - _TAIL_OF_PIXELS)), 0)
        tail = ascending[min(begin, len(ascending) - 1) :]
        mean = float(ascending.mean(dtype=np.float64))
        return cls(
            scores=good.scores.astype(np.float32),
            maxima=good.maps.max(axis=(1, 2)).astype(np.float32),
            pixel_values=ascending[ranks].astype(np.float32),
            pixel_mean=mean,
            pixel_deviation=float(ascending.std(dtype=np.float64)),
            pixel_excess=float((tail - tail[0]).mean(dtype=np.float64)),
            method=method,
            groups=number_groups(groups, len(good)),
            retrained=retrained,
        )

    def p_values(self, scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the conformal p-values of image scores, see `conformal.p_values`."""
        return conformal.p_values(scores, self.scores, groups=self.groups)

    def rate(self, alpha: float = 0.05) -> float:
        """Return the false-alarm rate that thresholds for ``alpha`` promise.

        It is ``alpha``, or what so few scenes allow, see `conformal.attainable_rate`.
        """
        return conformal.attainable_rate(self.scenes, alpha)

    def threshold(self, alpha: float = 0.05) -> float:
        """Return the score that a good image exceeds with a chance of at most ``alpha``.

        The highest score where images or scenes are too few for that, see `conformal.threshold` and
        `rate`.
        """
        return conformal.threshold(self.scores, alpha, groups=self.groups)

    def pixel_threshold(self, alpha: float = 0.05) -> float:
        """Return the map value that any pixel of a good image exceeds with a chance of ``alpha``.

        The highest value where images or scenes are too few for that.
        """
        return conformal.threshold(self.maxima, alpha, groups=self.groups)

    def pixel_range(self, alpha: float = 0.05) -> tuple[float, float]:
        """Return the map values that a picture shows as nothing and as the threshold.

        They are the median of good pixels, and the pixel threshold.
        """
        low = float(self.pixel_values[np.searchsorted(-_PIXEL_SHARES, -0.5)])
        high = self.pixel_threshold(alpha)
        return low, high if high > low else low + 1.0

    def standardised(self, scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return image scores in standard deviations above the mean good image."""
        good = self.scores.astype(np.float64)
        above: npt.NDArray[np.float64] = np.asarray(scores, np.float64) - good.mean()
        return above / _or_one(float(good.std()))

    def standardised_maps(self, maps: npt.ArrayLike) -> Float32:
        """Return map values in standard deviations above the mean good pixel."""
        scaled: Float32 = np.asarray(maps, np.float32) - np.float32(self.pixel_mean)
        return scaled / np.float32(_or_one(self.pixel_deviation))

    def surprise(self, scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return minus the logarithm of a p-value of image scores that goes on beyond the highest.

        Conformal p-values are never below 1 / (n + 1), which would make all clear defects alike.
        Here the share of good images above a score is taken to fall exponentially beyond the
        highest fifth of them (the peaks-over-threshold estimate with shape 0). Good for ranking and
        combining; it carries no guarantee.
        """
        good = np.sort(self.scores.astype(np.float64))
        n = len(good)
        shares = np.arange(n, 0, -1) / (n + 1)
        begin = min(int(np.searchsorted(-shares, -_TAIL_OF_SCORES)), n - 1)
        excess = float((good[begin:] - good[begin]).mean()) or float(good.std())
        return _surprise(np.asarray(scores, np.float64), good, shares, begin, excess)

    def surprise_maps(self, maps: npt.ArrayLike) -> Float32:
        """Return the same of map values, whose tail begins at the highest thousandth."""
        begin = int(np.searchsorted(-_PIXEL_SHARES, -_TAIL_OF_PIXELS))
        excess = self.pixel_excess or self.pixel_deviation
        values = self.pixel_values
        surprise: Float32 = _surprise(
            np.asarray(maps, np.float32), values, _PIXEL_SHARES, begin, excess
        ).astype(np.float32)
        return surprise

    def state(self) -> dict[str, Any]:
        """Return what a file must keep, by name: arrays, numbers and text."""
        state = {name: getattr(self, name) for name in (*_ARRAYS, *_NUMBERS, "method")}
        if not all_differ(self.groups):
            state["groups"] = self.groups
        return state | ({"retrained": True} if self.retrained else {})

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Make it again from what `state` returned; without groups, every image is a scene.

        Raises
        ------
        ModelFileError
            If something is missing, of a wrong shape, or not a finite number.
        """
        for name in (*_ARRAYS, *_NUMBERS, "method"):
            if name not in state:
                raise ModelFileError(f"the calibration is damaged: it has no {name}")
        for name in state:
            if name not in (*_ARRAYS, *_NUMBERS, "method", "groups", "retrained"):
                raise ModelFileError(
                    f"the calibration is damaged: {reprlib.repr(name)} doesn't belong there"
                )
        arrays: dict[str, Any] = {name: state[name] for name in _ARRAYS}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray) or array.dtype != np.float32:
                raise ModelFileError(f"the calibration is damaged: {name} makes no sense")
        numbers: dict[str, Any] = {name: state[name] for name in _NUMBERS}
        for name, number in numbers.items():
            if type(number) not in (float, int) or not abs(number) <= sys.float_info.max:
                raise ModelFileError(f"the calibration is damaged: {name} isn't a finite number")
            numbers[name] = float(number)
            if name != "pixel_mean" and number < 0:
                raise ModelFileError(f"the calibration is damaged: {name} is negative")
        method = state["method"]
        if not isinstance(method, str):
            raise ModelFileError("the calibration is damaged: method is no text")
        n = len(arrays["scores"]) if arrays["scores"].ndim == 1 else 0
        shapes = {"scores": (n,), "maxima": (n,), "pixel_values": _PIXEL_SHARES.shape}
        for name, shape in shapes.items():
            if n == 0 or arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise ModelFileError(f"the calibration is damaged: {name} makes no sense")
        if (np.diff(arrays["pixel_values"]) < 0).any():
            raise ModelFileError("the calibration is damaged: pixel_values don't ascend")
        groups = state.get("groups", np.arange(n))
        if (
            not isinstance(groups, np.ndarray)
            or groups.dtype != np.int64
            or groups.shape != (n,)
            or not np.array_equal(groups, number_groups(groups, n))
        ):
            raise ModelFileError("the calibration is damaged: groups makes no sense")
        retrained = state.get("retrained", False)
        if not isinstance(retrained, bool):
            raise ModelFileError("the calibration is damaged: retrained makes no sense")
        return cls(**arrays, **numbers, method=method, groups=groups, retrained=retrained)


def _surprise(x: Array, values: Array, shares: Array, begin: int, excess: float) -> Array:
    """Interpolate minus the logarithm of shares up to the tail, and go on in a straight line."""
    logs = -np.log(shares)
    body = np.interp(x, values[: begin + 1], logs[: begin + 1])
    beyond = np.maximum(x - values[begin], 0) / _or_one(excess)
    result: Array = body + beyond
    return result


def _or_one(spread: float) -> float:
    """A spread to divide by, where all may be alike."""
    return spread if spread > 0 else 1.0
