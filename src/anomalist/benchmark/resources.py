"""What a run costs: peak memory, and the machine and versions that it ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("torch", "torchvision", "timm", "numpy", "numba", "scipy", "pillow")


def reset_peak_memory() -> None:
    """Start a new measurement of peak memory, where the system allows it (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory_mb() -> float:
    """Return the most memory (resident set) that this process held since the last reset, in MB.

    Examples
    --------
    >>> peak_memory_mb() > 1
    True
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        kilobytes = next(line.split()[1] for line in status.splitlines() if "VmHWM" in line)
        return int(kilobytes) / 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024**2 if sys.platform == "darwin" else 1024)


def environment() -> dict[str, Any]:
    """Return the versions and the machine, to be recorded with results.

    Examples
    --------
    >>> sorted(environment())
    ['cores', 'packages', 'platform', 'processor', 'python', 'threads']
    """
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
