"""The detectors: one contract, and one file a method."""

import importlib
import pkgutil
from pathlib import Path

from anomalist.detectors.base import Detector, FeatureBatches, presets, read_model
from anomalist.errors import ModelFileError

# Every file of this package that holds a detector registers it by being there.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

DETECTORS: dict[str, type[Detector]] = {
    detector.name: detector
    for detector in sorted(Detector.__subclasses__(), key=lambda d: d.name)
    if detector.__module__.startswith(__name__)
}

from anomalist.detectors.patchcore import PatchCore  # noqa: E402


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
        If it is no such file.
    """
    name = read_model(path)[0].get("detector")
    if name not in DETECTORS:
        raise ModelFileError(f"{path} holds a detector {name!r} that this anomalist doesn't know")
    return DETECTORS[name].load(path, device=device)


__all__ = ["DETECTORS", "Detector", "FeatureBatches", "PatchCore", "load", "presets"]
