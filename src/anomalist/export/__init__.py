"""Detectors as ONNX and OpenVINO graphs, checked against themselves, and runners without torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from anomalist.errors import ExportError

if TYPE_CHECKING:
    from anomalist.export.exporter import ExportReport, export
    from anomalist.export.runtime import ExportedDetector, OnnxDetector, OpenVINODetector

__all__ = [
    "ExportError",
    "ExportReport",
    "ExportedDetector",
    "OnnxDetector",
    "OpenVINODetector",
    "export",
]


def __getattr__(name: str) -> Any:
    # What exports needs torch; what runs an exported detector must not, and what only asks whether
    # the extra is installed needs neither.
    if name in __all__:
        module = "exporter" if name in ("ExportReport", "export") else "runtime"
        return getattr(importlib.import_module(f"anomalist.export.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
