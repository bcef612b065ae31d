"""What a model file says of itself, read without making a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from anomalist.calibration import Calibration, fewest_images, promised_range
from anomalist.detectors import Detector, load
from anomalist.detectors.weighing import Weights
from anomalist.errors import ModelFileError, is_out_of_memory
from anomalist.models import (
    SUMMARY,
    below,
    checked_summary,
    conforms,
    read_model,
    saved_calibration,
)
from anomalist.storage import on_disk

_CARD = {"detector": str, "parameters": dict[str, Any], "bit_depth": int}
_PART = {
    "parameters": {"backbone": str},
    "backbone": {"layers": tuple[str, ...], "weights_sha256": str},
}
_HASHES = ("known_images", "left_out_images")
_ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.2)


def open_model(path: str | Path, *, device: str | None = None) -> Detector:
    """Load a model and try it on a grey image, so that a bad one is told before any work.

    Parameters
    ----------
    path : str or Path
        The file, or its address.
    device : str, optional
        Where to run, instead of the device that it was fitted with.

    Raises
    ------
    ModelFileError
        If it is no model file, or a damaged one.
    ParameterError
        If there is no such device.
    """
    detector = load(path, device=device)
    try:
        scores = detector.predict(np.full((64, 64), 128, np.uint8)).scores
    except OSError:
        raise
    except Exception as error:  # arrays of wrong values meet operations of many kinds
        if is_out_of_memory(error):
            raise
        raise ModelFileError(f"{path} is damaged: its parts don't fit ({error})") from error
    if not np.isfinite(scores).all():
        raise ModelFileError(
            f"{path} is damaged: it gives a grey image no finite score; fit the detector again"
        )
    return detector


def model_card(path: str | Path) -> dict[str, Any]:
    """Return what a model file holds, as JSON values.

    Parameters
    ----------
    path : str or Path
        The file, or its address. Only its header and its calibration are read.

    Returns
    -------
    dict
        ``detector``, ``parameters``, ``backbones`` (name, layers and SHA-256 of the weights of
        each), ``bit_depth`` (bits of the camera whose values 16-bit images hold), ``input_size``
        (height and width to which photographs are resized; None in early files), ``ignored``
        (share of the input that counts for nothing), ``weights`` (how much each member counts in
        scores and in maps, of an ensemble that found it out, else empty), ``training`` (what was
        learnt from, empty if the file doesn't say), ``calibration`` (None without one; with
        thresholds and the false-alarm rates to expect for several alphas), ``images_known`` (how
        many images it would recognise by their bytes), ``format`` and ``bytes``.

    Raises
    ------
    ModelFileError
        If it is no model file, or a damaged one.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import PatchCore
    >>> from anomalist.data import make_sample_set
    >>> from anomalist.inspection import open_parts
    >>> root = Path(tempfile.mkdtemp())
    >>> data = make_sample_set(
    ...     root / "data", image_size=64, train=2, good=1, per_defect=1, categories=["brass_key"]
    ... )
    >>> detector = PatchCore(image_size=64).fit(open_parts(data).train)
    >>> detector.save(root / "key.anomalist")
    >>> card = model_card(root / "key.anomalist")
    >>> card["detector"], card["calibration"], card["backbones"][0]["layers"]
    ('patchcore', None, ['blocks.2', 'blocks.4'])
    """
    path = on_disk(path)
    # Members of an ensemble ignore the same; in a file each has its own.
    masks = [f"{member}preparation.ignored.mask" for member in ("", "member0.")]
    header, tensors = read_model(path, ("calibration.", *masks))
    ignored = next((tensors[name] for name in masks if name in tensors), None)
    parts = header.get("members", [header])
    size = header.get("input_size")
    sized = size is None or conforms(size, tuple[int, int])
    if not (conforms(header, _CARD) and sized) or not conforms(parts, tuple[dict[str, Any], ...]):
        raise ModelFileError(f"{path} is damaged: its header lacks or garbles what it is")
    if not all(conforms(part, _PART) for part in parts):
        raise ModelFileError(f"{path} is damaged: its header lacks or garbles a backbone")
    try:
        summary = checked_summary(header.get("summary", {}))
        calibration = saved_calibration(header, below("calibration.", tensors))
        weights = _weights(header)
    except ModelFileError as error:
        raise ModelFileError(f"{path} is damaged: {error}") from error
    training = summary if summary.keys() >= SUMMARY.keys() else {}
    known = summary.get("known_images")
    card: dict[str, Any] = _printable(
        {
            "detector": header["detector"],
            "parameters": header["parameters"],
            "backbones": [
                {"name": part["parameters"]["backbone"], **part["backbone"]} for part in parts
            ],
            "bit_depth": header["bit_depth"],
            "input_size": size,
            "ignored": 0.0 if ignored is None else float(ignored.float().mean()),
            "weights": weights,
            "training": {n: value for n, value in training.items() if n not in _HASHES},
            "images_known": None if known is None else len(known),
            "calibration": (
                None if calibration is None else _thresholds(calibration, summary.get("alpha"))
            ),
            "format": header["format"],
            "bytes": path.stat().st_size,
        }
    )
    return card


def _weights(header: dict[str, Any]) -> list[dict[str, Any]]:
    """How much each member of an ensemble counts, where made defects have told."""
    if "weights" not in header:
        return []
    members = header["parameters"].get("members", [])
    if not conforms(members, tuple[str | dict[str, Any], ...]):
        raise ModelFileError("its header garbles 'members'")
    names = [m if isinstance(m, str) else str(m.get("detector")) for m in members]
    found = Weights.from_dict(header["weights"], len(names))
    return [
        {"detector": name, "scores": score, "maps": of_maps}
        for name, score, of_maps in zip(names, found.scores, found.maps, strict=True)
    ]


def _printable(value: Any) -> Any:
    """Escape what would move a terminal's cursor, or can't be written at all."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)
    if isinstance(value, dict):
        return {_printable(key): _printable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_printable(entry) for entry in value]
    return value


def _thresholds(calibration: Calibration, alpha: float | None) -> dict[str, Any]:
    n, scenes = len(calibration.scores), calibration.scenes
    rows = [
        {
            "alpha": rate,
            "threshold": calibration.threshold(rate),
            "pixel_threshold": calibration.pixel_threshold(rate),
            "rate": calibration.rate(rate),
            "false_alarms_expected": list(
                promised_range(scenes, rate, retrained=calibration.retrained)
            ),
            "images_needed": fewest_images(rate),
        }
        for rate in sorted({*_ALPHAS, *([float(alpha)] if alpha else [])})
    ]
    return {"images": n, "scenes": scenes, "method": calibration.method, "thresholds": rows}
