"""How a task comes to its fitted detector: taken over where the very same was fitted, or fitted."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from anomalist.benchmark.epochs import TestCurve
from anomalist.benchmark.models import Fitted, KeptModels
from anomalist.benchmark.resources import peak_memory_mb, reset_peak_memory
from anomalist.benchmark.store import ResultStore
from anomalist.benchmark.tasks import Identity, Task
from anomalist.benchmark.watching import Watcher
from anomalist.calibration import number_groups
from anomalist.data import Category
from anomalist.detectors import Detector, Ensemble
from anomalist.detectors.grouping import Grouping, calibrate_grouped, group_images
from anomalist.features import FeatureStore, Progress
from anomalist.training import Training


class Shelf:
    """Fitted detectors in memory, as long as later tasks of the same call ask for them.

    It saves time, and changes no result.

    Parameters
    ----------
    tasks : iterable of Task
        Those of the call.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._asked = Counter(identity for task in tasks for identity in task.identities)
        self._kept: dict[Identity, Fitted] = {}
        self._groupings: dict[tuple[str, str, str], Grouping] = {}

    def take(self, identity: Identity) -> Fitted | None:
        """Return what was put here, which another task may have to put back."""
        self._asked[identity] -= 1
        return self._kept.pop(identity, None)

    def grouping(self, key: tuple[str, str, str], make: Callable[[], Grouping]) -> Grouping:
        """Return the scenes of a category's images, made where no task has asked yet."""
        if key not in self._groupings:
            self._groupings[key] = make()
        return self._groupings[key]

    def put(self, identity: Identity, fitted: Fitted) -> None:
        """Keep it if it is going to be asked for."""
        if self._asked[identity] > 0:
            self._kept[identity] = fitted


class Clock:
    """Time since it was made, with what the store saved counted at what it cost to make."""

    def __init__(self, features: FeatureStore) -> None:
        self._features = features
        self._start = time.perf_counter() + features.saved_seconds

    def seconds(self) -> float:
        """Return the seconds."""
        return time.perf_counter() + self._features.saved_seconds - self._start


class Fitting:
    """Fits what one task needs.

    Parameters
    ----------
    task : Task
        The task.
    category : Category
        Its category, opened.
    results : ResultStore
        Where models and unfinished trainings are kept.
    features : FeatureStore
        Keeps feature maps.
    shelf : Shelf
        What was fitted in this process.
    watcher : Watcher, optional
        Is told of progress.
    grouping : Grouping, optional
        The scenes of the images to learn from, where they are known.
    """

    def __init__(
        self,
        task: Task,
        category: Category,
        results: ResultStore,
        features: FeatureStore,
        shelf: Shelf,
        watcher: Watcher | None,
        grouping: Grouping | None = None,
    ) -> None:
        self._task, self._category = task, category
        self._features, self._shelf, self._watcher = features, shelf, watcher
        self._models = KeptModels(results) if task.keeps_model else None
        self._scratch = results.scratch(*task.key)
        self._learnt = category.train
        self._split = 0.0
        self._grouping = Grouping(np.arange(len(category.train)))
        if grouping is not None:
            self._grouping = grouping
        elif task.asked.calibrate or isinstance(task.detector, Ensemble):
            key = (task.category, task.data_hash, task.asked.groups)
            self._grouping = shelf.grouping(key, self._grouped)
        if task.split:
            # The plan knew how many images there are, not of how many scenes.
            self._split = task.asked.split_of(task.detector, self._grouping.scenes)
        self._of_learnt = self._grouping
        if self._split:
            held_out, dealt = task.detector.deal(category.train, self._split, self._grouping.apart)
            self._learnt = category.train[np.flatnonzero(~held_out)]
            own = number_groups(dealt[~held_out], len(self._learnt))
            self._of_learnt = Grouping(own)

    def _grouped(self) -> Grouping:
        """Find out which training images aren't independent, and tell."""
        grouping = group_images(self._category.train, self._task.asked.groups)
        if self._watcher is not None:
            for note in grouping.notes:
                self._watcher.notice(f"{self._task.category}: {note}")
        return grouping

    def fitted(self) -> Fitted:
        """Return the task's detector, fitted, and calibrated if that is asked."""
        task = self._task
        if isinstance(task.detector, Ensemble):
            fitted = self._assembled(task.detector)
        else:
            (identity,) = task.identities
            fitted = self._member(
                task.detector,
                identity,
                self._scratch,
                "",
                calibrate=task.asked.calibrate and not self._split,
            )
        if self._split:
            fitted = self._apart(fitted)
            if self._models is not None and not isinstance(task.detector, Ensemble):
                self._models.keep(fitted, task.identities[0], task.name)
            return fitted
        if task.asked.calibrate or isinstance(task.detector, Ensemble):
            return fitted
        # Others may have calibrated it, for their own use.
        detector = copy.copy(fitted.detector)
        detector.calibration_ = detector.reference_ = None
        return dataclasses.replace(fitted, detector=detector, held_out=None, calibrate_seconds=0.0)

    def _apart(self, fitted: Fitted) -> Fitted:
        """Calibrate a detector on the images that were held out of its fit."""
        detector = copy.copy(fitted.detector)
        reset_peak_memory()
        clock = Clock(self._features)
        calibrate_grouped(
            detector,
            self._category.train,
            self._grouping,
            split=self._split,
            store=self._features,
            progress=self._stage("calibrate"),
        )
        return dataclasses.replace(
            fitted,
            detector=detector,
            held_out=None,
            calibrate_seconds=clock.seconds(),
            peak_memory_mb=max(fitted.peak_memory_mb, peak_memory_mb()),
            split=self._split,
        )

    def _assembled(self, ensemble: Ensemble) -> Fitted:
        members = [
            self._member(
                part, identity, Path(f"{self._scratch}.member{i}"), f".member{i}", calibrate=True
            )
            for i, (part, identity) in enumerate(
                zip(self._task.members, self._task.identities, strict=True)
            )
        ]
        reset_peak_memory()
        clock = Clock(self._features)
        held_out = [
            m.held_out or m.detector.predict(self._learnt, store=self._features) for m in members
        ]
        detector = dataclasses.replace(ensemble)
        detector.assemble(
            [m.detector for m in members],
            held_out,
            groups=self._of_learnt.groups,
            store=self._features,
            progress=self._stage("weigh"),
        )
        fit_seconds = sum(m.fit_seconds + m.calibrate_seconds for m in members)
        peak = max(peak_memory_mb(), *(m.peak_memory_mb for m in members))
        return Fitted(detector, None, fit_seconds, clock.seconds(), peak, [])

    def _member(
        self, member: Detector, identity: Identity, scratch: Path, suffix: str, *, calibrate: bool
    ) -> Fitted:
        """Take over or fit the detector or one that it is made of; keep it for others."""
        good = self._learnt
        fitted = self._shelf.take(identity)
        if fitted is None and self._models is not None:
            fitted = self._models.find(member, identity, good)
        looks = self._task.asked.oracle and member.trained
        if fitted is None or (looks and not fitted.epochs):
            fitted = self._fit(member, scratch)
        if calibrate and fitted.held_out is None and len(good) > 1:
            reset_peak_memory()
            clock = Clock(self._features)
            training = Training(checkpoint=f"{scratch}.training")
            progress = self._stage("calibrate")
            fitted.held_out = calibrate_grouped(
                fitted.detector,
                good,
                self._of_learnt,
                store=self._features,
                progress=progress,
                training=training,
            )
            fitted.calibrate_seconds = clock.seconds() + training.resumed_seconds
            self._notice(training)
            fitted.peak_memory_mb = max(fitted.peak_memory_mb, peak_memory_mb())
        if calibrate and self._models is not None:
            self._models.keep(fitted, identity, self._task.name, suffix)
        self._shelf.put(identity, fitted)
        return fitted

    def _fit(self, member: Detector, scratch: Path) -> Fitted:
        detector = dataclasses.replace(member)  # tasks stay as they are, small
        reset_peak_memory()
        training = Training(checkpoint=f"{scratch}.training")
        path = Path(f"{scratch}.epochs")
        asked = self._task.asked
        curve = TestCurve(self._category, self._features, training, path, asked.evaluate_at)
        if (watcher := self._watcher) is not None:
            training.log = lambda step, values: watcher.trained(self._task, step, values)
        if asked.oracle and detector.trained:
            training.after_epoch = curve
        clock = Clock(self._features)
        detector.fit(
            self._learnt,
            store=self._features,
            progress=self._stage("fit"),
            training=training,
        )
        self._notice(training)
        seconds = clock.seconds() - curve.seconds + training.resumed_seconds
        return Fitted(detector, None, seconds, 0.0, peak_memory_mb(), curve.epochs)

    def _notice(self, training: Training) -> None:
        if self._watcher is not None:
            for note in training.notes:
                self._watcher.notice(note)

    def _stage(self, name: str) -> Progress | None:
        if (watcher := self._watcher) is None:
            return None
        return lambda done, total: watcher.stage(self._task, name, done, total)
