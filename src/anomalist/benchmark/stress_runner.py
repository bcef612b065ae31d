"""A stress test: what detectors do with few photographs, bad ones, other light, other framing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from anomalist.benchmark.names import named
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.runner import benchmark, write_results
from anomalist.benchmark.store import RunStore
from anomalist.benchmark.stress_bench import Group, Missing, StressBench, of_case
from anomalist.benchmark.stress_cases import CHANGED, Case, parse_cases
from anomalist.benchmark.stress_store import case_store, stress_frame, stress_runs
from anomalist.benchmark.tasks import Asked, plan
from anomalist.benchmark.watching import Watcher
from anomalist.calibration import DEFAULT_ALPHA
from anomalist.data import Category, Dataset
from anomalist.data.names import plural
from anomalist.detectors import Detector
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore
from anomalist.metrics import EvaluatedAt, extra_limits

if TYPE_CHECKING:
    from anomalist.benchmark.ray_executor import RayExecutor

#: Draws of what is learnt from, where the number of photographs is the condition.
DEFAULT_DRAWS = 3


class StressWatcher(Watcher, Protocol):
    """Is told how a stress test goes on: as of a benchmark, and how long it may still take."""

    def expect(self, text: str, seconds: float) -> None:
        """What was just done, and about how many seconds all the rest takes."""


def stress(
    dataset: Dataset,
    detectors: Sequence[Detector] | Mapping[str, Detector],
    out: str | Path,
    *,
    categories: Sequence[str] | None = None,
    conditions: Sequence[str] | None = None,
    where: Sequence[str] = CHANGED,
    seeds: Sequence[int] = (0,),
    draws: int = DEFAULT_DRAWS,
    alpha: float = DEFAULT_ALPHA,
    evaluate_at: EvaluatedAt = "original",
    pro_limits: Iterable[float] = (),
    split: float | None = None,
    groups: str = "auto",
    store: FeatureStore | None = None,
    watcher: StressWatcher | None = None,
    command: str | None = None,
    executor: RayExecutor | None = None,
) -> pd.DataFrame:
    """Measure detectors under disturbed conditions, at stated levels, beside the undisturbed run.

    The undisturbed run is a `benchmark` into ``out``. Then, condition by condition and level by
    level, photographs are changed as they are read, or others are learnt from; each run has a
    record of its own below ``out/stress``, written whole or not at all. A run whose record is
    there, made with the same configuration, data and version, is not done again: what was stopped
    goes on where it was, and further conditions and levels join what is there. Another
    configuration under a name that is taken is refused, as by `benchmark`.

    At a level, an image passes a backbone once for all detectors and seeds that share it. What was
    learnt from undisturbed images serves for all conditions that change test images alone. Which
    images show one scene is found out from the undisturbed ones, and holds for all conditions.

    Parameters
    ----------
    dataset : Dataset
        Such as :class:`~anomalist.data.MVTecAD`.
    detectors : sequence of Detector, or mapping of str to Detector
        Unfitted, by name, as `benchmark` takes them.
    out : str or Path
        The results folder.
    categories : sequence of str, optional
        All of the data set's where not given.
    conditions : sequence of str, optional
        Names of conditions, each with levels of its own where some are given, as in
        ``brightness=0.8:1.2``; by default all at their usual levels.
    where : sequence of {"test", "all"}
        Whether photographs are changed among the test images alone, among all, or both in turn.
    seeds : sequence of int
        Each detector is run once a seed.
    draws : int
        For ``shots``, the least number of seeds: as many more are taken as ``seeds`` has too few.
    alpha, evaluate_at, pro_limits, split, groups, store, command
        As for `benchmark`; ``store`` keeps the features of undisturbed images.
    watcher : StressWatcher, optional
        Is told of progress; without one, what isn't counted is a warning.
    executor : RayExecutor, optional
        Does all on the machines of a cluster, with the same bits. What one fit serves is done by
        one worker, and its records come home when all of it is done.

    Returns
    -------
    DataFrame
        All of ``stress.csv``, that of earlier calls too: ``detector``, ``category``, ``condition``,
        ``level``, ``where``, ``seed``, ``train_images``, ``test_images``, the metrics of
        ``results.csv``, ``image_hit_rate``, the share of defective images above the threshold, and
        ``notes``.

    Raises
    ------
    DataError
        If a category has no test image or none whose label is known, or an image can't be read.
    ParameterError
        If a condition or level makes no sense, or as for `benchmark`.
    ClusterError
        If the cluster can't be reached or lacks what is needed, or some runs failed there; the
        others are done then.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import MVTecAD, PatchCore
    >>> from anomalist.data import make_sample_set
    >>> root = make_sample_set(
    ...     tempfile.mkdtemp(), image_size=64, train=4, good=2, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> detectors = [PatchCore(image_size=64)]
    >>> frame = stress(
    ...     MVTecAD(root), detectors, tempfile.mkdtemp(), conditions=["brightness=0.5"],
    ... )
    >>> frame[["condition", "level", "where"]].values.tolist()
    [['baseline', nan, nan], ['brightness', 0.5, 'test'], ['brightness', 0.5, 'all']]
    """
    cases = parse_cases(conditions, where)
    if draws < 1:
        raise ParameterError(f"draws must be at least 1, not {draws}")
    detectors, out = named(detectors), Path(out)
    limits = extra_limits(pro_limits)
    asked = Asked(
        alpha=alpha, evaluate_at=evaluate_at, pro_limits=limits, split=split, groups=groups
    )
    names = list(dataset.categories if categories is None else categories)
    sets = {name: dataset.category(name) for name in names}
    for name, category in sets.items():
        if len(category.test) and all(sample.label is None for sample in category.test):
            raise DataError(
                f"{name} has no test image that is known to be good or defective: a stress test"
                " needs some"
            )
    store = FeatureStore() if store is None else store
    trained = any(part.trained for d in detectors.values() for part in d.components())
    undisturbed = benchmark(
        dataset,
        detectors,
        out,
        categories=names,
        seeds=seeds,
        alpha=alpha,
        evaluate_at=evaluate_at,
        pro_limits=limits,
        split=split,
        groups=groups,
        keep_models=trained,
        store=store,
        watcher=watcher,
        command=command,
        executor=executor,
    )
    more = [seed for seed in range(max(seeds) + draws + 1) if seed not in seeds]
    of_shots = [*seeds, *more[: max(draws - len(seeds), 0)]]
    tasks = list(
        plan(
            dataset,
            detectors,
            {record.category: record.data_hash for record in undisturbed},
            seeds=of_shots,
            asked=asked,
            keep_models=trained,
            command=command,
        )
    )
    bench = StressBench(sets, out, store, tasks, watcher)
    _Runner(bench, undisturbed, watcher, executor).run(
        [
            group
            for name, category in sets.items()
            for group in _groups(category, _fitting(cases, category, watcher), seeds, of_shots)
        ]
    )
    inventory = RunStore(out).inventory()
    write_results(inventory.records, out, left_out=inventory.left_out)
    return stress_frame(stress_runs(out, inventory.records))


def _groups(
    category: Category, cases: Sequence[Case], seeds: Sequence[int], of_shots: Sequence[int]
) -> Iterator[Group]:
    alone = tuple(case for case in cases if case.where == "test")
    if alone:
        yield Group(category.name, alone, tuple(seeds))
    for case in cases:
        if case.where == "all":
            yield Group(category.name, (case,), tuple(seeds))
    for case in cases:
        if case.where == "train":
            drawn = of_shots if case.condition == "shots" else seeds
            yield from (Group(category.name, (case,), (seed,)) for seed in drawn)


def _fitting(cases: Sequence[Case], category: Category, watcher: Watcher | None) -> list[Case]:
    """Leave out more shots than there are images; as many as there are is the undisturbed run."""
    there = len(category.train)
    beyond = [case for case in cases if case.condition == "shots" and case.level > there]
    if beyond and watcher is not None:
        left_out = ", ".join(f"{case.level:g}" for case in beyond)
        watcher.notice(
            f"{category.name} has {plural(there, 'image')} to learn from: shots {left_out} left out"
        )
    return [case for case in cases if case.condition != "shots" or case.level < there]


@dataclass
class _Runner:
    """Does what is missing, group by group, here or on a cluster."""

    bench: StressBench
    undisturbed: Sequence[RunRecord]
    watcher: StressWatcher | None
    executor: RayExecutor | None

    def run(self, groups: Sequence[Group]) -> None:
        """Do all, with the time that undisturbed runs took for a first estimate."""
        to_do = {group: self._missing(group) for group in groups}
        runs = sum(len(self.bench.of(group)) * len(group.cases) for group in groups)
        left = sum(len(missing) for cases in to_do.values() for missing in cases.values())
        if self.watcher is not None:
            self.watcher.begin(runs, runs - left)
        costs = {group: self._cost(group, missing) for group, missing in to_do.items()}
        total, done, began = sum(costs.values()), 0.0, time.perf_counter()
        if self.watcher is not None and total:
            self.watcher.expect("", total)
        for group, case in self._done(to_do, costs):
            done += costs[group] / len(to_do[group])
            if self.watcher is not None:
                spent = time.perf_counter() - began
                text = f"{group.category} {case.condition} {case.level:g}"
                self.watcher.expect(f"{text} ({case.where})", spent / done * (total - done))

    def _done(
        self, to_do: Mapping[Group, Missing], costs: Mapping[Group, float]
    ) -> Iterator[tuple[Group, Case]]:
        """Do groups, and yield each case that is done."""
        if self.executor is not None:
            from anomalist.benchmark.stress_on_ray import on_cluster

            missing = {group: cases for group, cases in to_do.items() if cases}
            longest_first = dict(sorted(missing.items(), key=lambda item: -costs[item[0]]))
            yield from on_cluster(self.executor, self.bench, longest_first, self.undisturbed)
            return
        for group, cases in to_do.items():
            for case in self.bench.done(group, cases):
                yield group, case

    def _missing(self, group: Group) -> Missing:
        """The tasks of each case whose records aren't there."""
        found = {}
        for case in group.cases:
            results = case_store(self.bench.out, case)
            missing = []
            for task in self.bench.of(group):
                record = results.find(*task.key)
                if record is None or not of_case(task, case).is_done_by(record):
                    missing.append(task)
            if missing:
                found[case] = missing
        return found

    def _cost(self, group: Group, missing: Missing) -> float:
        """About how many seconds it takes, by what undisturbed runs took."""
        of = {(r.detector, r.category): r for r in self.undisturbed}
        share = 1.0
        if group.case is not None and group.case.condition == "shots":
            share = group.case.level / len(self.bench.sets[group.category].train)
        needed = {task.key: task for tasks in missing.values() for task in tasks}
        fits = [of[task.name, task.category] for task in needed.values()]
        tests = [of[task.name, task.category] for tasks in missing.values() for task in tasks]
        return share * sum(r.fit_seconds + r.calibrate_seconds for r in fits) + sum(
            r.predict_seconds for r in tests
        )
