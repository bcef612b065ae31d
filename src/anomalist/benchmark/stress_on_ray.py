"""What a stress test does, done by the machines of a Ray cluster: a task a group of cases."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from anomalist.benchmark.ray_executor import RayExecutor
from anomalist.benchmark.recording import now
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.store import RunStore
from anomalist.benchmark.stress_bench import Group, Missing, StressBench
from anomalist.benchmark.stress_cases import Case
from anomalist.benchmark.stress_store import case_store
from anomalist.benchmark.tasks import Task
from anomalist.cluster import connected
from anomalist.data import Category
from anomalist.data.names import plural
from anomalist.errors import AnomalistError, ClusterError
from anomalist.features import FeatureStore

_NAMED = 3


@dataclass(frozen=True)
class _Work:
    """A group of cases, and what it takes to do them elsewhere, but for images and models."""

    group: Group
    missing: Missing
    tasks: Sequence[Task]
    threads: int
    store: Mapping[str, Any]
    folder: str


@dataclass
class _Home:
    """What comes home of a group: records by their cases, what was told, why it isn't done."""

    records: list[tuple[Case, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    failure: str = ""

    def notice(self, text: str) -> None:
        """Keep it, as `Watcher` has it."""
        self.notices.append(text)

    def begin(self, runs: int, reused: int) -> None:
        """Keep nothing: that is the driver's, as what follows."""

    def stage(self, task: Task, name: str, done: int, total: int) -> None:
        """Keep nothing."""

    def trained(self, task: Task, step: int, values: Mapping[str, float]) -> None:
        """Keep nothing."""

    def end(self, record: RunRecord) -> None:
        """Keep nothing: records are read when all are there."""


def on_cluster(
    executor: RayExecutor,
    bench: StressBench,
    groups: Mapping[Group, Missing],
    known: Sequence[RunRecord],
) -> Iterator[tuple[Group, Case]]:
    """Do groups on a cluster, and yield each case whose records have come home.

    A group whose worker is lost is done again elsewhere, as often as the executor says.

    Parameters
    ----------
    executor : RayExecutor
        Where, and with what.
    bench : StressBench
        What would do them here.
    groups : mapping of Group to Missing
        In the order in which they are begun.
    known : sequence of RunRecord
        The undisturbed runs, which tell how much memory is needed.

    Raises
    ------
    ClusterError
        If the cluster can't be reached or lacks what is needed, or groups failed; the others are
        done then.
    """
    if not groups:
        return
    failed = dict[Group, str]()
    with connected(executor.address) as ray:
        needs = executor.needs(ray, [t for group in groups for t in bench.of(group)], known)
        do = ray.remote(**needs.options, max_retries=executor.retries)(_done)
        images = {name: ray.put(category) for name, category in bench.sets.items()}
        models = _models(ray, bench)
        left = {}
        for group, missing in groups.items():
            threads, folder = torch.get_num_threads(), str(Path.cwd())
            work = _Work(group, missing, bench.of(group), threads, executor.store, folder)
            left[do.remote(work, images[group.category], models[group.category])] = group
        try:
            while left:
                (answer, *_), _ = ray.wait([*left], num_returns=1)
                group = left.pop(answer)
                home = _fetched(ray, answer)
                _keep(bench, home)
                if home.failure:
                    failed[group] = home.failure
                    continue
                yield from ((group, case) for case in groups[group])
        finally:
            for answer in left:
                with suppress(Exception):  # whatever became of the cluster
                    ray.cancel(answer, force=True)
    if failed:
        told = [f"{g.category} {g.cases[0].condition}: {why}" for g, why in failed.items()]
        raise ClusterError(
            f"{plural(len(failed), 'part')} of {len(groups)} of the stress test failed, the others"
            f" are done: {'; '.join(told[:_NAMED])}"
        )


def _models(ray: Any, bench: StressBench) -> dict[str, dict[str, Any]]:
    """Send the models that undisturbed runs kept, by their categories and keys, each once."""
    kept = RunStore(bench.out)
    keys = kept.keys("models/")
    found: dict[str, dict[str, Any]] = {}
    for category in bench.sets:
        of = [key for key in keys if key.rpartition("/")[2].startswith(f"{category}_seed")]
        found[category] = {key: ray.put((bench.out / key).read_bytes()) for key in of}
    return found


def _fetched(ray: Any, answer: Any) -> _Home:
    try:
        home: _Home = ray.get(answer)
        return home
    except ray.exceptions.RayError as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return _Home(failure=f"its workers were lost, at last: {why}")


def _keep(bench: StressBench, home: _Home) -> None:
    """Write what came home, and tell."""
    if bench.watcher is not None:
        for text in home.notices:
            bench.watcher.notice(text)
    for case, text in home.records:
        record = RunRecord.from_json(text, written=now())
        case_store(bench.out, case).write(record)
        if bench.watcher is not None:
            bench.watcher.end(record)


def _done(work: _Work, category: Category, models: Mapping[str, Any]) -> _Home:
    """Do a group in a worker."""
    import ray

    home = _Home()
    before = torch.get_num_threads()
    torch.set_num_threads(work.threads)  # they decide bits
    with suppress(OSError):
        os.chdir(work.folder)  # relative paths start there, where this machine has it too
    try:
        with (
            tempfile.TemporaryDirectory(prefix="anomalist-stress-") as name,
            threadpool_limits(work.threads),
        ):
            folder = Path(name)
            for key, sent in models.items():
                with RunStore(folder).put(key) as path:
                    path.write_bytes(ray.get(sent))
            store = FeatureStore(**work.store)
            bench = StressBench({category.name: category}, folder, store, work.tasks, home)
            for case in bench.done(work.group, work.missing):
                for path in case_store(folder, case).folder.glob("*/*.json"):
                    home.records.append((case, path.read_text(encoding="utf-8")))
    except (AnomalistError, OSError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        home.failure = f"{text} (on {socket.gethostname()})"
    finally:
        torch.set_num_threads(before)
    return home
