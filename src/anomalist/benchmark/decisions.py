"""How good decisions are at the thresholds that good images gave."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from anomalist.calibration import Calibration, fewest_images
from anomalist.metrics import CALIBRATED_NAMES, f1_at, f1_interval, false_alarm_rate
from anomalist.predictions import Predictions


@dataclass(frozen=True)
class Decisions:
    """How good decisions are at the thresholds that good images gave.

    Parameters
    ----------
    values : dict
        By the names of `CALIBRATED_NAMES`, None where undefined.
    intervals : dict
        95 % bootstrap intervals of the F1s over images.
    notes : tuple of str
        Why a value is None.
    """

    values: dict[str, float | None]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def calibrated_metrics(
    predictions: Predictions, calibration: Calibration | None, alpha: float
) -> Decisions:
    """Measure decisions at the thresholds that good images gave.

    Parameters
    ----------
    predictions : Predictions
        Of labelled images.
    calibration : Calibration or None
        Of the detector that made them.
    alpha : float
        The false-alarm rate to ask for.

    Returns
    -------
    Decisions
    """
    values: dict[str, float | None] = dict.fromkeys(CALIBRATED_NAMES)
    if calibration is None:
        return Decisions(values, notes=("no threshold: the detector isn't calibrated",))
    n = len(calibration.scores)
    if n < fewest_images(alpha):
        note = (
            f"no threshold: a false-alarm rate of {alpha:g} takes {fewest_images(alpha)} good"
            f" training images or more, there are {n}"
        )
        return Decisions(values, notes=(note,))
    intervals = {}
    labels, masks = predictions.labels, predictions.masks
    # An alarm is a score above the threshold; the metrics count those that reach theirs.
    above = np.nextafter(np.float64(calibration.threshold(alpha)), np.inf)
    pixel_above = np.nextafter(np.float64(calibration.pixel_threshold(alpha)), np.inf)
    if labels is not None and labels.any():
        values["image_F1_calibrated"] = f1_at(predictions.scores, labels, above)
        intervals["image_F1_calibrated"] = f1_interval(predictions.scores >= above, labels)
    if masks is not None and masks.any():
        values["pixel_F1_calibrated"] = f1_at(predictions.maps, masks, pixel_above)
        intervals["pixel_F1_calibrated"] = f1_interval(predictions.maps >= pixel_above, masks)
    if labels is not None and not labels.all():
        values["image_false_alarm_rate"] = false_alarm_rate(predictions.scores, labels, above)
    return Decisions(values, intervals)
