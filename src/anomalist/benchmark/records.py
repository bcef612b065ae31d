"""The run store: one JSON record a run, whole or absent, from which every table is made."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from anomalist.detectors import Detector
from anomalist.errors import DataError
from anomalist.features import find_weights
from anomalist.files import write_text
from anomalist.metrics import CALIBRATED_NAMES, METRIC_NAMES


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What one detector did on one category with one seed, and all that is needed to repeat it.

    Parameters
    ----------
    detector, category, seed
        Which run it was.
    backbone, weights_sha256, parameters, transform
        What was run.
    metrics, intervals, notes
        Metrics as fractions (None where undefined, with the reason in the notes) and their 95 %
        bootstrap intervals over images. Those of `CALIBRATED_NAMES` are at the thresholds that good
        training images gave.
    train_images, test_images
        Counts.
    fit_seconds, calibrate_seconds, predict_seconds, images_per_second, peak_memory_mb
        Cost. Images per second are those of predict. An ensemble's fit counts its members' fit and
        calibration at what they cost, also where another run of the benchmark had done them.
    config_hash, data_hash, version, environment
        SHA-256 of the settings and of the images' bytes, the version of anomalist, and the
        versions and the machine that it ran on.
    calibration
        Target false-alarm rate ``alpha``, thresholds (None where training images are too few), the
        map values that pictures show as nothing and as the threshold, and the held-out scores.
    curves
        ``roc``, ``pr``, ``pixel_roc``, ``pixel_pr`` and ``pro`` as ``x`` and ``y``, thinned.
    images
        Of every test image the path relative to the data set, kind of defect, label, score,
        p-value, disagreement of an ensemble's members in its scores, the defect's share of the
        picture, and the share of it that lies above the pixel threshold.
    epochs
        Of a training that was looked at on the test set: ``epoch`` and the metrics after it.
    command
        The command line that asked for it.
    """

    detector: str
    category: str
    seed: int
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
    calibration: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, float | None]] = field(default_factory=list)
    command: str | None = None

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
        }


class RunStore:
    """The records below one results folder.

    Parameters
    ----------
    out : str or Path
        The results folder; records lie in its folder ``runs``.
    """

    def __init__(self, out: str | Path) -> None:
        self.folder = Path(out) / "runs"

    def path(self, detector: str, category: str, seed: int) -> Path:
        """Return where the record of a run lies."""
        return self.folder / detector / f"{category}_seed{seed}.json"

    def write(self, record: RunRecord) -> None:
        """Write a record, whole or not at all."""
        path = self.path(record.detector, record.category, record.seed)
        write_text(path, json.dumps(dataclasses.asdict(record), indent=1, allow_nan=False) + "\n")

    def read(self, path: Path) -> RunRecord:
        """Read one record.

        Raises
        ------
        DataError
            If the file is no record.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            hints = typing.get_type_hints(RunRecord)
            if not all(_fits(value, hints[name]) for name, value in values.items()):
                raise ValueError("a value is of another type")
            values["notes"] = tuple(values["notes"])
            values["intervals"] = {k: tuple(v) for k, v in values["intervals"].items()}
            record = RunRecord(**values)
            if self.path(record.detector, record.category, record.seed) != path:
                raise ValueError("it is of another run")
            return record
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{path} isn't a run record of this version: delete it, and the run is done again"
            ) from error

    def find(
        self,
        detector: str,
        category: str,
        seed: int,
        config_hash: str,
        data_hash: str,
        version: str,
    ) -> RunRecord | None:
        """Return the record of a run if it was made with the same settings, data and version."""
        path = self.path(detector, category, seed)
        try:
            record = self.read(path)
        except DataError:
            return None
        same = (record.config_hash, record.data_hash, record.version)
        return record if same == (config_hash, data_hash, version) else None

    def records(self) -> list[RunRecord]:
        """Return all records, ordered by detector, category and seed."""
        found = [self.read(path) for path in self.folder.glob("*/*_seed*.json")]
        return sorted(found, key=lambda r: (r.detector, r.category, r.seed))


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
    return pd.DataFrame([record.row() for record in records])


def config_hash(detector: Detector, *, oracle: bool = False, **asked: Any) -> str:
    """Return the SHA-256 of all that decides a detector's results, apart from data and seed.

    The weights count by their content, not by where they lie; ``oracle`` for detectors that are
    trained epoch by epoch; what else was ``asked`` of a run counts as it is.

    Examples
    --------
    >>> from anomalist import PatchCore
    >>> config_hash(PatchCore(seed=1)) == config_hash(PatchCore(seed=2, batch_size=1))
    True
    >>> config_hash(PatchCore()) == config_hash(PatchCore(image_size=320))
    False
    """
    values = _decisive(detector) | asked
    if oracle and detector.trained:
        values["oracle"] = True
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _decisive(detector: Detector) -> dict[str, Any]:
    """The settings that decide a result; those of an ensemble with its members'."""
    values = detector.parameters()
    for name in ("seed", "weights", *detector.cost_only):
        values.pop(name, None)
    values["detector"] = detector.name
    values["weights_sha256"] = find_weights(detector.backbone, detector.weights).sha256
    if detector.components() != [detector]:
        values["members"] = [
            {**_decisive(part), "seed": part.seed - detector.seed} for part in detector.components()
        ]
    return values
