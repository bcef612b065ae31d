"""Shipped settings of detectors, by name."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml


def presets(detector: str) -> dict[str, dict[str, Any]]:
    """Return the shipped presets of a detector: hyperparameters by preset name.

    Examples
    --------
    >>> sorted(presets("patchcore"))
    ['efficientnet_lite0', 'resnet18', 'wide_resnet50_2']
    """
    folder = files("anomalist.detectors") / "presets" / detector
    found = {}
    if folder.is_dir():
        for file in sorted(folder.iterdir(), key=lambda f: f.name):
            values = yaml.safe_load(file.read_text(encoding="utf-8"))
            found[file.name.removesuffix(".yaml")] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in values.items()
            }
    return found
