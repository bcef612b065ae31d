"""What does the tasks of a plan: here one after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from anomalist.benchmark.fitting import Clock, Fitting, Shelf
from anomalist.benchmark.pictures import write_pictures
from anomalist.benchmark.recording import Done, record_of
from anomalist.benchmark.resources import peak_memory_mb, reset_peak_memory
from anomalist.benchmark.store import ResultStore
from anomalist.benchmark.tasks import Task
from anomalist.benchmark.watching import Watcher
from anomalist.data import Category
from anomalist.features import FeatureStore


class Executor(Protocol):
    """Does tasks, wherever it likes, none before those among them that it comes after."""

    def run(self, tasks: Sequence[Task], results: ResultStore, watcher: Watcher | None) -> None:
        """Do tasks; when it returns, the store has the record of each."""


class LocalExecutor:
    """Does tasks one after the other in this process.

    A cluster sends tasks to workers, each of which has one of these: it finds in the store what it
    needs of other tasks, and fits what isn't there.

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
        shelf = Shelf(tasks)
        opened: dict[tuple[int, str], Category] = {}
        for task in tasks:
            place = id(task.dataset), task.category
            if place not in opened:
                opened[place] = task.open()
            done = self._done(task, opened[place], results, shelf, watcher)
            record = record_of(done)
            if task.draws:
                write_pictures(done, results)
            results.write(record)
            results.clear(*task.key)
            if watcher is not None:
                watcher.end(record)

    def _done(
        self,
        task: Task,
        category: Category,
        results: ResultStore,
        shelf: Shelf,
        watcher: Watcher | None,
    ) -> Done:
        """Fit or take over, and predict the test images."""
        fitted = Fitting(task, category, results, self._features, shelf, watcher).fitted()

        def tell(done: int, total: int) -> None:
            if watcher is not None:
                watcher.stage(task, "predict", done, total)

        reset_peak_memory()
        clock = Clock(self._features)
        predictions = fitted.detector.predict(category.test, store=self._features, progress=tell)
        seconds = clock.seconds()
        peak = max(peak_memory_mb(), fitted.peak_memory_mb)
        return Done(task, category, fitted, predictions, seconds, peak)
