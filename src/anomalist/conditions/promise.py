"""What a threshold promises of good photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from anomalist.calibration import false_alarm_interval, fewest_images, finite_or_none
from anomalist.detectors import Detector


class Promised(Protocol):
    """What `Conditions` must know of a rule."""

    @property
    def alpha(self) -> float:
        """The false-alarm rate that the threshold is for."""
        ...

    @property
    def threshold(self) -> float | None:
        """The score above which a photograph alarms; None where there is none."""
        ...

    @property
    def scenes(self) -> int:
        """Of how many independent scenes the calibrating images are."""
        ...

    @property
    def promise(self) -> tuple[float, float] | None:
        """The range of the false-alarm rate to expect; None where there is no promise."""
        ...


@dataclass(frozen=True)
class Promise:
    """What a detector's own threshold promises.

    Parameters
    ----------
    alpha : float
        The false-alarm rate that it is for.
    threshold : float or None
        None where calibrating images are too few, or there are none.
    scenes : int
        Of how many independent scenes they are.
    """

    alpha: float
    threshold: float | None
    scenes: int

    @classmethod
    def of(cls, detector: Detector, alpha: float | None = None) -> Self:
        """Take that of a fitted detector; by default for the rate that it was fitted for."""
        alpha = detector.alpha_ if alpha is None else alpha
        calibration = detector.calibration_
        if calibration is None:
            return cls(alpha, None, 0)
        return cls(alpha, finite_or_none(calibration.threshold(alpha)), calibration.scenes)

    @property
    def promise(self) -> tuple[float, float] | None:
        """The range of the false-alarm rate to expect; None where there is no promise."""
        if self.threshold is None or self.scenes < fewest_images(self.alpha):
            return None
        return false_alarm_interval(self.scenes, self.alpha)
