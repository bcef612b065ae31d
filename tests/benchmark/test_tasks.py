"""Tasks need nothing of each other but what lies in the store."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from anomalist.benchmark import LocalExecutor, ResultStore, RunRecord, Task, Watcher, benchmark
from anomalist.data import MVTecAD
from anomalist.detectors import CFA, Detector, Ensemble, PaDiM, PatchCore

_WORKER = """
import pickle, sys
from pathlib import Path
import torch
from anomalist.benchmark import LocalExecutor
torch.set_num_threads(1)
class Loud:
    def notice(self, text): pass
    def begin(self, runs, reused): pass
    def stage(self, task, name, done, total): print(*task.key, name, flush=True)
    def trained(self, task, step, values): pass
    def end(self, record): pass
results, tasks = pickle.loads(Path(sys.argv[1]).read_bytes())
for task in tasks:
    LocalExecutor().run([pickle.loads(task)], results, Loud())
"""


class Elsewhere:
    """An executor that sends each task, pickled, to a process that knows nothing of the others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.order: list[tuple[str, str, int]] = []
        self.stages: set[str] = set()

    def run(self, tasks: Sequence[Task], results: ResultStore, watcher: object) -> None:
        for task in tasks:
            assert set(task.after) <= set(self.order)
            self.order.append(task.key)
        parcel = self._folder / "tasks.pickle"
        parcel.write_bytes(pickle.dumps((results, [pickle.dumps(task) for task in tasks])))
        done = subprocess.run(
            [sys.executable, "-c", _WORKER, str(parcel)], check=True, capture_output=True, text=True
        )
        self.stages |= set(done.stdout.splitlines())


def detectors() -> dict[str, Detector]:
    settings = {"image_size": 64, "device": "cpu"}
    patchcore = PatchCore(coreset_ratio=0.2, **settings)  # type: ignore[arg-type]
    cfa = CFA(epochs=2, **settings)  # type: ignore[arg-type]
    padim = PaDiM(**settings)  # type: ignore[arg-type]
    pair = Ensemble(members=(patchcore, cfa), **settings)  # type: ignore[arg-type]
    apart = Ensemble(members=(patchcore, padim), **settings)  # type: ignore[arg-type]
    return {"both": pair, "apart": apart, "small": patchcore, "cfa": cfa}


def same(record: RunRecord) -> dict[str, object]:
    values = dataclasses.asdict(record)
    costs = ("fit_seconds", "calibrate_seconds", "predict_seconds", "images_per_second")
    for name in (*costs, "peak_memory_mb", "finished"):
        del values[name]
    return values


@pytest.mark.parametrize("keep_models", [True, False])
@pytest.mark.usefixtures("warm_processes")
def test_a_task_gives_the_same_record_wherever_it_is_done(
    dots: Path, tmp_path: Path, keep_models: bool
) -> None:
    settings = {"alpha": 0.2, "oracle": True, "keep_models": keep_models}
    data = MVTecAD(dots)
    here = benchmark(data, detectors(), tmp_path / "here", **settings)  # type: ignore[arg-type]
    away = Elsewhere(tmp_path)
    there = benchmark(data, detectors(), tmp_path / "there", executor=away, **settings)  # type: ignore[arg-type]
    assert [same(record) for record in there] == [same(record) for record in here]
    assert [name for name, _, _ in away.order] == ["small", "cfa", "both", "apart"]
    # Members come from the store where it keeps models, and are fitted by the ensemble where not.
    assert ("both dot 0 fit" in away.stages) is not keep_models
    for folder in ("pictures", "models"):
        files = {
            name: {f.relative_to(tmp_path / name) for f in (tmp_path / name / folder).rglob("*.*")}
            for name in ("here", "there")
        }
        assert files["here"] == files["there"]
        assert bool(files["here"]) is (folder == "pictures" or keep_models)


def test_a_task_stays_as_it_is(dots: Path, tmp_path: Path) -> None:
    class Kept(LocalExecutor):
        def run(
            self, tasks: Sequence[Task], results: ResultStore, watcher: Watcher | None = None
        ) -> None:
            before = [pickle.dumps(task.detector) for task in tasks]
            super().run(tasks, results, watcher)
            assert [pickle.dumps(task.detector) for task in tasks] == before
            assert not any(hasattr(task.detector, "backbone_") for task in tasks)

    benchmark(MVTecAD(dots), detectors(), tmp_path / "out", executor=Kept())
