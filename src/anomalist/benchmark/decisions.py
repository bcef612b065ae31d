"""How good decisions are at the thresholds that good images gave."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from anomalist.calibration import Calibration, fewest_images
from anomalist.data.names import plural
from anomalist.metrics import (
    CALIBRATED_NAMES,
    Evaluation,
    f1_at,
    f1_interval,
    false_alarm_rate,
)
from anomalist.metrics.bootstrap import f1_interval_of
from anomalist.metrics.counts import count_images


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
        Why a value is None, and what so few images promise instead of the rate asked for.
    found : int64 array of shape (N,), or None
        Defective pixels of each image that are above the threshold; None where there are none.
    """

    values: dict[str, float | None]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    found: npt.NDArray[np.int64] | None = None


def calibrated_metrics(
    evaluation: Evaluation, calibration: Calibration | None, alpha: float
) -> Decisions:
    """Measure decisions at the thresholds that good images gave.

    Parameters
    ----------
    evaluation : Evaluation
        Predictions of labelled images beside the truth; pixels are compared where it says.
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
    intervals, hits = {}, None
    scores, labels, pixels = evaluation.predictions.scores, evaluation.labels, evaluation.pixels
    # An alarm is a score above the threshold; the metrics count those that reach theirs.
    above = np.nextafter(np.float64(calibration.threshold(alpha)), np.inf)
    pixel_above = np.nextafter(np.float64(calibration.pixel_threshold(alpha)), np.inf)
    if labels is not None and labels.any():
        values["image_F1_calibrated"] = f1_at(scores, labels, above)
        intervals["image_F1_calibrated"] = f1_interval(scores >= above, labels)
    if pixels is not None and pixels.n_positive.any():
        counts = count_images(pixels, [pixel_above])
        hits, alarms = counts.tp[:, 0], counts.tp[:, 0] + counts.fp[:, 0]
        f1 = 2 * hits.sum() / (alarms.sum() + pixels.n_positive.sum())
        values["pixel_F1_calibrated"] = float(f1)
        ends = f1_interval_of(hits, alarms, pixels.n_positive)
        intervals["pixel_F1_calibrated"] = ends
    if labels is not None and not labels.all():
        values["image_false_alarm_rate"] = false_alarm_rate(scores, labels, above)
    return Decisions(values, intervals, _few(calibration, alpha), hits)


def _few(calibration: Calibration, alpha: float) -> tuple[str, ...]:
    """Say what the threshold is where images or scenes are too few for the rate asked for."""
    if calibration.rate(alpha) <= alpha:
        return ()
    images, scenes = len(calibration.scores), calibration.scenes
    of = plural(images, "good image") if scenes == images else plural(scenes, "independent scene")
    return (
        f"{of} calibrated, too few to guarantee a false-alarm rate of {alpha:g}, which takes"
        f" {fewest_images(alpha)}: the threshold is the highest held-out score, which promises"
        f" {calibration.rate(alpha):.1%}",
    )
