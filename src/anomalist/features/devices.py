"""Devices by name: the one that is asked for, or the best that is there."""

from __future__ import annotations

import reprlib

import torch

from anomalist.errors import ParameterError


class NoDeviceError(ParameterError):
    """A device that isn't there."""

    def __init__(self, message: str, device: str) -> None:
        super().__init__(message)
        self.device = device


def pick_device(device: str) -> torch.device:
    """Return the device of that name, or the best that is there for ``auto``.

    Raises
    ------
    ParameterError
        If there is no such device on this machine.

    Examples
    --------
    >>> pick_device("cpu")
    device(type='cpu')
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    kind, _, number = device.partition(":")
    if kind not in there or (number and not (number.isascii() and number.isdigit())):
        raise ParameterError(f"device must be auto, cpu, cuda or mps, not {reprlib.repr(device)}")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not there[kind] or (number and len(number) > 3) or int(number or 0) >= count:
        raise NoDeviceError(
            f"this machine has no {device} device: choose --device auto or cpu", device
        )
    return torch.device(device)
