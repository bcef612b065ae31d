"""What a run costs: peak memory, and the machine and versions that it ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
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

    Where the system forgets nothing, it is since the process started; 0 where it tells nothing.

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
        return _peak_of_process_mb()


def _peak_of_process_mb() -> float:
    """The peak since the process started, as other systems than Linux tell it."""
    if sys.platform == "win32":
        return _peak_on_windows_mb()
    try:
        import resource  # not everywhere, as the standard library says
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    class _Counters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS of the Windows API."""

        _fields_ = [
            ("cb", wintypes.DWORD),
            ("page_faults", wintypes.DWORD),
            ("peak_working_set", ctypes.c_size_t),
            *((f"other{i}", ctypes.c_size_t) for i in range(7)),
        ]

    def _peak_on_windows_mb() -> float:
        kernel = ctypes.WinDLL("kernel32")
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        kernel.K32GetProcessMemoryInfo.argtypes = [
            wintypes.HANDLE,
            ctypes.POINTER(_Counters),
            wintypes.DWORD,
        ]
        counters = _Counters(ctypes.sizeof(_Counters))
        size = ctypes.sizeof(counters)
        if not kernel.K32GetProcessMemoryInfo(
            kernel.GetCurrentProcess(), ctypes.byref(counters), size
        ):
            return 0.0
        return float(counters.peak_working_set) / 2**20


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
