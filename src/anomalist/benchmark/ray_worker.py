"""A worker of a Ray cluster that does tasks of a benchmark, and what it sends home."""

from __future__ import annotations

import os
import queue
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from anomalist.benchmark.dealing import Group
from anomalist.benchmark.executor import Workbench
from anomalist.benchmark.inventory import Inventory
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.store import ResultStore
from anomalist.benchmark.tasks import Key, Task
from anomalist.errors import AnomalistError
from anomalist.features import FeatureStore

#: What is told while a task runs: the method of a `Watcher`, the task where it is about one, and
#: what else it takes.
News = tuple[str, Key | None, tuple[Any, ...]]


@dataclass
class Sent:
    """What comes home of a task: its record and blobs by their keys, or why there are none."""

    record: str = ""
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    failure: str = ""
    news: Sequence[News] = ()


class CarriedResults:
    """The result store of a worker that can't reach the driver's: what it gets is carried to it.

    Parameters
    ----------
    blobs : mapping of str to reference
        What the driver's store has that a task may take over, by key; fetched when asked for.
    """

    #: Only from here.
    reachable: bool = False

    def __init__(self, blobs: Mapping[str, Any]) -> None:
        self._there = blobs
        self._folder = Path(tempfile.mkdtemp(prefix="anomalist-task-"))
        #: What was put, by key.
        self.put_here: dict[str, bytes] = {}

    def find(self, name: str, category: str, seed: int) -> RunRecord | None:
        """Return None: a task asks for no record."""
        return None

    def write(self, record: RunRecord) -> None:
        """Keep nothing: the record comes home by itself."""

    def inventory(self) -> Inventory:
        """Return nothing, likewise."""
        return Inventory.of([])

    @contextmanager
    def put(self, key: str) -> Iterator[Path]:
        """Give a path to write to; if the block succeeds, what was written comes home."""
        path = self._folder / f"put{Path(key).suffix}"
        try:
            yield path
            self.put_here[key] = path.read_bytes()
        finally:
            path.unlink(missing_ok=True)

    def get(self, key: str) -> Path | None:
        """Return a file with a blob's bytes."""
        path = self._folder / "got" / key
        if path.is_file():
            return path
        data = self.put_here.get(key)
        if data is None and key in self._there:
            import ray

            data = ray.get(self._there[key])
        if data is None:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of the blobs whose keys start so."""
        return sorted(key for key in {*self._there, *self.put_here} if key.startswith(prefix))

    def scratch(self, name: str, category: str, seed: int) -> Path:
        """Return what paths start with that last as long as the task."""
        return self._folder / "scratch"

    def clear(self, name: str, category: str, seed: int) -> None:
        """Do nothing: `close` drops all."""

    def close(self) -> None:
        """Drop all files."""
        shutil.rmtree(self._folder, ignore_errors=True)


class Worker:
    """Does tasks in a process of its own, one after the other.

    Parameters
    ----------
    threads : int
        Of torch and of the libraries beneath: they decide bits.
    store : dict
        What its `FeatureStore` takes.
    folder : str
        Folder that relative paths start from, where this machine has it too.
    """

    def __init__(self, threads: int, store: Mapping[str, Any], folder: str) -> None:
        with suppress(OSError):
            os.chdir(folder)
        self._threads = threads
        self._features = FeatureStore(**store)
        self._group: Group | None = None
        self._tasks: dict[Key, Task] = {}
        self._bench: Workbench | None = None
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()

    def ready(self) -> int:
        """Return the number of the process, once it is there."""
        return os.getpid()

    def do(
        self,
        key: Key,
        group: Group,
        tasks: Sequence[Task],
        results: ResultStore | None,
        blobs: Mapping[str, Any],
    ) -> Sent:
        """Do a task.

        Parameters
        ----------
        key : Key
            Of the task.
        group : Group
            What it shares feature maps with.
        tasks : sequence of Task
            Those of the group that may come, and weren't sent before.
        results : ResultStore, optional
            Where results go; without one, they come home.
        blobs : mapping of str to reference
            See `CarriedResults`.
        """
        carried = CarriedResults(blobs)
        try:
            # For this thread: Ray may take another one each time.
            torch.set_num_threads(self._threads)
            threadpool_limits(self._threads)
            if group != self._group:
                self._bench = None  # goes before another comes: both may not have room
                self._group, self._tasks = group, {}
            self._tasks |= {task.key: task for task in tasks}
            self._bench = self._bench or Workbench([*self._tasks.values()], self._features)
            kept = carried if results is None else results
            record = self._bench.do(self._tasks[key], kept, self)
            return Sent(record.to_json(), carried.put_here, news=self.told())
        except Exception as error:  # told at home, where the other tasks go on
            told = str(error) if isinstance(error, AnomalistError | OSError) else repr(error)
            text = f"{' '.join(told.split())} (on {socket.gethostname()})"
            return Sent(failure=text, news=self.told())
        finally:
            carried.close()

    def told(self) -> list[News]:
        """Return what was told since this was last asked; of each stage, how far it is now."""
        news: dict[object, News] = {}
        with suppress(queue.Empty):
            while True:
                what = self._news.get_nowait()
                key = what[:2] if what[0] == "stage" else len(news)
                news.pop(key, None)
                news[key] = what
        return list(news.values())

    def notice(self, text: str) -> None:
        """Tell, as `Watcher` has it."""
        self._news.put(("notice", None, (text,)))

    def begin(self, runs: int, reused: int) -> None:
        """Tell nothing: that is the driver's."""

    def stage(self, task: Task, name: str, done: int, total: int) -> None:
        """Tell, as `Watcher` has it."""
        self._news.put(("stage", task.key, (name, done, total)))

    def trained(self, task: Task, step: int, values: Mapping[str, float]) -> None:
        """Tell, as `Watcher` has it."""
        self._news.put(("trained", task.key, (step, dict(values))))

    def end(self, record: RunRecord) -> None:
        """Tell nothing: the record itself comes home."""
