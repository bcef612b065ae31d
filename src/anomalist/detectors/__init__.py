"""The detectors: one contract, and one file a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anomalist.detectors.base import Detector
from anomalist.detectors.batches import FeatureBatches
from anomalist.detectors.registry import DETECTORS, add_installed, load
from anomalist.detectors.settings import presets

if TYPE_CHECKING:
    from anomalist.detectors.cfa import CFA
    from anomalist.detectors.dfm import DFM
    from anomalist.detectors.ensemble import Ensemble
    from anomalist.detectors.glass import GLASS
    from anomalist.detectors.padim import PaDiM
    from anomalist.detectors.patchcore import PatchCore
    from anomalist.detectors.spade import SPADE

_CLASSES = {detector.__name__: detector for detector in DETECTORS.values()}


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return _CLASSES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "CFA",
    "DETECTORS",
    "DFM",
    "GLASS",
    "SPADE",
    "Detector",
    "Ensemble",
    "FeatureBatches",
    "PaDiM",
    "PatchCore",
    "load",
    "presets",
]

add_installed(DETECTORS)
