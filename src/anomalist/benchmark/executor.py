"""What does the tasks of a plan: here one after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from anomalist.benchmark.fitting import Clock, Fitting, Shelf
from anomalist.benchmark.pictures import write_pictures
from anomalist.benchmark.recording import Done, record_of
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.resources import peak_memory_mb, reset_peak_memory
from anomalist.benchmark.store import ResultStore
from anomalist.benchmark.tasks import Task
from anomalist.benchmark.watching import Watcher
from anomalist.data import Category
from anomalist.features import FeatureStore, unite_backbones


class Executor(Protocol):
    """Does tasks, wherever it likes, none before those among them that it comes after."""

    def run(self, tasks: Sequence[Task], results: ResultStore, watcher: Watcher | None) -> None:
        """Do tasks; when it returns, the store has the record of each."""


class Workbench:
    """Does tasks in this process, which share feature maps and what is fitted.

    Each finds in the store what it needs of tasks that others do, and fits what isn't there.

    Parameters
    ----------
    tasks : sequence of Task
        Those that may come; the order, and whether all do, is up to the caller.
    features : FeatureStore
        Keeps feature maps, so that each image passes a backbone once for all tasks.
    """

    def __init__(self, tasks: Sequence[Task], features: FeatureStore) -> None:
        self._features = features
        self._shelf = Shelf(tasks)
        self._opened: dict[tuple[int, str], Category] = {}
        members = [member for task in tasks for member in task.members]
        # Held as long as this is, so that each is made once.
        self._backbones = unite_backbones(member.make_backbone() for member in members)
        for backbone in self._backbones:
            features.adopt(backbone)

    def do(self, task: Task, results: ResultStore, watcher: Watcher | None = None) -> RunRecord:
        """Do a task, and write its pictures and its record."""
        place = id(task.dataset), task.category
        if place not in self._opened:
            self._opened[place] = task.open()
        done = self._done(task, self._opened[place], results, watcher)
        record = record_of(done)
        if task.draws:
            write_pictures(done, results)
        results.write(record)
        results.clear(*task.key)
        if watcher is not None:
            watcher.end(record)
        return record

    def _done(
        self, task: Task, category: Category, results: ResultStore, watcher: Watcher | None
    ) -> Done:
        """Fit or take over, and predict the test images."""
        fitting = Fitting(task, category, results, self._features, self._shelf, watcher)
        fitted = fitting.fitted()

        def tell(done: int, total: int) -> None:
            if watcher is not None:
                watcher.stage(task, "predict", done, total)

        reset_peak_memory()
        clock = Clock(self._features)
        predictions = fitted.detector.predict(category.test, store=self._features, progress=tell)
        seconds = clock.seconds()
        peak = max(peak_memory_mb(), fitted.peak_memory_mb)
        return Done(task, category, fitted, predictions, seconds, peak)


class LocalExecutor:
    """Does tasks one after the other in this process.

    Parameters
    ----------
    features : FeatureStore, optional
        Keeps feature maps, so that each image passes a backbone once for all tasks; one in memory
        by default.
    """

    def __init__(self, features: FeatureStore | None = None) -> None:
        self._features = FeatureStore() if features is None else features

    def run(
        self, tasks: Sequence[Task], results: ResultStore, watcher: Watcher | None = None
    ) -> None:
        """Do tasks in their order, which must be one that `plan` gives."""
        bench = Workbench(tasks, self._features)
        for task in tasks:
            bench.do(task, results, watcher)
