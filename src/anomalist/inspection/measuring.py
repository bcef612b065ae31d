"""How well a model does on images that are known to be good or defective."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from anomalist.benchmark.decisions import calibrated_metrics
from anomalist.calibration import fewest_images
from anomalist.conditions import Conditions
from anomalist.data import ImageSet, gather_mask_remarks, gather_remarks, open_dataset
from anomalist.data.names import plural
from anomalist.detectors import Detector
from anomalist.errors import DataError
from anomalist.features import FeatureStore, Progress
from anomalist.files import write_text
from anomalist.inspection.copies import NearCopies
from anomalist.inspection.findings import Rule
from anomalist.inspection.pages import write_evaluation_page
from anomalist.inspection.parts import understand, unseen
from anomalist.metrics import EvaluatedAt, Evaluation, Metrics, extra_limits
from anomalist.metrics.evaluation import metric_rows
from anomalist.predictions import Predictions
from anomalist.report import metrics_csv, where_pixels
from anomalist.report.browser import check_page


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured, over all thresholds and at the one that good images gave.

    Parameters
    ----------
    metrics : Metrics
        With intervals.
    calibrated : dict of str to float or None
        F1 and false-alarm rate at the calibrated thresholds.
    intervals : dict of str to (float, float)
        95 % bootstrap intervals over images, of all that has one.
    alarms : dict of str to (int, int)
        By kind of defect, ``good`` included: images above the threshold, and images. Empty without
        a threshold.
    alpha : float or None
        The false-alarm rate that the thresholds are for; None where there are none.
    notes : tuple of str
        What a reader must know.
    conditions : dict
        Whether the images are like those that the threshold's promise is for, see
        `~anomalist.conditions.Conditions.as_dict`.
    near_copies : NearCopies, optional
        Images that look like ones that the model learnt from; None where it keeps no pictures.
    """

    metrics: Metrics
    calibrated: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    alarms: dict[str, tuple[int, int]]
    alpha: float | None
    notes: tuple[str, ...] = ()
    conditions: dict[str, Any] = field(default_factory=dict)
    near_copies: NearCopies | None = None

    def values(self) -> dict[str, float | None]:
        """Return the metrics by name, and ``recall_<kind>`` of each kind of defect."""
        recall = {f"recall_{k}": a / n for k, (a, n) in self.alarms.items() if k != "good"}
        return {**self.metrics.as_dict(), **self.calibrated, **recall}

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values: the `values`, and what else is printed."""
        fields: dict[str, Any] = {
            **self.values(),
            "evaluated_at": self.metrics.evaluated_at,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
        }
        if self.alpha is not None:
            fields["alarms"] = {
                k: {"above_threshold": a, "images": n} for k, (a, n) in self.alarms.items()
            }
            near = None if self.near_copies is None else self.near_copies.as_dict()
            fields |= {"alpha": self.alpha, "conditions": self.conditions, "near_copies": near}
        return {**fields, "notes": list(self.notes)}

    def write(self, out: str | Path) -> list[Path]:
        """Write ``metrics.json`` and ``metrics.csv`` in a folder and return where they are.

        Where there are near copies, ``near_copies.png`` shows them; else there is none.
        """
        out = Path(out)
        text = json.dumps(self.as_dict(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        write_text(out / "metrics.json", text)
        write_text(out / "metrics.csv", metrics_csv(self.values()))
        picture = out / "near_copies.png"
        picture.unlink(missing_ok=True)  # of earlier images
        drawn = [] if self.near_copies is None else self.near_copies.write(picture)
        return [out / "metrics.json", out / "metrics.csv", *drawn]

    def __str__(self) -> str:
        metrics = self.metrics.as_dict() | self.calibrated
        width = max(map(len, metrics))
        lines = [f"{'metric':<{width}}   value  95 % interval"]
        lines += metric_rows(metrics, self.intervals, width=width)
        if self.metrics.pixel_AUROC is not None:
            lines.append(where_pixels([("", self.metrics.evaluated_at)]))
        if self.alarms:
            lines.append(f"at the threshold for a false-alarm rate of {self.alpha:g}:")
            for kind, (above, images) in self.alarms.items():
                word = "false alarms" if kind == "good" else "found"
                lines.append(f"  {kind:<20}  {above} of {images} {word}")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


def measure(
    predictions: Predictions,
    detector: Detector,
    alpha: float | None = None,
    notes: tuple[str, ...] = (),
    evaluate_at: EvaluatedAt = "original",
    pro_limits: Iterable[float] = (),
    *,
    near_copies: NearCopies | None = None,
) -> Measured:
    """Measure predictions of a detector on labelled images.

    Parameters
    ----------
    predictions : Predictions
        With labels and kinds of defect.
    detector : Detector
        The one that made them.
    alpha : float, optional
        False-alarm rate of the thresholds; by default that for which the detector was fitted.
    notes : tuple of str
        What else a reader must know.
    evaluate_at : {"original", "input"}
        Where pixels are compared, see `~anomalist.metrics.evaluate`.
    pro_limits : iterable of float
        Up to which PRO is measured, besides 0.3.
    near_copies : NearCopies, optional
        What of the images looks like ones that the detector learnt from.
    """
    if alpha is None:
        alpha = detector.alpha_
    evaluation = Evaluation(predictions, evaluate_at, pro_limits)
    decisions = calibrated_metrics(evaluation, detector.calibration_, alpha)
    alarms: dict[str, tuple[int, int]] = {}
    rule = Rule.of(detector, alpha=alpha)
    if rule.threshold is not None:
        above = predictions.scores > rule.threshold
        kinds = np.array(predictions.defects or [""] * len(predictions))
        for kind in sorted(set(kinds.tolist()), key=lambda k: (k != "good", k)):
            alarms[kind] = int(above[kinds == kind].sum()), int((kinds == kind).sum())
    conditions = Conditions.of(detector, rule)
    conditions.add(predictions)
    metrics = evaluation.metrics(intervals=True)
    return Measured(
        metrics,
        decisions.values,
        {**metrics.intervals, **decisions.intervals},
        alarms,
        alpha,
        (
            *metrics.notes,
            *decisions.notes,
            *gather_mask_remarks(predictions.images),
            *notes,
            *(() if near_copies is None else near_copies.notes()),
            *conditions.notes(),
        ),
        conditions.as_dict(),
        near_copies,
    )


def evaluate_model(
    detector: Detector,
    data: str | Path,
    *,
    category: str | None = None,
    format: str | None = None,
    good: Iterable[str | Path] = (),
    bad: Iterable[str | Path] = (),
    masks: Iterable[str | Path] = (),
    exclude: Iterable[str | Path] = (),
    alpha: float | None = None,
    evaluate_at: EvaluatedAt = "original",
    pro_limits: Iterable[float] = (),
    page: str | Path | None = None,
    measured: Callable[[Measured], object] | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Measure a model on a folder of good and defective images.

    Of a data set with a split, its test images are measured; of a plain folder all. Images that
    the model knows by their bytes, from its training, are left out, and a note says how many.

    Parameters
    ----------
    detector : Detector
        Fitted.
    data : str or Path
        A folder in a layout that `~anomalist.data.open_dataset` knows.
    category : str, optional
        Which, where there are several.
    format, good, bad, masks, exclude
        What `~anomalist.data.open_dataset` takes.
    alpha : float, optional
        False-alarm rate of the thresholds; by default that for which the detector was fitted.
    evaluate_at : {"original", "input"}
        Where pixels are compared: at the size of each mask, or at the resolution of the detector's
        input; see `~anomalist.metrics.evaluate`.
    pro_limits : iterable of float
        False positive rates up to which PRO is measured too, besides 0.3.
    page : str or Path, optional
        A folder for a page to look through the images with, see `~anomalist.report.write_page`.
    measured : callable, optional
        Called with what was measured, before the page is written.
    progress : callable, optional
        Called with the number of images done and the total.

    Raises
    ------
    DataError
        If there is no image to measure on, or one can't be read.
    ResultsError
        If another ``index.html`` lies in the folder of the page.
    """
    if page is not None:
        check_page(page)
    if alpha is not None:
        fewest_images(alpha)  # refuses one that makes no sense before any work is done
    pro_limits = extra_limits(pro_limits)
    dataset = open_dataset(data, format=format, good=good, bad=bad, masks=masks, exclude=exclude)
    found = understand(dataset, category)
    images, notes = found.test, list(found.notes)
    known = detector.summary_.get("known_images")
    if known is not None:
        if not found.is_split:
            images = ImageSet([*found.train, *found.test], found.test.name)
        new = unseen(images, known)
        if len(new) < len(images):
            left = plural(len(images) - len(new), "image")
            notes.append(f"not measured: {left} that the model was fitted to or told to leave out")
        images = new
    if len(images) == 0:
        raise DataError(f"{data} has no image that the model wasn't fitted to: nothing to measure")
    predictions = detector.predict(images, store=FeatureStore(), progress=progress)
    notes += gather_remarks(images, bit_depth=detector.transform.bit_depth)
    copies = NearCopies.of_model(detector, images)
    found_out = measure(
        predictions,
        detector,
        alpha,
        tuple(notes),
        evaluate_at,
        pro_limits,
        near_copies=copies,
    )
    if measured is not None:
        measured(found_out)
    if page is not None:
        write_evaluation_page(
            page,
            predictions,
            detector,
            Rule.of(detector, alpha=alpha),
            title=f"Evaluated: {images.name or Path(data).name}",
            metrics=found_out.values(),
            notes=found_out.notes,
        )
    return found_out
