"""A benchmark on a Ray cluster beside the same on one machine: equal, how much longer, how fast.

    python benchmarks/ray_benchmark.py equal DATA --out OUT
    python benchmarks/ray_benchmark.py overhead DATA --out OUT --rounds 3
    python benchmarks/ray_benchmark.py eight --times OUT/local --seconds 300

``equal`` runs the plan in one process, then on a cluster of three nodes on this machine; of that
run a node is killed when a quarter of the runs is done, and the command itself when half is, both
by SIGKILL. The same command goes on. Then the tables are compared, but for times and memory.
``overhead`` runs the plan in one process and with ``--ray local``, which starts and ends a node of
all processors, in turn, and tells the ratios of wall times, all of starting and ending counted.
``eight`` has the executor do a plan of 15 categories on eight nodes of one processor, with workers
that sleep instead, for as
long as those of the runs in ``--times`` took, scaled so that one node would sleep for eight times
``--seconds``; and tells the wall time from the moment that all workers are there, against the
shortest that any order could have: the longest chain of tasks that wait for each other, or an
eighth of the whole. With ``--images`` the plan is of so many of each category's training images and
as many test images, taken evenly, so that a busy machine can do it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from anomalist.benchmark import RayExecutor, RunRecord, RunStore
from anomalist.benchmark.dealing import Dealer, expected_seconds
from anomalist.benchmark.ray_worker import Sent
from anomalist.benchmark.tasks import Key, Task, plan
from anomalist.data import Category, Dataset
from anomalist.detectors import DETECTORS, Detector

_TIMES = ["fit_seconds", "calibrate_seconds", "predict_seconds", "images_per_second"]
_NODES = 8


@contextmanager
def cluster(nodes: int) -> Iterator[Any]:
    """Start nodes of one processor on this machine; give Ray's `Cluster` and the nodes."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-")
    os.environ["RAY_TMPDIR"] = folder
    made = Cluster()
    added = [
        made.add_node(
            num_cpus=1, num_gpus=0, object_store_memory=100 * 2**20, include_dashboard=False
        )
        for _ in range(nodes)
    ]
    try:
        yield made, added
    finally:
        made.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def some(data: Path, categories: str, count: int, to: Path) -> Path:
    """Link some images of each category, with their masks, into a folder of the same layout."""
    for category in categories.split(","):
        for part in ("train", "test"):
            files = sorted((data / category / part).rglob("*.png"))
            for file in files[:: max(len(files) // count, 1)][:count]:
                mask = f"{file.parent.name}/{file.stem}_mask.png"
                for path in (file, data / category / "ground_truth" / mask):
                    if path.is_file():
                        link = to / path.relative_to(data)
                        link.parent.mkdir(parents=True, exist_ok=True)
                        link.symlink_to(path.resolve())
    return to


def command(arguments: argparse.Namespace, out: Path, *more: str) -> list[str]:
    """Return the command line of the plan."""
    return [
        *(sys.executable, "-m", "anomalist", "benchmark", str(arguments.data)),
        *("--categories", arguments.categories, "--detectors", arguments.detectors),
        *("--seeds", arguments.seeds, "--image_size", str(arguments.image_size)),
        *("--evaluate_at", "input", "--device", "cpu", "--quiet", "--out", str(out), *more),
    ]


def timed(line: Sequence[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def table(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "results.csv").drop(columns=[*_TIMES, "peak_memory_mb"])


def records(out: Path) -> int:
    return len(list(out.glob("runs/*/*.json")))


def until(process: subprocess.Popen[bytes], out: Path, count: int) -> int:
    """Wait until so many runs are done; return how many are."""
    while records(out) < count:
        if process.poll() is not None:
            raise SystemExit(f"the command ended with {process.returncode} before")
        time.sleep(0.05)
    return records(out)


def equal(arguments: argparse.Namespace) -> None:
    """Compare one process with a cluster that loses a node and the command."""
    local, away = arguments.out / "local", arguments.out / "ray"
    seconds = timed(command(arguments, local))
    runs = len(table(local))
    print(f"one process: {runs} runs in {seconds:.0f} s", flush=True)
    with cluster(3) as (made, nodes):
        line = command(arguments, away, "--ray", made.address, "--worker_memory_mb", "1500")
        begin = time.perf_counter()
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
        there = until(process, away, runs // 4)
        made.remove_node(nodes[-1], allow_graceful=False)
        print(f"one of three nodes killed after {there} runs", flush=True)
        there = until(process, away, runs // 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"the command killed after {there} runs: {records(away)} records", flush=True)
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        print(f"the same command again, to the end: {time.perf_counter() - begin:.0f} s in all")
    same = table(away).equals(table(local))
    print(f"results.csv but for times and memory: {'equal' if same else 'DIFFERS'}")
    print(f"rows {len(table(away))}, runs {runs}")


def overhead(arguments: argparse.Namespace) -> None:
    """Tell how much longer it takes with Ray on one node."""
    ratios = []
    for i in range(arguments.rounds):
        seconds = {}
        for name, more in (("one process", ()), ("--ray local", ("--ray", "local"))):
            out = arguments.out / f"{name.replace(' ', '_')}{i}"
            shutil.rmtree(out, ignore_errors=True)
            seconds[name] = timed(command(arguments, out, *more))
        first, second = seconds.values()
        ratios.append(second / first)
        print(
            f"one process {first:.1f} s, --ray local {second:.1f} s: {ratios[-1]:.3f}", flush=True
        )
    print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.3f}")


class _Asleep(Dataset):
    """Categories by name alone, with as many images as the plan asks for: none."""

    def __init__(self, categories: Sequence[str]) -> None:
        self._categories = list(categories)

    @property
    def categories(self) -> list[str]:
        return self._categories

    def category(self, name: str) -> Category:
        from anomalist.testing import tiny_category

        return tiny_category()


def eight(arguments: argparse.Namespace) -> None:
    """Deal tasks that sleep to eight nodes."""
    known = RunStore(arguments.times).records()
    detectors: dict[str, Detector] = {
        name: DETECTORS[name](device="cpu") for name in dict.fromkeys(r.detector for r in known)
    }
    names = [f"category{i:02}" for i in range(15)]
    seeds = sorted({r.seed for r in known})
    tasks = list(plan(_Asleep(names), detectors, dict.fromkeys(names, "ab"), seeds=seeds))
    seconds = expected_seconds(tasks, known)
    scale = _NODES * arguments.seconds / sum(seconds.values())
    seconds = {key: value * scale for key, value in seconds.items()}
    chain = longest_chain(tasks, seconds)
    best = max(chain, sum(seconds.values()) / _NODES)
    print(f"{len(tasks)} tasks, {sum(seconds.values()):.0f} s in all, longest chain {chain:.1f} s")
    for what, dealer in (("known", Dealer(tasks, known)), ("not known", Dealer(tasks))):
        wall = dealt(dealer, seconds)
        print(f"by a clock that costs nothing, times {what}: {wall:.1f} s, {best / wall:.1%}")
    with cluster(_NODES) as (made, _):
        wall = slept(made.address, tasks, known, seconds)
    print(f"slept on {_NODES} nodes: {wall:.1f} s, {best / wall:.1%} of the best")


def longest_chain(tasks: Sequence[Task], seconds: dict[Key, float]) -> float:
    """Return the seconds of the longest chain of tasks that come after each other."""
    ends: dict[Key, float] = {}
    for task in tasks:  # in an order that `plan` gives
        ends[task.key] = seconds[task.key] + max((ends[k] for k in task.after), default=0.0)
    return max(ends.values())


def dealt(dealer: Dealer, seconds: dict[Key, float]) -> float:
    """Return when all tasks are done, by a clock that jumps from end to end."""
    now, free = 0.0, [dealer.join() for _ in range(_NODES)]
    busy: list[tuple[float, int, Any, Task]] = []
    count = 0
    while dealer.left:
        still = []
        for hand in free:
            task = dealer.deal(hand)
            if task is None:
                still.append(hand)
            else:
                count += 1
                busy.append((now + seconds[task.key], count, hand, task))
        busy.sort(key=lambda each: each[:2])
        now, _, hand, task = busy.pop(0)
        dealer.done(hand, task)
        free = [*still, hand]
    return now


class _Silent:
    """A watcher: workers are asked how far they are, as in every run."""

    def notice(self, text: str) -> None:
        print(text, flush=True)

    def begin(self, runs: int, reused: int) -> None: ...

    def stage(self, task: Task, name: str, done: int, total: int) -> None: ...

    def trained(self, task: Task, step: int, values: Mapping[str, float]) -> None: ...

    def end(self, record: RunRecord) -> None: ...


def slept(
    address: str, tasks: Sequence[Task], known: Sequence[RunRecord], seconds: dict[Key, float]
) -> float:
    """Return the wall time of the executor itself, from when all of its workers are there."""
    from anomalist.cluster import connected

    record = known[0]

    class Gate:
        def __init__(self) -> None:
            self.there, self.opened = 0, 0.0

        def come(self) -> None:
            self.there += 1
            if self.there == _NODES:
                self.opened = time.time()

        def when(self) -> float:
            return self.opened

    with connected(address) as ray, tempfile.TemporaryDirectory() as folder:
        gate = ray.remote(num_cpus=0)(Gate).remote()

        class Sleeper:
            def __init__(self, threads: int, store: Mapping[str, Any], folder: str) -> None: ...

            def ready(self) -> int:
                import ray

                ray.get(gate.come.remote())
                while not ray.get(gate.when.remote()):
                    time.sleep(0.05)
                return os.getpid()

            def do(self, key: Key, *given: Any) -> Sent:
                time.sleep(seconds[key])
                name, category, seed = key
                done = dataclasses.replace(record, detector=name, category=category, seed=seed)
                return Sent(done.to_json())

            def told(self) -> list[Any]:
                return []

        class Asleep(RayExecutor):
            worker = Sleeper

        store = RunStore(folder)
        for one in known:  # by what these took, tasks are dealt
            store.write(one)
        Asleep(address, cpus=1, memory_mb=100).run(tasks, store, _Silent())
        end = time.time()
        done = {(r.detector, r.category, r.seed) for r in store.inventory().everything}
        assert done >= {task.key for task in tasks}
        return end - float(ray.get(gate.when.remote()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for name in ("equal", "overhead"):
        action = actions.add_parser(name)
        action.add_argument("data", type=Path)
        action.add_argument("--out", type=Path, required=True)
        action.add_argument("--categories", default="bottle,screw")
        action.add_argument("--detectors", default="patchcore,padim,spade,dfm,ensemble")
        action.add_argument("--seeds", default="0,1")
        action.add_argument("--image_size", type=int, default=64)
        action.add_argument("--images", type=int, default=None, help="of each part: all")
    action.add_argument("--rounds", type=int, default=3)
    action = actions.add_parser("eight")
    action.add_argument("--times", type=Path, required=True, help="a results folder")
    action.add_argument("--seconds", type=float, default=300)
    arguments = parser.parse_args()
    if getattr(arguments, "images", None):
        folder = Path(tempfile.mkdtemp(prefix="anomalist-some-"))
        arguments.data = some(arguments.data, arguments.categories, arguments.images, folder)
    {"equal": equal, "overhead": overhead, "eight": eight}[arguments.action](arguments)


if __name__ == "__main__":
    main()
