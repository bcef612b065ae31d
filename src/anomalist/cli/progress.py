"""Progress on the terminal: which run, which stage, how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from anomalist.benchmark import RunRecord, Task
from anomalist.cli.output import Output
from anomalist.data.names import plural
from anomalist.digits import duration
from anomalist.errors import ParameterError

_BETWEEN_LINES = 30.0
#: Told of a Ctrl-C where something was kept.
GOES_ON = "the same command goes on from what is finished"


class BenchmarkProgress:
    """Shows a benchmark's progress: a bar on a terminal, a line a run elsewhere.

    The time left is the mean time of the runs done times those to do.

    Parameters
    ----------
    output : Output
        Where it is shown.
    out : Path or str
        The results folder, where unfinished trainings lie, or its address.
    tensorboard : str, optional
        Folder in which the course of trainings is written for TensorBoard.
    after : callable, optional
        Called with the record of each run that is done, once its line is printed.

    Raises
    ------
    ParameterError
        If TensorBoard isn't installed.
    """

    def __init__(
        self,
        output: Output,
        out: Path | str,
        tensorboard: str | None = None,
        after: Callable[[RunRecord], None] | None = None,
    ) -> None:
        self._output = output
        self._out = out
        self._after = after
        self._writer = None if tensorboard is None else _summary_writer(tensorboard)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[left]}"),
            console=output.console,
            transient=True,
        )
        self._runs = 0
        self._reused = 0
        self._done = 0
        self._stage = ""
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        if self._output.live:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._output.live:
            self._bar.stop()
        if self._writer is not None:
            self._writer.close()
        kept = self._reused or self._done
        if isinstance(self._out, Path):
            kept = kept or any(self._out.glob("runs/*/*.training*"))
        if isinstance(error, KeyboardInterrupt) and kept:
            error.add_note(GOES_ON)

    def notice(self, text: str) -> None:
        """Print a line on files that don't count."""
        self._output.warn(text)

    def begin(self, runs: int, reused: int) -> None:
        """Start: tell how many runs there are and how many are taken from records."""
        self._runs, self._reused = runs - reused, reused
        self._start = time.monotonic()
        kept = f", {reused} of them done before" if reused else ""
        self._output.note(f"{plural(runs, 'run')}{kept}")
        self._total = self._bar.add_task("runs", total=self._runs, left="")
        self._images = self._bar.add_task("", total=None, left="")

    def stage(self, task: Task, name: str, done: int, total: int) -> None:
        """Move the bar of the images of one stage."""
        text = f"{task.name} {task.category} seed {task.seed}: {name}"
        if text != self._stage:
            self._stage = text
            self._bar.reset(self._images, description=text, left="")
        self._bar.update(self._images, completed=done, total=total)

    def trained(self, task: Task, step: int, values: Mapping[str, float]) -> None:
        """Show what a step of a training measured."""
        text = " ".join(f"{name} {value:.3g}" for name, value in values.items())
        self._bar.update(self._images, left=text)
        if self._writer is not None:
            tag = f"{task.name}/{task.category}/seed{task.seed}"
            for name, value in values.items():
                self._writer.add_scalar(f"{tag}/{name}", value, step)

    def end(self, record: RunRecord) -> None:
        """Print a line of the run that is done, and the time left."""
        self._done += 1
        seconds = (time.monotonic() - self._start) / self._done * (self._runs - self._done)
        left = f"about {duration(seconds)} left" if seconds else ""
        self._bar.update(self._total, completed=self._done, left=left)
        auroc = record.metrics.get("image_AUROC")
        shown = "" if auroc is None else f", image AUROC {auroc:.4f}"
        took = f"fit {record.fit_seconds:.1f} s, predict {record.predict_seconds:.1f} s"
        if record.repeats_seed is not None:
            took = f"as seed {record.repeats_seed}"
        self._output.note(
            f"[{self._done}/{self._runs}] {record.detector} {record.category} seed {record.seed}:"
            f" {took}{shown}" + (f"; {left}" if left and not self._output.live else "")
        )
        if self._after is not None:
            self._after(record)


class StressProgress(BenchmarkProgress):
    """Shows a stress test's progress: its undisturbed runs, then a line a level.

    Parameters
    ----------
    output : Output
        Where it is shown.
    out : Path
        The results folder, where unfinished trainings lie.
    """

    def __init__(self, output: Output, out: Path) -> None:
        super().__init__(output, out)
        self._disturbed = False

    def begin(self, runs: int, reused: int) -> None:
        """Start the undisturbed runs or, after these, the disturbed ones."""
        if self._bar.tasks:
            for task in (self._total, self._images):
                self._bar.remove_task(task)
            self._disturbed, self._stage = True, ""
        kept = self._reused or self._done
        super().begin(runs, reused)
        self._reused, self._done = self._reused or kept, 0

    def end(self, record: RunRecord) -> None:
        """Print a line of an undisturbed run; count a disturbed one."""
        if not self._disturbed:
            super().end(record)
            return
        self._done += 1
        self._bar.update(self._total, completed=self._done)

    def expect(self, text: str, seconds: float) -> None:
        """Print what was done, and how long the rest may take."""
        left = f"about {duration(seconds)} left"
        self._bar.update(self._total, left=left)
        if not text:
            self._output.note(f"{left}, less where detectors share a backbone")
        elif not self._output.live:
            rest = f"; {left}" if self._done < self._runs else ""
            self._output.note(f"[{self._done}/{self._runs}] {text}{rest}")


class StageProgress:
    """Shows stages that come one after the other: a bar on a terminal, seldom a line elsewhere.

    Called with the name of a stage, the number of images done and the total, 0 if it isn't known.

    Parameters
    ----------
    output : Output
        Where it is shown.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=output.console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)
        self._stage = ""
        self._start = self._told = time.monotonic()

    def __enter__(self) -> StageProgress:
        if self._output.live:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._output.live:
            self._bar.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._start, self._told = stage, now, now
            self._bar.reset(self._task, description=stage)
        self._bar.update(self._task, completed=done, total=total or None)
        if self._output.live or not done > 0 or now - self._told < _BETWEEN_LINES:
            return
        self._told = now
        text = f"{stage}: {done}"
        if total > done:
            left = duration((now - self._start) / done * (total - done))
            text += f" of {total}, about {left} left"
        self._output.note(text)


def _summary_writer(folder: str) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ParameterError(
            "--tensorboard needs TensorBoard: pip install 'anomalist[tensorboard]'"
        ) from error
    return SummaryWriter(folder)


@contextmanager
def bytes_progress(output: Output, text: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show the progress of a transfer in bytes, with speed and time left."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=output.console,
    ) as bar:
        task = bar.add_task(text, total=None)
        arrived = 0

        def show(done: int, total: int | None) -> None:
            nonlocal arrived
            arrived = done
            bar.update(task, completed=done, total=total)
            if done == total:
                bar.update(task, description="verifying and extracting")

        try:
            yield show
        except KeyboardInterrupt as stop:
            if arrived:
                stop.add_note(GOES_ON)
            raise
