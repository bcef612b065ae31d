"""What a stress test does with the cases that one fit serves: fit, disturb, predict, measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anomalist.benchmark.fitting import Clock, Fitting, Shelf
from anomalist.benchmark.models import Fitted
from anomalist.benchmark.recording import Done, record_of
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.resources import peak_memory_mb, reset_peak_memory
from anomalist.benchmark.store import RunStore
from anomalist.benchmark.stress_cases import Case
from anomalist.benchmark.stress_sets import disturbed
from anomalist.benchmark.stress_store import case_hash, case_store, with_hits
from anomalist.benchmark.tasks import Task
from anomalist.benchmark.watching import Watcher
from anomalist.data import Category, ImageSet
from anomalist.data.names import plural
from anomalist.detectors.grouping import group_images
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore, unite_backbones

#: The tasks of each case whose records aren't there.
Missing = Mapping[Case, Sequence[Task]]


@dataclass(frozen=True)
class Group:
    """Cases that one fit of each detector and seed serves."""

    category: str
    cases: tuple[Case, ...]
    seeds: tuple[int, ...]

    @property
    def case(self) -> Case | None:
        """The case whose images are learnt from; None where these are undisturbed."""
        return None if self.cases[0].where == "test" else self.cases[0]


class StressBench:
    """Does groups of cases in this process, which share feature maps.

    Parameters
    ----------
    sets : mapping of str to Category
        The undisturbed images by the categories' names.
    out : Path
        The results folder.
    store : FeatureStore
        Keeps the features of undisturbed images.
    tasks : sequence of Task
        All of the plan, as if nothing were disturbed.
    watcher : Watcher, optional
        Is told of progress.
    """

    def __init__(
        self,
        sets: Mapping[str, Category],
        out: Path,
        store: FeatureStore,
        tasks: Sequence[Task],
        watcher: Watcher | None,
    ) -> None:
        self.sets, self.out, self.store, self.tasks, self.watcher = sets, out, store, tasks, watcher
        self._scenes = dict[str, Category]()
        # Held until the end, so that each is made once.
        members = [member for task in tasks for member in task.members]
        self._shared = unite_backbones(member.make_backbone() for member in members)
        self._adopted(store)

    def of(self, group: Group) -> list[Task]:
        """Return the tasks of a group, as if nothing were disturbed."""
        mine = (t for t in self.tasks if t.category == group.category)
        return [task for task in mine if task.seed in group.seeds]

    def done(self, group: Group, missing: Missing) -> Iterator[Case]:
        """Fit what is needed once, and do case by case; each is yielded when its records are there.

        Raises
        ------
        DataError
            If an image can't be read.
        """
        needed = {task.key: task for tasks in missing.values() for task in tasks}
        wanted = [task for task in self.of(group) if task.key in needed]
        category = self._of_scenes(group.category)
        if group.case is None:
            fits = self._fits(wanted, category, RunStore(self.out), self.store)
        for case, tasks in missing.items():
            (seed,) = group.seeds if case.of_training else group.seeds[:1]
            changed, notes = disturbed(category, case, seed)
            results = case_store(self.out, case)
            disturbed_tasks = [of_case(task, case, notes) for task in tasks]
            # One of its own: whatever is kept from other cases, an image passes in the same batch.
            features = self._adopted(FeatureStore(memory_limit_mb=self.store.memory_limit_mb))
            if group.case is not None:
                fits = self._fits(disturbed_tasks, changed, results, features)
            test = self.store if changed.test is category.test else features
            for task in disturbed_tasks:
                if (fitted := fits.get(task.key)) is not None:
                    record = self._record(task, changed, fitted, test)
                    results.write(record)
                    results.clear(*task.key)
                    if self.watcher is not None:
                        self.watcher.end(record)
            yield case

    def _of_scenes(self, name: str) -> Category:
        """The category, each of whose images to learn from says of which scene it is."""
        if name not in self._scenes:
            category = self.sets[name]
            how = self.tasks[0].asked.groups
            scenes = group_images(category.train, how).groups
            samples = [
                dataclasses.replace(sample, group=str(scene))
                for sample, scene in zip(category.train, scenes, strict=True)
            ]
            train = ImageSet(samples, category.train.name)
            self._scenes[name] = dataclasses.replace(category, train=train)
        return self._scenes[name]

    def _fits(
        self, tasks: Sequence[Task], category: Category, results: RunStore, features: FeatureStore
    ) -> dict[tuple[str, str, int], Fitted]:
        """Fit the detector of each task; those that can't be on so few images are told."""
        shelf = Shelf(tasks)
        grouping = group_images(category.train, "auto")
        found = {}
        for task in tasks:
            few = len(category.train) < len(self.sets[task.category].train)
            try:
                task = _as_many(task, len(category.train))
                fitting = Fitting(task, category, results, features, shelf, self.watcher, grouping)
                fitted = fitting.fitted()
            except (DataError, ParameterError) as error:
                if not few:
                    raise
                if self.watcher is not None:
                    self.watcher.notice(
                        f"{task.name} can't learn from {plural(len(category.train), 'image')} of"
                        f" {task.category}: {error}"
                    )
                continue
            # Held-out maps are the largest part, and members have been assembled.
            found[task.key] = dataclasses.replace(fitted, held_out=None)
        return found

    def _record(
        self, task: Task, category: Category, fitted: Fitted, features: FeatureStore
    ) -> RunRecord:
        def tell(done: int, total: int) -> None:
            if self.watcher is not None:
                self.watcher.stage(task, "predict", done, total)

        reset_peak_memory()
        clock = Clock(features)
        predictions = fitted.detector.predict(category.test, store=features, progress=tell)
        seconds = clock.seconds()
        peak = max(peak_memory_mb(), fitted.peak_memory_mb)
        record = record_of(Done(task, category, fitted, predictions, seconds, peak))
        return with_hits(dataclasses.replace(record, curves={}))

    def _adopted(self, store: FeatureStore) -> FeatureStore:
        for backbone in self._shared:
            store.adopt(backbone)
        return store


def of_case(task: Task, case: Case, notes: tuple[str, ...] = ()) -> Task:
    """Return a task on the images of a case."""
    return dataclasses.replace(
        task, data_hash=case_hash(task.data_hash, case), keeps_model=False, notes=notes
    )


def _as_many(task: Task, images: int) -> Task:
    """A task on so many images, which isn't calibrated where they don't allow it."""
    task = dataclasses.replace(task, split=task.asked.split_of(task.detector, images))
    try:
        for member in task.members:
            member.check_calibrates(images)
    except ParameterError:
        uncalibrated = dataclasses.replace(task.asked, calibrate=False)
        return dataclasses.replace(task, asked=uncalibrated, split=0.0)
    return task
