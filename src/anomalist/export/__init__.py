"""Detectors as ONNX and OpenVINO graphs, checked against themselves, and runners without torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from anomalist.errors import ExportError
from anomalist.export.runtime import ExportedDetector, OnnxDetector, OpenVINODetector

if TYPE_CHECKING:
    from anomalist.export.exporter import ExportReport, export

__all__ = [
    "ExportError",
    "ExportReport",
    "ExportedDetector",
    "OnnxDetector",
    "OpenVINODetector",
    "export",
]


def __getattr__(name: str) -> Any:
    # What exports needs torch; what runs an exported detector must not.
    if name in ("ExportReport", "export"):
        return getattr(importlib.import_module("anomalist.export.exporter"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
