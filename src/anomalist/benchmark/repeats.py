"""Seeds that change nothing: their runs are copies of one that is computed, and say so."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from anomalist.benchmark.recording import now
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.store import ResultStore
from anomalist.benchmark.tasks import Key, Task
from anomalist.benchmark.watching import Watcher


def split_repeats(
    tasks: Sequence[Task], known: Mapping[Key, RunRecord]
) -> tuple[list[Task], list[tuple[Task, Key]]]:
    """Part tasks whose records would be copies of another's from those to compute.

    Parameters
    ----------
    tasks : sequence of Task
        Those that have no record that serves.
    known : mapping of Key to RunRecord
        The records that there are, whether they serve or not.

    Returns
    -------
    to_compute : list of Task
        In their order.
    repeats : list of (Task, Key)
        The others, each with what it is a copy of: a record, or a task to compute.
    """
    original: dict[tuple[str, str], Key] = {}
    for task in sorted((t for t in tasks if not t.seed_matters), key=lambda t: t.seed):
        if task.key[:2] not in original:
            serving = [
                key
                for key, record in known.items()
                if key[:2] == task.key[:2]
                and record.repeats_seed is None
                and task.is_done_by(record)
            ]
            original[task.key[:2]] = min(serving, default=task.key)
    to_compute, repeats = [], []
    for task in tasks:
        of = task.key if task.seed_matters else original[task.key[:2]]
        if of == task.key:
            to_compute.append(task)
        else:
            repeats.append((task, of))
    return to_compute, repeats


def write_repeats(
    repeats: Sequence[tuple[Task, Key]], results: ResultStore, watcher: Watcher | None = None
) -> None:
    """Write the records of tasks that are copies of others, which are done.

    Parameters
    ----------
    repeats : sequence of (Task, Key)
        As `split_repeats` gives them.
    results : ResultStore
        Has what they are copies of, and takes theirs.
    watcher : Watcher, optional
        Is told of each.
    """
    for task, (name, category, seed) in repeats:
        computed = results.find(name, category, seed)
        if computed is None:  # what was to compute it has told why
            continue
        record = dataclasses.replace(
            computed,
            seed=task.seed,
            repeats_seed=seed,
            parameters=task.detector.parameters(),
            command=task.command,
            finished=now(),
        )
        results.write(record)
        if watcher is not None:
            watcher.end(record)


def tell_repeats(records: Sequence[RunRecord]) -> list[str]:
    """Say of which detectors some seeds are copies.

    Parameters
    ----------
    records : sequence of RunRecord
        Of any detectors, categories and seeds.

    Returns
    -------
    list of str
        A line a detector that has some.
    """
    seeds: dict[str, dict[int, None]] = {}
    for record in records:
        if record.repeats_seed is not None:
            seeds.setdefault(record.detector, {})[record.seed] = None
    return [
        f"{name}: nothing here depends on the seed; seed{'s' if len(of) > 1 else ''}"
        f" {', '.join(map(str, sorted(of)))} repeat{'' if len(of) > 1 else 's'} what another gave"
        for name, of in seeds.items()
    ]
