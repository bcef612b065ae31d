"""Names of detectors in a benchmark: by them tables, files and folders are grouped."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import anomalist
from anomalist.benchmark.configuration import differences, hash_of
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.tasks import Asked
from anomalist.detectors import Detector
from anomalist.errors import ParameterError

# Bytes; most file systems take 255 a name, encrypted ones less.
_LONGEST = 140
_TOLD = 3
_MARKS = " _+-.,()"
# What a results folder holds beside the folders that are called after detectors.
_OWN = {
    *("runs", "models", "pictures", "stress", "report.html", "stress.csv"),
    *("scores.csv", "curves.csv", "compact.md", "compact.tex"),
    *(f"results.{suffix}" for suffix in ("csv", "json", "md", "parquet", "tex")),
}
# Windows takes these for devices.
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{d}{i}" for d in ("com", "lpt") for i in range(10)}


def named(detectors: Sequence[Detector] | Mapping[str, Detector]) -> dict[str, Detector]:
    """Return detectors by name: the name that was given, or else the detector's label.

    Raises
    ------
    ParameterError
        If a name comes twice, can't be that of a folder on every system, or is that of what a
        results folder holds already.

    Examples
    --------
    >>> from anomalist import PaDiM, PatchCore
    >>> list(named([PatchCore(), PaDiM()]))
    ['patchcore', 'padim']
    >>> list(named({"patchcore": PatchCore(), "small": PatchCore(coreset_ratio=0.01)}))
    ['patchcore', 'small']
    """
    if isinstance(detectors, Mapping):
        found = dict(detectors)
    else:
        found = {}
        for detector in detectors:
            if detector.label in found:
                raise ParameterError(
                    f"detector {detector.label} is named twice: give one of them a name of its"
                    f" own, as in small={detector.label} (in Python a dictionary of name to"
                    " detector)"
                )
            found[detector.label] = detector
    for name in found:
        _check(name)
    _check_apart(found)
    return found


def check_free(
    detectors: Mapping[str, Detector], asked: Asked, there: Sequence[RunRecord], out: str
) -> None:
    """Refuse names under which a results folder has runs of another configuration.

    Parameters
    ----------
    detectors : mapping of str to Detector
        By name, unfitted.
    asked : Asked
        What is asked of their runs.
    there : sequence of RunRecord
        All that the folder holds.
    out : str
        The folder or its address, for the message.

    Raises
    ------
    ParameterError
        If a name is taken, or is one of the folder's in other letters.
    """
    _check_apart(detectors, {record.detector for record in there})
    for name, detector in detectors.items():
        here = asked.configuration(detector)
        for record in (r for r in there if r.detector == name):
            if record.config_hash == hash_of(here):
                continue
            there_too = _settings(record)
            different = differences(there_too, here)
            again = record.version != anomalist.__version__  # which hashes other settings
            again |= there_too.get("metrics") != here.get("metrics")  # of which the code changed
            if again and not different:
                continue
            more = f" and {len(different) - _TOLD} more" if len(different) > _TOLD else ""
            what = ", ".join(different[:_TOLD]) or "settings that its records don't tell"
            raise ParameterError(
                f"the name {name} is taken in {out} by runs of other settings ({what}"
                f"{more}): give this one another name, as in other={detector.label} (in Python a"
                f" dictionary of name to detector), take another --out, or delete {out}/runs/{name}"
            )


def _settings(record: RunRecord) -> Mapping[str, Any]:
    """The configuration of a record, or of an early one what can be told of it."""
    if record.configuration:
        return record.configuration
    own = {name: value for name, value in record.parameters.items() if name != "members"}
    return {**own, **{k: v for k, v in record.calibration.items() if k == "alpha"}}


def _check_apart(names: Iterable[str], there: Iterable[str] = ()) -> None:
    """Refuse names that some disks take for one, among each other and among those ``there``."""
    known = {_folded(name): name for name in there}
    for name in names:
        other = known.setdefault(_folded(name), name)
        if other != name:
            raise ParameterError(
                f"{other} and {name} would be one folder on some disks: choose another name"
            )


def _check(name: str) -> None:
    if not name or not all(c.isalnum() or c in _MARKS for c in name) or name != name.strip(" "):
        raise ParameterError(
            f"{name!r} can't be a detector's name, which is that of a folder too: use letters,"
            f" digits and {' '.join(_MARKS.strip())}"
        )
    if name.startswith((".", "-")) or name.endswith("."):
        raise ParameterError(
            f"{name!r} can't be a detector's name: a folder with a dot in front is hidden, one with"
            " a dot at its end is none on Windows, and a dash in front is a flag"
        )
    if len(name.encode()) > _LONGEST:
        raise ParameterError(
            f"the name {name[:40]}... has {len(name.encode())} bytes, more than the {_LONGEST} that"
            " every disk takes: give it a shorter one"
        )
    if _folded(name) in _OWN or _folded(name).split(".")[0] in _DEVICES:
        raise ParameterError(
            f"{name} can't be a detector's name: a results folder has a file or folder of its own"
            " of that name, or Windows a device; choose another"
        )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
