"""A benchmark gives the same on a cluster as on one machine, whatever happens to the cluster."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pytest

from anomalist.benchmark import (
    Executor,
    RayExecutor,
    RunRecord,
    RunStore,
    Task,
    benchmark,
    open_results,
    plan,
    stress,
)
from anomalist.cli.main import main
from anomalist.data import MVTecAD
from anomalist.detectors import CFA, Detector, Ensemble, PaDiM, PatchCore
from anomalist.errors import ClusterError
from anomalist.storage import open_storage
from tests.cluster.conftest import Cluster

TIMES = ("fit_seconds", "calibrate_seconds", "predict_seconds", "images_per_second")


def detectors() -> dict[str, Detector]:
    settings: dict[str, Any] = {"image_size": 64, "device": "cpu"}
    patchcore, cfa = PatchCore(coreset_ratio=0.2, **settings), CFA(epochs=2, **settings)
    pair = Ensemble(members=(patchcore, cfa), **settings)
    return {"pair": pair, "patchcore": patchcore, "cfa": cfa, "padim": PaDiM(**settings)}


def table(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "results.csv").drop(columns=[*TIMES, "peak_memory_mb"])


def files(out: Path) -> set[str]:
    return {f.relative_to(out).as_posix() for f in out.rglob("*") if f.is_file()}


class Watch:
    """Keeps what it is told, and does something after the first run."""

    def __init__(self, after_first: Any = lambda: None) -> None:
        self._after_first = after_first
        self.notices: list[str] = []
        self.stages: set[tuple[str, str]] = set()
        self.losses: list[float] = []
        self.ended: list[tuple[str, str, int]] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def begin(self, runs: int, reused: int) -> None:
        self.begun = runs, reused

    def stage(self, task: Task, name: str, done: int, total: int) -> None:
        assert 0 < done <= total
        self.stages.add((task.name, name))

    def trained(self, task: Task, step: int, values: Mapping[str, float]) -> None:
        self.losses.append(values["loss"])

    def end(self, record: RunRecord) -> None:
        self.ended.append((record.detector, record.category, record.seed))
        if len(self.ended) == 1:
            self._after_first()


def run(dots: Path, out: Path | str, executor: Executor | None, watch: Watch | None) -> None:
    benchmark(
        MVTecAD(dots),
        detectors(),
        out,
        seeds=(0, 1),
        alpha=0.2,
        keep_models=True,
        executor=executor,
        watcher=watch,
    )


def task(dots: Path, device: str) -> Task:
    (one,) = plan(MVTecAD(dots), {"a": PaDiM(image_size=64, device=device)}, {"dot": "ab"})
    return one


@pytest.fixture(scope="module")
def local(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of one machine."""
    out = tmp_path_factory.mktemp("local") / "out"
    run(dots, out, None, None)
    return out


def test_the_same_comes_home(
    dots: Path, local: Path, tmp_path: Path, cluster: Cluster, ray: Any
) -> None:
    watch = Watch()
    run(dots, tmp_path, RayExecutor(cluster.address, memory_mb=500), watch)
    pd.testing.assert_frame_equal(table(tmp_path), table(local))
    assert files(tmp_path) == files(local)
    assert len(watch.ended) == len(set(watch.ended)) == 8
    assert {"fit", "calibrate", "predict"} <= {name for _, name in watch.stages}
    assert ("pair", "fit") not in watch.stages  # its members came from the store
    assert watch.losses
    assert watch.notices == []


def test_a_node_that_is_lost_is_done_without(
    dots: Path, local: Path, tmp_path: Path, cluster: Cluster, ray: Any
) -> None:
    # Two processors a task: none but this node has them, and another one that comes when it is
    # gone, in the middle of a task.
    nodes = [cluster.add(num_cpus=2)]

    def exchange() -> None:
        cluster.remove(nodes.pop())
        nodes.append(cluster.add(num_cpus=2))

    watch = Watch(after_first=exchange)
    executor = RayExecutor(cluster.address, cpus=2, memory_mb=500)
    try:
        run(dots, tmp_path, executor, watch)
    finally:
        for node in nodes:
            cluster.remove(node)
    pd.testing.assert_frame_equal(table(tmp_path), table(local))
    assert files(tmp_path) == files(local)
    assert len(watch.ended) == len(set(watch.ended)) == 8
    assert any("its worker was lost, so it is done again" in text for text in watch.notices)


def test_results_on_object_storage_are_those_of_a_folder(
    dots: Path, local: Path, tmp_path: Path, s3: str, cluster: Cluster, ray: Any
) -> None:
    address = f"{s3}/some results"
    executor = RayExecutor(cluster.address, memory_mb=500)
    watch = Watch()
    run(dots, address, executor, watch)
    assert watch.notices == []
    storage = open_storage(address)
    assert {key for key in storage.keys("") if not key.endswith(".html")} == {
        name for name in files(local) if not name.endswith(".html")
    }
    (tmp_path / "results.csv").write_bytes(storage.read("results.csv"))
    pd.testing.assert_frame_equal(table(tmp_path), table(local))
    storage.delete("runs/padim/dot_seed1.json")
    again = Watch()
    run(dots, address, None, again)
    assert again.ended == [("padim", "dot", 1)]
    store = pickle.loads(pickle.dumps(open_results(address)))
    assert store.reachable
    assert store.inventory().records == open_results(address).inventory().records
    # Its tables and its report are written again like those of a folder.
    for key in ("results.csv", "report.html"):
        storage.delete(key)
    assert main(["report", address, "--quiet"]) == 0
    (tmp_path / "results.csv").write_bytes(storage.read("results.csv"))
    pd.testing.assert_frame_equal(table(tmp_path), table(local))
    assert b"</html>" in storage.read("report.html")


def test_a_stress_test_gives_the_same_table(
    dots: Path, tmp_path: Path, cluster: Cluster, ray: Any
) -> None:
    settings: dict[str, Any] = {"image_size": 64, "device": "cpu"}
    asked: dict[str, Any] = {
        "conditions": ["brightness=0.4", "shots=2"],
        "draws": 2,
        "alpha": 0.3,
    }
    parts = {"padim": PaDiM(**settings), "cfa": CFA(epochs=1, **settings)}
    executor = RayExecutor(cluster.address, memory_mb=500)
    frames = []
    for name, where in (("here", None), ("there", executor)):
        stress(MVTecAD(dots), parts, tmp_path / name, executor=where, **asked)
        frames.append(pd.read_csv(tmp_path / name / "stress.csv"))
    pd.testing.assert_frame_equal(*frames)
    runs = sorted((tmp_path / "there" / "stress").rglob("*.json"))
    assert {p.relative_to(tmp_path / "there") for p in runs} == {
        p.relative_to(tmp_path / "here") for p in (tmp_path / "here" / "stress").rglob("*.json")
    }
    # What is missing is done again, and nothing else.
    runs[0].unlink()
    times = {run: run.stat().st_mtime_ns for run in runs[1:]}
    stress(MVTecAD(dots), parts, tmp_path / "there", executor=executor, **asked)
    assert runs[0].is_file()
    assert {run: run.stat().st_mtime_ns for run in runs[1:]} == times


class Deadly(PatchCore):
    """Kills its process in every fit."""

    def fit(self, *args: Any, **settings: Any) -> Self:
        os.kill(os.getpid(), signal.SIGKILL)
        return self


class Faulty(PatchCore):
    """Fails in every fit."""

    def fit(self, *args: Any, **settings: Any) -> Self:
        raise ValueError("a value\nthat won't do")


def test_what_fails_again_and_again_is_named_when_the_others_are_done(
    dots: Path, tmp_path: Path, cluster: Cluster, ray: Any
) -> None:
    settings: dict[str, Any] = {"image_size": 64, "device": "cpu"}
    parts = {"deadly": Deadly(**settings), "faulty": Faulty(**settings)}
    watch = Watch()
    with pytest.raises(ClusterError) as caught:
        benchmark(
            MVTecAD(dots),
            {**parts, "padim": PaDiM(**settings)},
            tmp_path,
            executor=RayExecutor(cluster.address, memory_mb=500, retries=0),
            watcher=watch,
        )
    text = str(caught.value)
    assert text.startswith("2 runs of 3 failed, the others are done: ")
    assert "deadly dot seed 0: its worker was lost 1 time, at last: " in text
    assert 'faulty dot seed 0: ValueError("a value' in text
    assert "\n" not in text
    assert [record.detector for record in RunStore(tmp_path).records()] == ["padim"]


def test_what_no_node_has_is_told_before_any_work(
    dots: Path, tmp_path: Path, cluster: Cluster, ray: Any
) -> None:
    tasks = [task(dots, device="cpu")]
    for settings in ({"cpus": 9}, {"memory_mb": 1e9}, {"gpus": 2}):
        with pytest.raises(ClusterError, match="no machine of the cluster has room for a worker"):
            RayExecutor(cluster.address, **settings).run(tasks, RunStore(tmp_path))
    with pytest.raises(ClusterError, match="no machine of the cluster has an accelerator"):
        RayExecutor(cluster.address).run([task(dots, device="cuda")], RunStore(tmp_path))


@pytest.mark.usefixtures("warm_processes")
def test_a_command_that_was_killed_goes_on_where_it_was(
    dots: Path, tmp_path: Path, cluster: Cluster, ray: Any
) -> None:
    out = tmp_path / "out"
    settings = ["--image_size", "64", "--device", "cpu", "--alpha", "0.2", "--out", str(out)]
    line = ["benchmark", str(dots), "--detectors", "padim,patchcore", "--seeds", "0,1,2", *settings]
    here = [sys.executable, "-m", "anomalist", *line, "--ray", cluster.address]
    process = subprocess.Popen([*here, "--worker_memory_mb", "500"])
    # Not a record that is still being written: its name begins with a dot.
    while not (done := list(out.glob("runs/*/[!.]*.json"))):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    # Its workers go with it.
    deadline = time.monotonic() + 90
    while ray.available_resources().get("CPU", 0) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ray.available_resources()["CPU"] == 3
    watch = Watch()
    settings_there = {"image_size": 64, "device": "cpu"}
    benchmark(
        MVTecAD(dots),
        [PaDiM(**settings_there), PatchCore(**settings_there)],  # type: ignore[arg-type]
        out,
        seeds=(0, 1, 2),
        alpha=0.2,
        watcher=watch,
    )
    assert len(done) <= watch.begun[1] < 6
    assert len(table(out)) == 6
