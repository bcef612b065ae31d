"""From a run that is done to its record: metrics, curves, what each image got, the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import anomalist
from anomalist.benchmark.decisions import calibrated_metrics
from anomalist.benchmark.models import Fitted
from anomalist.benchmark.official import official_limits, official_metrics
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.resources import environment
from anomalist.benchmark.tasks import Task
from anomalist.calibration import (
    Calibration,
)
from anomalist.conditions import Conditions, Promise
from anomalist.data import Category, gather_mask_remarks, gather_remarks, part_of
from anomalist.data.names import plural
from anomalist.metrics import Evaluation
from anomalist.metrics.classification import pr_points, roc_points, thin
from anomalist.metrics.pro import pro_points
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
    dataset = part_of(task.dataset, task.category)[0].name
    limits = official_limits(dataset, task.asked.pro_limits)
    evaluation = Evaluation(predictions, task.asked.evaluate_at, limits)
    metrics = evaluation.metrics(intervals=True)
    decisions = calibrated_metrics(evaluation, detector.calibration_, alpha)
    conditions = _conditions(done)
    official = official_metrics(dataset, evaluation, detector.calibration_)
    own = {metric.name: metric(predictions) for metric in task.asked.metrics}
    chosen = getattr(detector, "chosen_", detector)
    parts = getattr(chosen, "members_", [chosen])
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
        metrics={**metrics.as_dict(), **decisions.values, **official.values, **own},
        intervals={**metrics.intervals, **decisions.intervals, **official.intervals},
        notes=(
            *metrics.notes,
            *decisions.notes,
            *_scene_notes(detector.calibration_),
            *(f"{task.name}: {note}" for note in conditions.notes()),
            *official.notes,
            *(f"no {name}: it gave no finite number" for name, v in own.items() if v is None),
            *_split_notes(fitted),
            *_choice_notes(fitted, task.name),
            *gather_mask_remarks(category.test),
            *task.notes,
            *told,
        ),
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
        evaluated_at=metrics.evaluated_at,
        environment=environment(),
        configuration=task.configuration,
        calibration=calibration_summary(detector.calibration_, alpha),
        conditions=_anywhere(conditions.as_dict()),
        curves=curves(evaluation),
        images=image_rows(evaluation, category, detector.calibration_, decisions.found),
        epochs=fitted.epochs,
        command=task.command,
        finished=now(),
    )


def _conditions(done: Done) -> Conditions:
    """Hold the good test images against the training images."""
    detector = done.fitted.detector
    sizes = dict.fromkeys(sample.size()[::-1] for sample in done.category.train)
    promise = Promise.of(detector, done.task.asked.alpha)
    conditions = Conditions.of(detector, promise, sizes=sizes)
    conditions.add(done.predictions)
    return conditions


def _anywhere(conditions: dict[str, Any]) -> dict[str, Any]:
    """The same with the path that means the same anywhere."""
    if conditions["shift"] is not None and (since := conditions["shift"]["since"]) is not None:
        since["path"] = "/".join(Path(since["path"]).parts[-2:])
    return conditions


def _split_notes(fitted: Fitted) -> list[str]:
    """Say that not all training images were learnt from."""
    if not fitted.split:
        return []
    calibration = fitted.detector.calibration_
    method = "" if calibration is None else calibration.method
    return [f"calibrated on {method}; --split 0 fits to all images"]


def _choice_notes(fitted: Fitted, name: str) -> list[str]:
    """Say what was chosen by a detector that chooses itself, and what the time was enough for."""
    choice = fitted.detector.summary_.get("choice")
    if choice is None:
        return []
    told = f"{name} chose {choice['chosen']} among {len(choice['candidates'])} candidates"
    return ["; ".join([told, *choice["notes"]])]


def calibration_summary(calibration: Calibration | None, alpha: float) -> dict[str, Any]:
    """Return what a record keeps of a calibration: thresholds, the scale of pictures, scores."""
    if calibration is None:
        return {"alpha": alpha}
    low, high = calibration.pixel_range(alpha)
    return {
        "alpha": alpha,
        "method": calibration.method,
        "scenes": calibration.scenes,
        "retrained": calibration.retrained,
        "rate": calibration.rate(alpha),
        "image_threshold": calibration.threshold(alpha),
        "pixel_threshold": calibration.pixel_threshold(alpha),
        "pixel_low": low,
        "pixel_high": high,
        "scores": [float(score) for score in calibration.scores],
    }


def _scene_notes(calibration: Calibration | None) -> list[str]:
    """Say what is promised where the images that calibrate aren't independent."""
    if calibration is None or calibration.scenes == len(calibration.scores):
        return []
    scenes = plural(calibration.scenes, "independent scene")
    images = len(calibration.scores)
    return [f"{images} training images, about {scenes}: what thresholds promise is for those"]


def curves(evaluation: Evaluation) -> dict[str, dict[str, list[float]]]:
    """Return the curves that the truth allows, each as at most 200 points."""
    found = {}
    if (images := evaluation.image_summary) is not None:
        found["roc"] = thin(*roc_points(images.outline), _POINTS)
        found["pr"] = thin(*pr_points(images.outline), _POINTS)
    if (pixels := evaluation.pixel_summary) is not None:
        found["pixel_roc"] = thin(*roc_points(pixels.outline), _POINTS)
        found["pixel_pr"] = thin(*pr_points(pixels.outline), _POINTS)
        fpr, overlap = pro_points(pixels.outline)
        inside = fpr <= FPR_LIMIT
        found["pro"] = thin(fpr[inside], overlap[inside], _POINTS)
    return {name: {"x": x.tolist(), "y": y.tolist()} for name, (x, y) in found.items()}


def image_rows(
    evaluation: Evaluation,
    category: Category,
    calibration: Calibration | None,
    found: npt.NDArray[np.int64] | None,
) -> list[dict[str, Any]]:
    """Return what the report needs of every test image, with paths that mean the same anywhere.

    ``found`` are the defective pixels of each that are above the threshold.
    """
    predictions, pixels = evaluation.predictions, evaluation.pixels
    overlap = evaluation.per_image_overlap
    p_values = None if calibration is None else calibration.p_values(predictions.scores)
    rows = []
    names = _short_names(predictions.paths)
    for i, (name, sample) in enumerate(zip(names, category.test, strict=True)):
        marked = 0 if pixels is None else int(pixels.n_positive[i])
        spread = predictions.disagreement
        rows.append(
            {
                "path": name,
                "defect": sample.defect,
                "label": sample.label,
                "score": float(predictions.scores[i]),
                "p_value": None if p_values is None else float(p_values[i]),
                "disagreement": None if spread is None else float(spread[i]),
                "defect_area": float(marked / pixels.n_pixels[i])
                if pixels is not None and marked
                else None,
                "recall": float(found[i] / marked) if found is not None and marked else None,
                "aupimo": float(overlap.scores[i]) if overlap is not None and marked else None,
            }
        )
    return rows


def _short_names(paths: Sequence[str | Path]) -> list[str]:
    """The last parts of paths, at least folder and file, as many as tell all of them apart."""
    parts = [Path(path).parts for path in paths]
    for count in range(2, max(map(len, parts), default=2)):
        names = ["/".join(of[-count:]) for of in parts]
        if len(set(names)) == len(names):
            return names
    return [Path(path).as_posix() for path in paths]
