"""What the header of a model file tells beside the detector: its calibration and its images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor

from anomalist.calibration import Calibration, Reference
from anomalist.errors import ModelFileError
from anomalist.models.layout import array_state, conforms

Entry = TypeVar("Entry")


def expect(header: dict[str, Any], kinds: dict[str, Any]) -> None:
    """Refuse a header that lacks a value, or has one of another kind.

    Raises
    ------
    ModelFileError
        It names the value.
    """
    for key, kind in kinds.items():
        if not conforms(header, {key: kind}):
            raise ModelFileError(f"its header lacks or garbles {key!r}")


#: What is known of the images that a detector was fitted to; none of it, or all.
SUMMARY = {
    "alpha": float,
    "name": str,
    "images": int,
    "left_out": int,
    "sizes": tuple[tuple[int, int, int], ...],
    "data_hash": str,
    "known_images": tuple[str, ...],
    "version": str,
}
#: Of which numbers of a `~anomalist.data.looks.Look` the range is known.
LOOKS = frozenset({"brightness", "contrast", "sharpness", "red", "yellow", "colour"})
_MOST = 1e4
#: A candidate of a detector that chose itself, see `~anomalist.choosing.Choice`.
_CANDIDATE = {
    "label": str,
    "detector": str,
    "settings": dict[str, Any],
    "rounds": int,
    **dict.fromkeys(
        ("score", "image_AUROC", "pixel_AUROC", "pixel_PRO", "hits", "milliseconds"), float | None
    ),
    "told": str,
}
_CHOICE = {
    "chosen": str,
    "seconds": float,
    "budget": float,
    "notes": tuple[str, ...],
    "candidates": tuple[_CANDIDATE, ...],  # type: ignore[valid-type]
}
# What files of an earlier version don't have.
_SINCE = {
    "scenes": int,
    "looks": dict[str, tuple[float, float]],
    "left_out_images": tuple[str, ...],
    "folders": tuple[str, ...],
    "shards": int,
    "drawn_of": int,
    "choice": _CHOICE,
}


def checked_summary(summary: Any) -> dict[str, Any]:
    """Return the summary of a header.

    Raises
    ------
    ModelFileError
        If a value makes no sense.
    """
    if not isinstance(summary, dict):
        raise ModelFileError("its header lacks or garbles 'summary'")
    for key, kind in (SUMMARY | _SINCE).items():
        if key in summary and not conforms(summary[key], kind):
            raise ModelFileError(f"its summary garbles {key!r}")
    if not 0 < summary.get("alpha", 0.05) < 1:
        raise ModelFileError("its summary garbles 'alpha'")
    if not 0 < summary.get("scenes", 1) <= summary.get("images", 1):
        raise ModelFileError("its summary garbles 'scenes'")
    if any(width < 1 or height < 1 for width, height, _ in summary.get("sizes", ())):
        raise ModelFileError("its summary garbles 'sizes'")
    for name, (low, high) in summary.get("looks", {}).items():
        if name not in LOOKS or not -_MOST <= low <= high <= _MOST:
            raise ModelFileError("its summary garbles 'looks'")
    return dict(summary)


def saved_calibration(header: dict[str, Any], tensors: dict[str, Tensor]) -> Calibration | None:
    """Return the calibration of a header and its arrays, if there is one.

    Raises
    ------
    ModelFileError
        If it makes no sense.
    """
    values = header.get("calibration", {})
    if not isinstance(values, dict):
        raise ModelFileError("its header lacks or garbles 'calibration'")
    state = {**values, **array_state(tensors)}
    return Calibration.from_state(state) if state else None


#: What `~anomalist.calibration.Reference.state` gives.
_REFERENCE = {
    "names": tuple[str, ...],
    "rows": tuple[tuple[float, ...], ...],
    "center": tuple[float, ...],
    "spread": tuple[float, ...],
    "near": float,
}


def saved_reference(header: dict[str, Any]) -> Reference | None:
    """Return what a header keeps of each photograph that was learnt from; files may lack it.

    Raises
    ------
    ModelFileError
        If it makes no sense.
    """
    state = header.get("reference")
    if state is None:
        return None
    if not conforms(state, _REFERENCE):
        raise ModelFileError("its header lacks or garbles 'reference'")
    return Reference.from_state(state)


def take_below(prefix: str, entries: dict[str, Entry]) -> dict[str, Entry]:
    """Return the entries `below` a prefix, and take them out."""
    taken = below(prefix, entries)
    for name in taken:
        del entries[prefix + name]
    return taken


def below(prefix: str, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries whose names begin with a prefix, under what follows it.

    Examples
    --------
    >>> below("state.", {"state.bank": 1, "backbone.bank": 2})
    {'bank': 1}
    """
    return {n.removeprefix(prefix): e for n, e in entries.items() if n.startswith(prefix)}
