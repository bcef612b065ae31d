"""What a threshold promises of good photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from anomalist.calibration import promised_range
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
        None without a calibration.
    scenes : int
        Of how many independent scenes they are.
    retrained : bool
        Whether other trainings than the detector's own scored them.
    """

    alpha: float
    threshold: float | None
    scenes: int
    retrained: bool = False

    @classmethod
    def of(cls, detector: Detector, alpha: float | None = None) -> Self:
        """Take that of a fitted detector; by default for the rate that it was fitted for."""
        alpha = detector.alpha_ if alpha is None else alpha
        calibration = detector.calibration_
        if calibration is None:
            return cls(alpha, None, 0)
        threshold = calibration.threshold(alpha)
        return cls(alpha, threshold, calibration.scenes, calibration.retrained)

    @property
    def promise(self) -> tuple[float, float] | None:
        """The range of the false-alarm rate to expect; None where there is no promise."""
        return (
            None
            if self.threshold is None
            else promised_range(self.scenes, self.alpha, retrained=self.retrained)
        )
