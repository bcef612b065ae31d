"""Processes that decode photographs, passed on from test to test: each takes long to come up."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

from anomalist.server import decoding

# By how many pixels and how much memory they may take.
_idle: dict[tuple[int, int], deque[_Process]] = defaultdict(deque)


class _Process(decoding._Process):
    """One that goes to the next server where this one closes it in good order."""

    def __init__(self, max_pixels: int, memory_mb: int) -> None:
        super().__init__(max_pixels, memory_mb)
        self.limits = max_pixels, memory_mb
        self.fine = True

    def ask(self, asked: dict[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], Any]:
        self.fine = False  # unless it answers
        answer = super().ask(asked, data, seconds)
        self.fine = True
        return answer

    def close(self) -> None:
        if self.fine and self.is_alive():
            _idle[self.limits].append(self)
        else:
            super().close()


class WarmDecoders(decoding.Decoders):
    """Decoders that begin with the processes that other servers had."""

    def _new(self) -> decoding._Process:
        limits = self._max_pixels, self._memory_mb
        try:
            return _idle[limits].pop()
        except IndexError:
            return _Process(*limits)


def close() -> None:
    """End all that nobody has."""
    for processes in _idle.values():
        while processes:
            decoding._Process.close(processes.pop())
