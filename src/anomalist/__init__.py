"""anomalist finds defects in images after seeing only good ones."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomalist.calibration import Calibration
    from anomalist.data import Folder, ImageSet, MVTecAD, VisA, open_dataset
    from anomalist.detectors import (
        CFA,
        DETECTORS,
        DFM,
        GLASS,
        SPADE,
        Detector,
        Ensemble,
        PaDiM,
        PatchCore,
        load,
    )
    from anomalist.errors import AnomalistError
    from anomalist.features import FeatureStore
    from anomalist.metrics import Metrics, evaluate
    from anomalist.predictions import Predictions

# Threads of OpenMP that wait for work burn a processor by default, which on a shared or small
# machine slows everything else many times over. It counts if torch isn't imported yet.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

__all__ = [
    "CFA",
    "DETECTORS",
    "DFM",
    "GLASS",
    "SPADE",
    "AnomalistError",
    "Calibration",
    "Detector",
    "Ensemble",
    "FeatureStore",
    "Folder",
    "ImageSet",
    "MVTecAD",
    "Metrics",
    "PaDiM",
    "PatchCore",
    "Predictions",
    "VisA",
    "evaluate",
    "load",
    "open_dataset",
]

_PACKAGES = ("calibration", "data", "detectors", "errors", "features", "metrics", "predictions")


def __getattr__(name: str) -> Any:
    # Names are imported when they are asked for: torch takes seconds that a --help need not wait.
    if not name.startswith("_"):
        for package in _PACKAGES:
            module = importlib.import_module(f"anomalist.{package}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'anomalist' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
