"""Which detectors there are: those of this package, and those that other packages bring."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import reprlib
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from anomalist.detectors.base import Detector
from anomalist.errors import ModelFileError
from anomalist.models import read_model
from anomalist.storage import on_disk

GROUP = "anomalist.detectors"
"""The entry points by which an installed package brings detectors: ``name = module:Class``."""


def _own() -> dict[str, type[Detector]]:
    """All detectors of this package: every file that holds one."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")
    own = [
        d
        for d in _descendants(Detector)  # type: ignore[type-abstract]
        if d.__module__.startswith(f"{__package__}.")
    ]
    return {d.name: d for d in sorted(own, key=lambda d: d.name)}


def add_installed(detectors: dict[str, type[Detector]]) -> None:
    """Add what other packages bring, once what they import of this one is there.

    One that can't be used, as it fails on import, is no detector or takes another's name, is left
    out with a warning that says whose it is.
    """
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            detector = _loaded(entry)
            if detectors.setdefault(detector.name, detector) is not detector:
                raise TypeError(f"there is a detector {detector.name!r} already")
        except Exception as error:  # whatever another package does must not stop this one
            whose = f" of {entry.dist.name}" if entry.dist is not None else ""
            warnings.warn(
                f"the detector {entry.name!r}{whose} ({entry.value}) can't be used: {error}",
                stacklevel=2,
            )


def _descendants(detector: type[Detector]) -> Iterator[type[Detector]]:
    """Subclasses, and theirs, that name themselves and can be made."""
    for subclass in detector.__subclasses__():
        if "name" in vars(subclass) and not inspect.isabstract(subclass):
            yield subclass
        yield from _descendants(subclass)


def _loaded(entry: EntryPoint) -> type[Detector]:
    detector = entry.load()
    if not (inspect.isclass(detector) and issubclass(detector, Detector)):
        raise TypeError("it is no subclass of anomalist.Detector")
    if inspect.isabstract(detector):
        missing = ", ".join(sorted(detector.__abstractmethods__))
        raise TypeError(f"it lacks {missing}")
    if detector.name != entry.name:
        raise TypeError(f"it calls itself {detector.name!r}")
    return detector


def load(path: str | Path, *, device: str | None = None) -> Detector:
    """Read any saved detector.

    Parameters
    ----------
    path : str or Path
        A file that a detector's ``save`` wrote, or its address.
    device : str, optional
        Where to run, instead of the device that it was fitted with.

    Raises
    ------
    ModelFileError
        If it is no such file, or a damaged one.
    ParameterError
        If this machine doesn't have the given device.
    """
    path = on_disk(path)
    header, tensors = read_model(path)
    name = header.get("detector")
    if not isinstance(name, str) or name not in DETECTORS:
        raise ModelFileError(
            f"{path} holds a detector {reprlib.repr(name)} that this anomalist doesn't know: update"
            " anomalist, or install the package that brings it"
        )
    return DETECTORS[name].rebuild(path, header, tensors, device)


DETECTORS = _own()
"""All detectors by name."""
