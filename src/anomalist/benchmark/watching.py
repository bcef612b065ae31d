"""How a benchmark tells what it is doing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.tasks import Task


class Watcher(Protocol):
    """Is told how a benchmark goes on."""

    def notice(self, text: str) -> None:
        """At any time: a line on what doesn't count, such as a file, and why."""

    def begin(self, runs: int, reused: int) -> None:
        """Before the first run: how many there are, and how many records serve again."""

    def stage(self, task: Task, name: str, done: int, total: int) -> None:
        """Within a run: ``fit``, ``calibrate`` or ``predict``, and the images done."""

    def trained(self, task: Task, step: int, values: Mapping[str, float]) -> None:
        """After a step of a training: what was measured there, by name."""

    def end(self, record: RunRecord) -> None:
        """After a run."""
