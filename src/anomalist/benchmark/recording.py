"""From a run that is done to its record: metrics, curves, what each image got, the machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import anomalist
from anomalist.benchmark.decisions import calibrated_metrics
from anomalist.benchmark.models import Fitted
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.resources import environment
from anomalist.benchmark.tasks import Task
from anomalist.calibration import Calibration
from anomalist.data import Category, gather_remarks
from anomalist.metrics import evaluate, pr_curve, pro_curve, roc_curve
from anomalist.metrics.classification import thin
from anomalist.metrics.ranking import FPR_LIMIT
from anomalist.predictions import Predictions

_POINTS = 200


@dataclass
class Done:
    """A task whose detector is fitted and has scored the test images."""

    task: Task
    category: Category
    fitted: Fitted
    predictions: Predictions
    predict_seconds: float
    peak_memory_mb: float


def now() -> str:
    """Return the time as records have it."""
    return datetime.now(UTC).isoformat()


def record_of(done: Done) -> RunRecord:
    """Measure what was predicted, and make the record."""
    task, category, fitted = done.task, done.category, done.fitted
    detector, predictions, alpha = fitted.detector, done.predictions, task.asked.alpha
    metrics = evaluate(predictions, intervals=True)
    decisions = calibrated_metrics(predictions, detector.calibration_, alpha)
    parts = getattr(detector, "members_", [detector])
    told = gather_remarks([*category.train, *category.test], bit_depth=detector.transform.bit_depth)
    return RunRecord(
        detector=task.name,
        category=task.category,
        seed=task.seed,
        method=detector.name,
        backbone="+".join(dict.fromkeys(part.backbone for part in parts)),
        weights_sha256="+".join(dict.fromkeys(part.backbone_.weights_sha256 for part in parts)),
        parameters=detector.parameters(),
        transform=detector.transform.as_dict(),
        metrics={**metrics.as_dict(), **decisions.values},
        intervals={**metrics.intervals, **decisions.intervals},
        notes=metrics.notes + decisions.notes + task.notes + tuple(told),
        train_images=len(category.train),
        test_images=len(category.test),
        fit_seconds=fitted.fit_seconds,
        calibrate_seconds=fitted.calibrate_seconds,
        predict_seconds=done.predict_seconds,
        images_per_second=len(category.test) / done.predict_seconds,
        peak_memory_mb=done.peak_memory_mb,
        config_hash=task.config_hash,
        data_hash=task.data_hash,
        version=anomalist.__version__,
        environment=environment(),
        configuration=task.configuration,
        calibration=calibration_summary(detector.calibration_, alpha),
        curves=curves(predictions),
        images=image_rows(predictions, category, detector.calibration_, alpha),
        epochs=fitted.epochs,
        command=task.command,
        finished=now(),
    )


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
