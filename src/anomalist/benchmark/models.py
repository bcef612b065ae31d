"""Fitted detectors that a benchmark keeps, for ensembles that come later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anomalist.benchmark.records import config_hash
from anomalist.data import ImageSet
from anomalist.detectors import Detector
from anomalist.errors import ModelFileError
from anomalist.files import atomic_path
from anomalist.predictions import Predictions


@dataclass
class Fitted:
    """A fitted detector, how it scores good images that it hadn't seen, and what that cost."""

    detector: Detector
    held_out: Predictions | None
    fit_seconds: float
    calibrate_seconds: float
    peak_memory_mb: float
    epochs: list[dict[str, float | None]]


class ModelStore:
    """Fitted and calibrated detectors below ``OUT/models``, with their held-out predictions.

    Parameters
    ----------
    out : str or Path
        The results folder.
    data : mapping
        Hash of the images of each category.
    """

    def __init__(self, out: str | Path, data: Mapping[str, str]) -> None:
        self._folder = Path(out) / "models"
        self._data = data

    def keep(self, fitted: Fitted, category: str) -> None:
        """Write a detector and its held-out predictions."""
        assert fitted.held_out is not None
        path = self._path(fitted.detector, category)
        fitted.detector.save(path)
        what = {
            **self._identity(fitted.detector, category),
            "fit_seconds": fitted.fit_seconds,
            "calibrate_seconds": fitted.calibrate_seconds,
            "peak_memory_mb": fitted.peak_memory_mb,
            "epochs": fitted.epochs,
        }
        held_out = fitted.held_out
        # Last, so that whatever has this file is whole.
        with atomic_path(path.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
            np.savez(file, scores=held_out.scores, maps=held_out.maps, what=json.dumps(what))

    def find(self, detector: Detector, category: str, good: ImageSet) -> Fitted | None:
        """Return what was kept of these settings, seed and images, if anything was."""
        path = self._path(detector, category)
        try:
            with np.load(path.with_suffix(".npz")) as arrays:
                what = json.loads(str(arrays["what"]))
                for key, value in self._identity(detector, category).items():
                    if what.pop(key) != value:
                        return None
                held_out = Predictions(
                    good.paths,
                    arrays["scores"],
                    arrays["maps"],
                    good.labels,
                    None,
                    good.defects,
                )
            return Fitted(type(detector).load(path, device=detector.device), held_out, **what)
        except (OSError, ValueError, KeyError, ModelFileError):
            return None

    def _identity(self, detector: Detector, category: str) -> dict[str, object]:
        return {"config": config_hash(detector), "data": self._data[category]}

    def _path(self, detector: Detector, category: str) -> Path:
        return self._folder / detector.label / f"{category}_seed{detector.seed}.anomalist"
