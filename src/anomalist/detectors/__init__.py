"""The detectors: one contract, and one file a method."""

from __future__ import annotations

import importlib
import pkgutil
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalist.detectors.base import Detector, FeatureBatches, presets
from anomalist.detectors.model_file import read_model
from anomalist.errors import ModelFileError

if TYPE_CHECKING:
    from anomalist.detectors.cfa import CFA
    from anomalist.detectors.dfm import DFM
    from anomalist.detectors.ensemble import Ensemble
    from anomalist.detectors.glass import GLASS
    from anomalist.detectors.padim import PaDiM
    from anomalist.detectors.patchcore import PatchCore
    from anomalist.detectors.spade import SPADE

# Every file of this package that holds a detector registers it by being there.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

DETECTORS: dict[str, type[Detector]] = {
    detector.name: detector
    for detector in sorted(Detector.__subclasses__(), key=lambda d: d.name)
    if detector.__module__.startswith(__name__)
}
_CLASSES = {detector.__name__: detector for detector in DETECTORS.values()}


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return _CLASSES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(path: str | Path, *, device: str | None = None) -> Detector:
    """Read any saved detector.

    Parameters
    ----------
    path : str or Path
        A file that a detector's ``save`` wrote.
    device : str, optional
        Where to run, instead of the device that it was fitted with.

    Raises
    ------
    ModelFileError
        If it is no such file, or a damaged one.
    ParameterError
        If this machine doesn't have the given device.
    """
    header, tensors = read_model(path)
    name = header.get("detector")
    if not isinstance(name, str) or name not in DETECTORS:
        raise ModelFileError(
            f"{path} holds a detector {reprlib.repr(name)} that this anomalist doesn't know"
        )
    return DETECTORS[name].rebuild(path, header, tensors, device)


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
