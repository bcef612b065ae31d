"""What a run's record holds of its predictions, beyond the seven metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from anomalist.calibration import Calibration, fewest_images
from anomalist.data import Category
from anomalist.metrics import (
    CALIBRATED_NAMES,
    f1_at,
    f1_interval,
    false_alarm_rate,
    pr_curve,
    pro_curve,
    roc_curve,
)
from anomalist.metrics.classification import thin
from anomalist.metrics.ranking import FPR_LIMIT
from anomalist.predictions import Predictions

_POINTS = 200


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


def calibration_summary(calibration: Calibration | None, alpha: float) -> dict[str, Any]:
    """Return what a record keeps of a calibration: thresholds, the scale of pictures, scores."""
    if calibration is None:
        return {"alpha": alpha}
    low, high = calibration.pixel_range(alpha)
    image, pixel = calibration.threshold(alpha), calibration.pixel_threshold(alpha)
    return {
        "alpha": alpha,
        "method": calibration.method,
        "image_threshold": image if np.isfinite(image) else None,
        "pixel_threshold": pixel if np.isfinite(pixel) else None,
        "pixel_low": low,
        "pixel_high": high,
        "scores": [float(score) for score in calibration.scores],
    }


def curves(predictions: Predictions) -> dict[str, dict[str, list[float]]]:
    """Return the curves that the truth allows, each as at most 200 points."""
    found = {}
    labels, masks = predictions.labels, predictions.masks
    if labels is not None and labels.any() and not labels.all():
        found["roc"] = roc_curve(predictions.scores, labels, max_points=_POINTS)
        found["pr"] = pr_curve(predictions.scores, labels, max_points=_POINTS)
    if masks is not None and masks.any() and not masks.all():
        found["pixel_roc"] = roc_curve(predictions.maps, masks, max_points=_POINTS)
        found["pixel_pr"] = pr_curve(predictions.maps, masks, max_points=_POINTS)
        fpr, overlap = pro_curve(predictions.maps, masks)
        inside = fpr <= FPR_LIMIT
        found["pro"] = thin(fpr[inside], overlap[inside], _POINTS)
    return {
        name: {"x": np.round(x, 6).tolist(), "y": np.round(y, 6).tolist()}
        for name, (x, y) in found.items()
    }


def image_rows(
    predictions: Predictions, category: Category, calibration: Calibration | None, alpha: float
) -> list[dict[str, Any]]:
    """Return what the report needs of every test image, with paths that mean the same anywhere."""
    threshold = np.inf if calibration is None else calibration.pixel_threshold(alpha)
    p_values = None if calibration is None else calibration.p_values(predictions.scores)
    rows = []
    for i, (path, sample) in enumerate(zip(predictions.paths, category.test, strict=True)):
        path = Path(path)
        mask = None if predictions.masks is None else predictions.masks[i]
        marked = mask is not None and bool(mask.any())
        spread = predictions.disagreement
        rows.append(
            {
                "path": f"{path.parent.name}/{path.name}",
                "defect": sample.defect,
                "label": sample.label,
                "score": float(predictions.scores[i]),
                "p_value": None if p_values is None else float(p_values[i]),
                "disagreement": None if spread is None else float(spread[i]),
                "defect_area": float(mask.mean()) if mask is not None and marked else None,
                "recall": float((predictions.maps[i][mask] > threshold).mean())
                if marked and np.isfinite(threshold)
                else None,
            }
        )
    return rows
