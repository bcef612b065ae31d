"""The record of a run: what one detector did on one category with one seed, as plain data."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from anomalist.metrics import CALIBRATED_NAMES, METRIC_NAMES, other_metrics
from anomalist.origins import named


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What one detector did on one category with one seed, and all that is needed to repeat it.

    Parameters
    ----------
    detector, category, seed
        Which run it was; ``detector`` is the name that it was given in the benchmark.
    method
        The detector's own name, such as ``patchcore``, whatever it is called.
    backbone, weights_sha256, parameters, transform
        What was run.
    metrics, intervals, notes
        Metrics as fractions (None where undefined, with the reason in the notes) and their 95 %
        bootstrap intervals over images. Those of `CALIBRATED_NAMES` are at the thresholds that good
        training images gave.
    evaluated_at
        Where pixel metrics are measured: ``original``, at the size of each mask, or ``input``, at
        the resolution of the detector's input, as those of all early records are.
    train_images, test_images
        Counts.
    fit_seconds, calibrate_seconds, predict_seconds, images_per_second, peak_memory_mb
        Cost. Images per second are those of predict. An ensemble's fit counts its members' fit and
        calibration at what they cost, also where another run of the benchmark had done them.
    config_hash, data_hash, version, environment
        SHA-256 of the configuration and of the images' bytes, the version of anomalist, and the
        versions and the machine that it ran on.
    configuration
        What ``config_hash`` is of.
    calibration
        Target false-alarm rate ``alpha``, the ``rate`` that is promised, which is higher where
        training images are few, thresholds, the map values that pictures show as nothing and as
        the threshold, and the held-out scores.
    conditions
        Whether good test images are like the training images, for which thresholds promise
        something; see `~anomalist.conditions.Conditions`. Empty in early records.
    curves
        ``roc``, ``pr``, ``pixel_roc``, ``pixel_pr`` and ``pro`` as ``x`` and ``y``, thinned.
    images
        Of every test image the path relative to the data set, kind of defect, label, score,
        p-value, disagreement of an ensemble's members in its scores, the defect's share of the
        picture, the share of it that lies above the pixel threshold, and its AUPIMO.
    epochs
        Of a training that was looked at on the test set: ``epoch`` and the metrics after it.
    repeats_seed
        The seed whose run it is a copy of, where the detector doesn't depend on the seed.
    command
        The command line that asked for it.
    finished
        When it was done, in ISO 8601, UTC.
    """

    detector: str
    category: str
    seed: int
    method: str
    backbone: str
    weights_sha256: str
    parameters: dict[str, Any]
    transform: dict[str, Any]
    metrics: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    notes: tuple[str, ...]
    train_images: int
    test_images: int
    fit_seconds: float
    calibrate_seconds: float
    predict_seconds: float
    images_per_second: float
    peak_memory_mb: float
    config_hash: str
    data_hash: str
    version: str
    environment: dict[str, Any]
    evaluated_at: str = "input"
    configuration: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, float | None]] = field(default_factory=list)
    repeats_seed: int | None = None
    command: str | None = None
    finished: str = ""

    @property
    def oracle(self) -> dict[str, float | None]:
        """What the epoch that is best on the test set would have given, as ``oracle_<metric>``.

        Best is, as in the official code of GLASS, that of the highest image plus pixel AUROC.
        """
        if not self.epochs:
            return {}
        best = max(self.epochs, key=lambda e: (e["image_AUROC"] or 0.0) + (e["pixel_AUROC"] or 0.0))
        metrics = {f"oracle_{name}": best[name] for name in METRIC_NAMES}
        return {"oracle_best_epoch": best["epoch"], **metrics}

    def row(self) -> dict[str, Any]:
        """Return the record's row of ``results.csv``."""
        return {
            "detector": self.detector,
            "category": self.category,
            "seed": self.seed,
            "backbone": self.backbone,
            **{name: self.metrics.get(name) for name in (*METRIC_NAMES, *CALIBRATED_NAMES)},
            **self.oracle,
            "fit_seconds": self.fit_seconds,
            "calibrate_seconds": self.calibrate_seconds,
            "predict_seconds": self.predict_seconds,
            "images_per_second": self.images_per_second,
            "peak_memory_mb": self.peak_memory_mb,
            "config_hash": self.config_hash,
            "data_hash": self.data_hash,
            "version": self.version,
            "evaluated_at": self.evaluated_at,
            **{name: self.metrics[name] for name in other_metrics(self.metrics)},
            **({} if self.repeats_seed is None else {"repeats_seed": self.repeats_seed}),
        }

    def to_json(self) -> str:
        """Return the record as text."""
        return named(json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False)) + "\n"

    @classmethod
    def from_json(cls, text: str, *, written: str) -> RunRecord:
        """Make it of the text that `to_json` gave.

        Parameters
        ----------
        text : str
            The text.
        written : str
            When it was written, for records that don't say when they were finished.

        Raises
        ------
        ValueError
            If the text is no record.
        """
        try:
            values = json.loads(text)
            # Early records lack these: then, detectors were called what they are.
            values.setdefault("method", values["detector"])
            values.setdefault("finished", written)
            hints = typing.get_type_hints(cls)
            if not all(_fits(value, hints[name]) for name, value in values.items()):
                raise ValueError("a value is of another type")
            values["notes"] = tuple(values["notes"])
            values["intervals"] = {k: tuple(v) for k, v in values["intervals"].items()}
            return cls(**values)
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError("it isn't a record") from error


def _fits(value: object, hint: Any) -> bool:
    """Whether a value that JSON gave is of a type that a hint describes."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return any(_fits(value, part) for part in parts)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(v, parts[1]) for v in value.values())
    if origin in (list, tuple):
        return isinstance(value, list) and all(_fits(v, parts[0]) for v in value)
    if hint is Any:
        return True
    return isinstance(value, int | float if hint is float else hint)


def results_frame(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Return the table of ``results.csv``: one row a detector, category and seed."""
    frame = pd.DataFrame([record.row() for record in records])
    return frame.astype({"repeats_seed": "Int64"}) if "repeats_seed" in frame else frame
