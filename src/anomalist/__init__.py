"""anomalist finds defects in images after seeing only good ones."""

import os

# What the command loads before it listens to a Ctrl-C is no more than this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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

# Names are imported when they are asked for: torch takes seconds that a --help need not wait.
_HOMES = {
    "CFA": "detectors",
    "DETECTORS": "detectors",
    "DFM": "detectors",
    "GLASS": "detectors",
    "SPADE": "detectors",
    "AnomalistError": "errors",
    "Calibration": "calibration",
    "Detector": "detectors",
    "Ensemble": "detectors",
    "FeatureStore": "features",
    "Folder": "data",
    "ImageSet": "data",
    "MVTecAD": "data",
    "Metrics": "metrics",
    "PaDiM": "detectors",
    "PatchCore": "detectors",
    "Predictions": "predictions",
    "VisA": "data",
    "evaluate": "metrics",
    "load": "detectors",
    "open_dataset": "data",
}


def __getattr__(name: str) -> "Any":
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"anomalist.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'anomalist' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
