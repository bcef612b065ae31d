"""What makes two runs runs of the same thing: the configuration, its hash, and what differs."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from anomalist.data.masks import read_mask
from anomalist.detectors import Detector
from anomalist.features import find_weights

_MISSING = object()
_LONGEST = 60


def configuration(detector: Detector, *, oracle: bool = False, **asked: Any) -> dict[str, Any]:
    """Return all that decides a detector's results, apart from data and seed, as JSON values.

    Weights and a mask count by their content, not by where they lie; ``oracle`` for detectors that
    are trained epoch by epoch; what else was ``asked`` of a run counts as it is.
    """
    values = _decisive(detector) | asked
    if oracle and detector.trained:
        values["oracle"] = True
    return values


def config_hash(detector: Detector, *, oracle: bool = False, **asked: Any) -> str:
    """Return the SHA-256 of a `configuration`.

    Examples
    --------
    >>> from anomalist import PatchCore
    >>> config_hash(PatchCore(seed=1)) == config_hash(PatchCore(seed=2, batch_size=1))
    True
    >>> config_hash(PatchCore()) == config_hash(PatchCore(image_size=320))
    False
    """
    return hash_of(configuration(detector, oracle=oracle, **asked))


def hash_of(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a `configuration` that was made."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _decisive(detector: Detector) -> dict[str, Any]:
    """The settings that decide a result; those of an ensemble with its members'."""
    values = detector.parameters()
    for name in ("seed", "weights", *detector.cost_only):
        values.pop(name, None)
    values["detector"] = detector.name
    if detector.ignore is not None:
        del values["ignore"]
        mask = read_mask(detector.ignore)
        content = json.dumps(mask.shape).encode() + np.packbits(mask).tobytes()
        values["ignore_sha256"] = hashlib.sha256(content).hexdigest()
    values["weights_sha256"] = find_weights(detector.backbone, detector.weights).sha256
    if detector.components() != [detector]:
        values["members"] = [
            {**_decisive(part), "seed": part.seed - detector.seed} for part in detector.components()
        ]
    return values


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Say which settings that both configurations have differ.

    What one of them lacks isn't compared: another version may have settings of its own. Metrics of
    one's own are compared by name.

    Examples
    --------
    >>> differences({"coreset_ratio": 0.1, "k": 9}, {"coreset_ratio": 0.01, "k": 9, "new": 1})
    ['coreset_ratio 0.1 there, 0.01 here']
    >>> pair = {"members": [{"detector": "patchcore"}, {"detector": "padim", "dimensions": 100}]}
    >>> other = {"members": [{"detector": "patchcore"}, {"detector": "padim", "dimensions": 9}]}
    >>> differences(pair, other)
    ['padim: dimensions 100 there, 9 here']
    """
    # Only that it was asked for is kept.
    there, here = (
        {"oracle": False, **values, "metrics": sorted(values.get("metrics", ()))}
        for values in (there, here)
    )
    found = []
    for name in here:
        old, new = there.get(name, _MISSING), here[name]
        if old is _MISSING or old == new:
            continue
        inside = _inside(old, new) if name == "members" else []
        found += inside or [f"{name} {_shown(old)} there, {_shown(new)} here"]
    return found


def _inside(old: Any, new: Any) -> list[str]:
    """What differs between members of the same detectors; nothing where the detectors differ."""
    try:
        names = [member["detector"] for member in new]
        if names != [member["detector"] for member in old]:
            return []
    except TypeError:  # members by name have no settings of their own
        return []
    pairs = zip(names, old, new, strict=True)
    return [f"{name}: {text}" for name, a, b in pairs for text in differences(a, b)]


def _shown(value: Any) -> str:
    members = value if isinstance(value, list) else []
    if members and all(isinstance(v, dict) and "detector" in v for v in members):
        return "+".join(v["detector"] for v in members)
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else reprlib.repr(value)
