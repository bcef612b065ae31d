"""Parts scored by the machines of a Ray cluster: a loaded model an actor."""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from anomalist import errors
from anomalist.cluster import Needs, accelerators, check_asked, resources, through_client
from anomalist.errors import AnomalistError, ClusterError
from anomalist.inspection.bulk.hold import LOCK
from anomalist.inspection.bulk.manifest import Part
from anomalist.inspection.bulk.scorer import Job, Scorer, ToScore
from anomalist.inspection.card import open_model
from anomalist.storage import open_storage

# How often a part is given to another worker when the one that had it dies.
_RETRIES = 3


@dataclass(frozen=True)
class Workers:
    """What scores parts.

    Parameters
    ----------
    count : int, optional
        How many at most; by default as many as the cluster has room for.
    cpus : int
        Processors of each, which is also how many threads compute.
    gpus : float, optional
        Accelerators of each, such as 0.5; by default 1 where the cluster has any and the device
        isn't another, else 0.
    memory_mb : int, optional
        Memory that is set aside for each.

    Raises
    ------
    ParameterError
        If one of them can't be.
    """

    count: int | None = None
    cpus: int = 1
    gpus: float | None = None
    memory_mb: int | None = None

    def __post_init__(self) -> None:
        check_asked(
            workers=self.count,
            worker_cpus=self.cpus,
            worker_gpus=self.gpus,
            worker_memory_mb=self.memory_mb,
        )


def score_on_ray(
    ray: Any,
    model: Path,
    device: str | None,
    job: Job,
    parts: Sequence[ToScore],
    workers: Workers,
) -> Iterator[tuple[int, Part]]:
    """Yield parts as they are done, in any order.

    Every worker reads its objects and writes its rows by itself, so that no photograph passes
    another machine, and what comes here is a line a part.

    Parameters
    ----------
    ray : module
        Connected.
    model : Path
        The model's file on this machine.
    device : str, optional
        Where workers run the model, instead of the device that it was fitted with.
    job : Job
        What to do.
    parts : sequence of ToScore
        Of which.
    workers : Workers
        What each worker is, and how many there are.

    Raises
    ------
    AnomalistError
        That a worker told.
    ClusterError
        If the cluster has no room for a worker, or parts aren't done after all retries; the others
        are then.
    """
    left = {part.number: part for part in parts}
    pool = _Pool([ray.put(model.read_bytes())], device, job, workers)
    score = partial(_on_cluster, ray, pool) if through_client() else pool.score
    for _ in range(_RETRIES + 1):
        for number, part in score(list(left.values())):
            del left[number]
            yield number, part
        if not left:
            return
    raise ClusterError(
        f"{len(left)} of {len(parts)} parts aren't done, such as {min(left)}: the workers that had"
        f" it ended {_RETRIES + 1} times (out of memory? the log of Ray tells); the others are"
        " done, and the same command goes on with what is left"
    )


@dataclass(frozen=True)
class _Pool:
    """The workers of one call, with a reference to the bytes of the model's file in a list."""

    model: list[Any]
    device: str | None
    job: Job
    workers: Workers

    def score(self, parts: Sequence[ToScore]) -> Iterator[tuple[int, Part]]:
        """Yield those parts that are done when each is given to a worker once."""
        with warnings.catch_warnings():
            # Ray Data warns of options that it sets itself; and there is no newer way to limit
            # retries.
            warnings.simplefilter("ignore", DeprecationWarning)
            done = self._planned(parts)
        for row in done.iter_rows():
            answer = json.loads(row["answer"])
            if "error" in answer:
                kind = getattr(errors, answer["kind"], ClusterError)
                raise kind(answer["error"])
            yield answer["number"], Part(**answer["part"])

    def _planned(self, parts: Sequence[ToScore]) -> Any:
        """Return the data set of answers, which are made as they are asked for."""
        import ray
        import ray.data

        workers = self.workers
        machines = resources(ray)
        gpus = accelerators(machines, [self.device]) if workers.gpus is None else workers.gpus
        needs = Needs(workers.cpus, gpus, workers.memory_mb)
        needs.check_room(machines)
        room = needs.room(machines) if workers.count is None else workers.count
        count = max(1, min(room, needs.room(machines), len(parts)))
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        data = ray.data.from_items(
            [dataclasses.asdict(part) for part in parts], override_num_blocks=len(parts)
        )
        data.context.enable_progress_bars = False
        data.context.print_on_execution_start = False
        # A worker that ends, or the machine that it ran on, takes its part with it and stops no
        # other.
        data.context.max_errored_blocks = -1
        return data.map_batches(
            _Worker,
            fn_constructor_kwargs={
                "model": self.model[0],
                "device": self.device,
                "job": self.job,
                "threads": workers.cpus,
                "token": _token(self.job),
            },
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=count, initial_size=count, max_tasks_in_flight_per_actor=1
            ),
            max_task_retries=0,
            max_restarts=-1,
            **{**needs.options, "num_gpus": gpus or None},
        )


class _Host:
    """An actor in whose process Ray Data runs, which can't run in that of a client."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._done: Iterator[tuple[int, Part]] = iter(())

    def begin(self, parts: Sequence[ToScore]) -> None:
        """Begin with parts."""
        self._done = self._pool.score(parts)

    def told(self) -> tuple[int, Part] | tuple[str, str] | None:
        """Return the next part that is done, or what went wrong in words; None if all are."""
        try:
            return next(self._done, None)
        except AnomalistError as error:
            return type(error).__name__, str(error)


def _on_cluster(ray: Any, pool: _Pool, parts: Sequence[ToScore]) -> Iterator[tuple[int, Part]]:
    """Yield those parts that are done when each is given to a worker once, from within."""
    host = ray.remote(num_cpus=0)(_Host).remote(pool)
    try:
        ray.get(host.begin.remote(parts))
        while (told := ray.get(host.told.remote())) is not None:
            first, second = told
            if isinstance(first, str):
                raise getattr(errors, first, ClusterError)(second)
            yield first, second
    except ray.exceptions.RayActorError:
        return  # its machine is lost: what is left is given out again
    finally:
        with suppress(Exception):  # whatever became of the cluster
            ray.kill(host)


def _token(job: Job) -> str | None:
    """What tells a folder of results from one of the same name on another machine."""
    return job.out.read(LOCK).decode() if job.out.local is not None else None


class _Worker:
    """An actor: the model is loaded once, parts are scored one after the other."""

    def __init__(
        self, model: Any, device: str | None, job: Job, threads: int, token: str | None
    ) -> None:
        self._model, self._device, self._job = model, device, job
        self._threads, self._token = threads, token
        self._scorer: Scorer | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Score a part, and say what was done or what went wrong."""
        part = ToScore(
            **{
                name: values[0].item() if hasattr(values[0], "item") else values[0]
                for name, values in batch.items()
            }
        )
        try:
            if self._scorer is None:
                self._scorer = self._loaded()
            done = self._scorer.score(part)
        except (AnomalistError, OSError) as error:
            kind = type(error).__name__
            return {"answer": [json.dumps({"kind": kind, "error": str(error)})]}
        answer = {"number": part.number, "part": dataclasses.asdict(done)}
        return {"answer": [json.dumps(answer)]}

    def _loaded(self) -> Scorer:
        import ray
        import torch

        # What decides bits: the same number on every machine.
        torch.set_num_threads(self._threads)
        self._check_folders()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.anomalist"
            path.write_bytes(ray.get(self._model))
            return Scorer(open_model(path, device=self._device), self._job)

    def _check_folders(self) -> None:
        """Refuse a machine that doesn't see the folders that the driver sees."""
        import socket

        local = self._job.out.local
        way = "give an address, or a folder that all machines share"
        if local is not None:
            try:
                seen = (local / LOCK).read_text()
            except OSError:
                seen = None
            if seen != self._token:
                raise ClusterError(f"{socket.gethostname()} doesn't see the folder {local}: {way}")
        for root in self._job.roots:
            folder = open_storage(root).local
            if folder is not None and not folder.is_dir():
                raise ClusterError(f"{socket.gethostname()} doesn't see the folder {folder}: {way}")
