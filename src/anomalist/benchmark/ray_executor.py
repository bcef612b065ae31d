"""Does the tasks of a benchmark on a Ray cluster."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from anomalist.benchmark.dealing import Dealer, Group, Hand, group_of
from anomalist.benchmark.ray_worker import News, Sent, Worker
from anomalist.benchmark.recording import now
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.store import ResultStore
from anomalist.benchmark.tasks import Key, Task
from anomalist.benchmark.watching import Watcher
from anomalist.cluster import Needs, accelerators, check_asked, connected, resources
from anomalist.data.names import plural
from anomalist.errors import ClusterError, ParameterError

#: Memory that a task is taken to need where no record tells, in MB.
DEFAULT_MEMORY_MB = 3000.0
#: How much more than the measured peak is asked for: others of the same name may need more.
_ROOM = 1.2
#: Workers that are asked for beyond those that the cluster has room for, so that one that grows by
#: what is asked of it does.
_WAITING = 8
_POLL_SECONDS = 0.5
#: Seconds after which it is told that no worker has found room yet.
_PATIENCE_SECONDS = 120.0
_NAMED = 3


class RayExecutor:
    """Does tasks on the machines of a Ray cluster, with the same bits as on this one.

    Workers are processes that Ray places where the stated processors, accelerators and memory are
    free; each does one task after the other, as `Dealer` deals them. Records and blobs come home
    as each task is done. A task whose worker is lost is done again elsewhere. One that fails is
    named at the end, when the others are done.

    Parameters
    ----------
    address : str
        ``local``, ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``, see
        `~anomalist.cluster.connected`.
    cpus : int, optional
        Processors of a task; by default as many as torch has threads here, or as the largest node
        has, if that is less.
    gpus : float, optional
        Accelerators of a task; by default 1 where the cluster has any and a detector may run on
        one, else 0.
    memory_mb : float, optional
        Memory of a task in MB; by default 1.2 times the highest peak that records in the results
        folder tell of the same names, 3000 where they tell none, and no more than the largest node
        has.
    retries : int
        How often a task whose worker was lost is done again.
    store : mapping, optional
        What the feature store of each worker takes, see `~anomalist.features.FeatureStore`.

    Raises
    ------
    ParameterError
        If a number makes no sense.

    Examples
    --------
    >>> RayExecutor("local", cpus=0)
    Traceback (most recent call last):
    ...
    anomalist.errors.ParameterError: --worker_cpus must be at least 1, not 0
    """

    #: What does tasks on the cluster: a class that is called as `Worker` is.
    worker: type = Worker

    def __init__(
        self,
        address: str,
        *,
        cpus: int | None = None,
        gpus: float | None = None,
        memory_mb: float | None = None,
        retries: int = 3,
        store: Mapping[str, Any] | None = None,
    ) -> None:
        check_asked(worker_cpus=cpus, worker_gpus=gpus, worker_memory_mb=memory_mb)
        if retries < 0:
            raise ParameterError(f"retries must not be negative, not {retries}")
        #: Of the cluster.
        self.address = address
        self._cpus, self._gpus, self._memory_mb = cpus, gpus, memory_mb
        #: How often what was lost with its worker is done again.
        self.retries = retries
        #: What the feature store of each worker takes.
        self.store = dict(store or {})

    def run(
        self, tasks: Sequence[Task], results: ResultStore, watcher: Watcher | None = None
    ) -> None:
        """Do tasks; when it returns, the store has the record of each.

        Raises
        ------
        ClusterError
            If the cluster can't be reached or lacks what tasks need, or some failed; the others
            are done then.
        """
        if not tasks:
            return
        known = results.inventory().everything
        with connected(self.address) as ray:
            needs = self.needs(ray, tasks, known)
            do = ray.remote(self.worker)
            run = _Run(ray, do, tasks, known, results, watcher, needs, self.store, self.retries)
            try:
                run.go()
            finally:
                run.stop()

    def needs(self, ray: Any, tasks: Sequence[Task], known: Iterable[RunRecord]) -> Needs:
        """Return what workers ask for, such that a machine can have one.

        Parameters
        ----------
        ray : module
            Connected.
        tasks : sequence of Task
            What they are to do.
        known : iterable of RunRecord
            Runs whose peaks of memory count for tasks of their names.

        Raises
        ------
        ClusterError
            If no machine has room for one.
        """
        machines = resources(ray)
        largest = int(max((m.get("CPU", 0) for m in machines), default=0))
        cpus = self._cpus or max(1, min(torch.get_num_threads(), largest))
        devices = [member.device for task in tasks for member in task.members]
        gpus = accelerators(machines, devices) if self._gpus is None else self._gpus
        needs = Needs(cpus, gpus, self._memory_mb)
        needs.check_room(machines)
        if self._memory_mb is not None:
            return needs
        most = max(m.get("memory", 0) for m in machines if needs.room([m])) / 2**20
        names = {task.name for task in tasks}
        peaks = [r.peak_memory_mb * _ROOM for r in known if r.detector in names]
        return Needs(cpus, gpus, min(max(peaks, default=DEFAULT_MEMORY_MB), most))


@dataclass(eq=False)
class _Hired:
    """A worker: what Ray knows it by, its hand, and what it was asked last."""

    actor: Any
    hand: Hand
    asked: Any
    task: Task | None = None
    here: bool = False
    telling: Any = None
    group: Group | None = None
    sent: set[Key] = field(default_factory=set)


@dataclass
class _Run:
    """One call of the executor."""

    ray: Any
    worker: Any
    tasks: Sequence[Task]
    known: Iterable[RunRecord]
    results: ResultStore
    watcher: Watcher | None
    needs: Needs
    store: Mapping[str, Any]
    retries: int
    threads: int = field(default_factory=torch.get_num_threads)
    _workers: list[_Hired] = field(default_factory=list)
    _lost: dict[Key, int] = field(default_factory=dict)
    _failed: dict[Key, str] = field(default_factory=dict)
    _never_came: int = 0
    _blobs: dict[str, Any] = field(default_factory=dict)
    _patience: float = field(default_factory=lambda: time.monotonic() + _PATIENCE_SECONDS)

    def go(self) -> None:
        """Do all tasks, or all that can be."""
        dealer = Dealer(self.tasks, self.known)
        while dealer.left:
            self._hire(dealer)
            for worker in self._workers:
                if worker.here and worker.task is None:
                    self._give(dealer, worker)
            busy = {w.asked: w for w in self._workers if not w.here or w.task is not None}
            ready, _ = self.ray.wait([*busy], num_returns=1, timeout=_POLL_SECONDS)
            for answer in ready:
                self._answered(dealer, busy[answer])
            self._listen()
            self._tell_of_room()
        if self._failed:
            raise ClusterError(self._sentence())

    def stop(self) -> None:
        """End all workers, whatever they do."""
        for worker in self._workers:
            self.ray.kill(worker.actor)
        self._workers.clear()

    def _tell_of_room(self) -> None:
        """Say once why nothing goes on where other work has the cluster."""
        if any(worker.here for worker in self._workers):
            self._patience = math.inf
        elif time.monotonic() > self._patience:
            self._patience = math.inf
            self._notice(f"waiting for room on the cluster: a worker takes {self.needs}")

    def _hire(self, dealer: Dealer) -> None:
        """Ask for workers, as many as there are tasks for; Ray starts those it has room for."""
        coming = sum(not w.here for w in self._workers)
        idle = sum(w.here and w.task is None for w in self._workers)
        for _ in range(min(_WAITING, dealer.waiting - idle) - coming):
            actor = self.worker.options(
                **self.needs.options,
                max_restarts=0,
                max_concurrency=2,  # it is asked how far it is while it works
            ).remote(self.threads, self.store, str(Path.cwd()))
            self._workers.append(_Hired(actor, dealer.join(), actor.ready.remote()))

    def _give(self, dealer: Dealer, worker: _Hired) -> None:
        """Send a worker its next task, with those of the task's group that it hasn't got."""
        task = dealer.deal(worker.hand)
        if task is None:
            return
        group = group_of(task)
        if group != worker.group:
            worker.group, worker.sent = group, set()
        fresh = [t for t in dealer.together(task) if t.key not in worker.sent]
        worker.sent |= {t.key for t in fresh}
        reachable = self.results if self.results.reachable else None
        blobs = self._known_blobs(task) if reachable is None else {}
        worker.task = task
        worker.asked = worker.actor.do.remote(task.key, group, fresh, reachable, blobs)

    def _known_blobs(self, task: Task) -> dict[str, Any]:
        """Return kept models that a task may take over, as references, each sent once."""
        if not task.keeps_model:
            return {}
        starts = tuple(f"{i.category}_seed{i.seed}." for i in task.identities)
        found = {}
        for key in self.results.keys("models/"):
            if not key.rpartition("/")[2].startswith(starts):
                continue
            if key not in self._blobs and (path := self.results.get(key)) is not None:
                self._blobs[key] = self.ray.put(path.read_bytes())
            if key in self._blobs:
                found[key] = self._blobs[key]
        return found

    def _answered(self, dealer: Dealer, worker: _Hired) -> None:
        from ray.exceptions import RayError

        task = worker.task
        try:
            answer = self.ray.get(worker.asked)
        except RayError as error:
            self._gone(dealer, worker, error)
            return
        if task is None:
            worker.here, self._never_came = True, 0
            return
        worker.task = None
        self._hear(worker)
        self._tell(answer.news)
        self._home(dealer, worker.hand, task, answer)

    def _home(self, dealer: Dealer, hand: Hand, task: Task, sent: Sent) -> None:
        """Keep what came home of a task."""
        if sent.failure:
            self._give_up(dealer, task, sent.failure)
            return
        for key, data in sent.blobs.items():
            self._blobs.pop(key, None)
            with self.results.put(key) as path:
                path.write_bytes(data)
        record = RunRecord.from_json(sent.record, written=now())
        self.results.write(record)
        self.results.clear(*task.key)
        dealer.done(hand, task)
        if self.watcher is not None:
            self.watcher.end(record)

    def _gone(self, dealer: Dealer, worker: _Hired, error: Exception) -> None:
        """Do the task of a worker that is lost again, elsewhere."""
        self._workers.remove(worker)
        dealer.leave(worker.hand)
        self.ray.kill(worker.actor)
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if (task := worker.task) is None:
            self._never_came += 1
            # Where a node goes, all that were on their way to it go with it.
            if self._never_came > _WAITING + self.retries:
                raise ClusterError(f"workers can't start on the cluster: {why}") from error
            return
        lost = self._lost[task.key] = self._lost.get(task.key, 0) + 1
        if lost > self.retries:
            self._give_up(
                dealer, task, f"its worker was lost {plural(lost, 'time')}, at last: {why}"
            )
            return
        dealer.again(task)
        self._notice(f"{_named(task)}: its worker was lost, so it is done again: {why}")

    def _give_up(self, dealer: Dealer, task: Task, why: str) -> None:
        self._failed[task.key] = f"{_named(task)}: {why}"
        for other in dealer.drop(task):
            self._failed[other.key] = f"{_named(other)}: a member failed"

    def _listen(self) -> None:
        """Pass on what workers tell, without waiting for any."""
        for worker in self._workers:
            if worker.task is None or self.watcher is None:
                continue
            if worker.telling is not None:
                ready, _ = self.ray.wait([worker.telling], timeout=0)
                if not ready:
                    continue
                self._hear(worker)
            worker.telling = worker.actor.told.remote()

    def _hear(self, worker: _Hired) -> None:
        """Pass on what a worker was asked to tell."""
        from ray.exceptions import RayError

        if worker.telling is None:
            return
        with suppress(RayError):  # if it is lost, that shows at its task
            self._tell(self.ray.get(worker.telling))
        worker.telling = None

    def _tell(self, news: Iterable[News]) -> None:
        tasks = {task.key: task for task in self.tasks}
        for name, key, values in news:
            if self.watcher is not None:
                about = () if key is None else (tasks[key],)
                getattr(self.watcher, name)(*about, *values)

    def _notice(self, text: str) -> None:
        if self.watcher is None:
            warnings.warn(text, stacklevel=2)
        else:
            self.watcher.notice(text)

    def _sentence(self) -> str:
        told = list(self._failed.values())
        more = f"; and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
        return (
            f"{plural(len(told), 'run')} of {len(self.tasks)} failed, the others are done:"
            f" {'; '.join(told[:_NAMED])}{more}"
        )


def _named(task: Task) -> str:
    return f"{task.name} {task.category} seed {task.seed}"
