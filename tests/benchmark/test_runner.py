from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import anomalist
from anomalist.benchmark import RunRecord, RunStore, Task, benchmark
from anomalist.data import Folder, MVTecAD
from anomalist.detectors import CFA, DFM, GLASS, Detector, Ensemble, PaDiM, PatchCore
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore

TIMES = [
    "fit_seconds",
    "calibrate_seconds",
    "predict_seconds",
    "images_per_second",
    "peak_memory_mb",
]


def small() -> PatchCore:
    return PatchCore(image_size=64, coreset_ratio=0.2, device="cpu")


class Counter:
    """Counts the runs that are truly done."""

    def __init__(self) -> None:
        self.begun: tuple[int, int] | None = None
        self.done: list[tuple[str, int]] = []
        self.fits: set[str] = set()

    def notice(self, text: str) -> None:
        raise AssertionError(text)

    def begin(self, runs: int, reused: int) -> None:
        self.begun = (runs, reused)

    def stage(self, task: Task, name: str, done: int, total: int) -> None:
        assert 0 < done <= total
        if name == "fit":
            self.fits.add(task.name)

    def trained(self, task: object, step: int, values: dict[str, float]) -> None:
        assert step >= 0
        assert values["loss"] >= 0

    def end(self, record: RunRecord) -> None:
        self.done.append((record.category, record.seed))


def test_every_run_has_a_record_and_all_tables_are_written(dots: Path, tmp_path: Path) -> None:
    records = benchmark(MVTecAD(dots), [small()], tmp_path, seeds=(0, 1))
    assert [(r.detector, r.category, r.seed) for r in records] == [
        ("patchcore", "dot", 0),
        ("patchcore", "dot", 1),
    ]
    table = pd.read_csv(tmp_path / "results.csv")
    expected = (
        "detector,category,seed,backbone,image_AUROC,image_AP,image_F1Score,pixel_AUROC,pixel_AP,"
        "pixel_F1Score,pixel_PRO,image_F1_calibrated,pixel_F1_calibrated,image_false_alarm_rate,"
        "fit_seconds,calibrate_seconds,predict_seconds,images_per_second,peak_memory_mb,"
        "config_hash,data_hash,version,evaluated_at"
    )
    assert ",".join(table.columns) == expected
    assert set(table["evaluated_at"]) == {"original"}
    assert table["image_AUROC"].between(0.9, 1).all()
    assert (table[TIMES] > 0).all().all()
    for name in (
        "results.json",
        "results.md",
        "results.tex",
        "patchcore/dot_metrics.json",
        "patchcore/dot_metrics.csv",
        "patchcore/dot_heatmaps.png",
    ):
        assert (tmp_path / name).stat().st_size > 0
    record = json.loads((tmp_path / "runs" / "patchcore" / "dot_seed1.json").read_text())
    assert record["transform"]["image_size"] == 64
    assert len(record["weights_sha256"]) == 64
    assert [image["label"] for image in record["images"]] == [False] * 3 + [True] * 3
    low, high = record["intervals"]["pixel_AUROC"]
    assert low <= record["metrics"]["pixel_AUROC"] <= high


def test_decisions_are_made_at_the_threshold_of_good_training_images(
    dots: Path, tmp_path: Path
) -> None:
    (few,) = benchmark(MVTecAD(dots), [small()], tmp_path / "few")
    assert few.metrics["image_F1_calibrated"] is not None
    assert few.calibration["image_threshold"] == max(few.calibration["scores"])
    assert any(
        "too few to guarantee a false-alarm rate of 0.05, which takes 19" in n for n in few.notes
    )
    (record,) = benchmark(MVTecAD(dots), [small()], tmp_path / "enough", alpha=0.2)
    threshold, scores = record.calibration["image_threshold"], record.calibration["scores"]
    detector = small().fit(MVTecAD(dots).category("dot").train)
    held_out = detector.calibrate(MVTecAD(dots).category("dot").train)
    assert scores == pytest.approx(held_out.scores.tolist(), rel=1e-5)
    assert threshold == max(scores)  # the rank of 0.2 among 6
    good = [image["score"] > threshold for image in record.images if not image["label"]]
    bad = [image["score"] > threshold for image in record.images if image["label"]]
    assert record.metrics["image_false_alarm_rate"] == sum(good) / len(good)
    f1 = 2 * sum(bad) / (len(bad) + sum(bad) + sum(good))
    assert record.metrics["image_F1_calibrated"] == pytest.approx(f1)
    for image in record.images:
        above = sum(score >= image["score"] for score in scores)
        assert image["p_value"] == (1 + above) / 7
        assert (image["recall"] is None) == (not image["label"])
    assert set(record.curves) == {"roc", "pr", "pixel_roc", "pixel_pr", "pro"}
    assert max(record.curves["pro"]["x"]) <= 0.3
    (without,) = benchmark(MVTecAD(dots), [small()], tmp_path / "without", calibrate=False)
    assert without.calibrate_seconds == 0
    assert without.images[0]["p_value"] is None


def test_an_ensemble_takes_over_members_that_are_fitted(dots: Path, tmp_path: Path) -> None:
    category = MVTecAD(dots).category("dot")
    cfa = CFA(image_size=64, epochs=1, device="cpu")
    ensemble = Ensemble(members=(small(), cfa), image_size=64, device="cpu")
    counter = Counter()
    records = benchmark(MVTecAD(dots), [ensemble, small(), cfa], tmp_path, watcher=counter)
    assert [r.detector for r in records] == ["patchcore", "cfa", "patchcore+cfa"]
    assert counter.fits == {"patchcore", "cfa"}
    # To the bit what it is on its own.
    alone = Ensemble(members=(small(), cfa), image_size=64, device="cpu").fit(category.train)
    scores = alone.predict(category.test).scores.tolist()
    assert [image["score"] for image in records[2].images] == scores
    assert records[2].fit_seconds >= sum(r.fit_seconds + r.calibrate_seconds for r in records[:2])
    assert all(image["disagreement"] >= 0 for image in records[2].images)
    with np.load(tmp_path / "pictures" / "patchcore+cfa" / "dot.npz") as pictures:
        assert pictures["maps"].shape == pictures["disagreement"].shape == (6, 64, 64)
    with np.load(tmp_path / "pictures" / "dot.npz") as pictures:
        assert pictures["photographs"].shape == (6, 64, 64, 3)
        assert pictures["masks"].any(axis=(1, 2)).tolist() == [False] * 3 + [True] * 3
    again = Counter()
    benchmark(MVTecAD(dots), [ensemble, small(), cfa], tmp_path, watcher=again)
    assert again.begun == (3, 3)


def test_ensembles_that_come_later_take_over_kept_models(dots: Path, tmp_path: Path) -> None:
    members = (small(), PaDiM(image_size=64, device="cpu"))
    ensemble = Ensemble(members=members, image_size=64, device="cpu")
    (once,) = benchmark(MVTecAD(dots), [ensemble], tmp_path / "once")
    benchmark(MVTecAD(dots), members, tmp_path / "later", keep_models=True)
    later = Counter()
    (taken,) = benchmark(
        MVTecAD(dots), [ensemble], tmp_path / "later", keep_models=True, watcher=later
    )
    assert later.fits == set()
    assert taken.metrics == once.metrics
    assert taken.images == once.images
    model = anomalist.load(tmp_path / "later" / "models" / "padim" / "dot_seed0.anomalist")
    assert model.calibration_ is not None


def test_one_training_image_gives_no_threshold(dots: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(dots, tmp_path / "data")
    for image in sorted((tmp_path / "data" / "dot" / "train" / "good").iterdir())[1:]:
        image.unlink()
    detectors = [small(), Ensemble(image_size=64, device="cpu")]
    for record in benchmark(MVTecAD(tmp_path / "data"), detectors, tmp_path / "out"):
        assert record.metrics["image_AUROC"] is not None
        assert record.metrics["image_false_alarm_rate"] is None
        assert "no threshold" in " ".join(record.notes)


def test_a_second_call_runs_only_what_is_missing(dots: Path, tmp_path: Path) -> None:
    first, second, third = Counter(), Counter(), Counter()
    benchmark(MVTecAD(dots), [small()], tmp_path, seeds=(0,), watcher=first)
    benchmark(MVTecAD(dots), [small()], tmp_path, seeds=(0, 1), watcher=second)
    benchmark(MVTecAD(dots), [small()], tmp_path, seeds=(0, 1), watcher=third)
    assert first.done == [("dot", 0)]
    assert (second.begun, second.done) == ((2, 1), [("dot", 1)])
    assert (third.begun, third.done) == ((2, 2), [])


def test_each_image_passes_the_backbone_once(dots: Path, tmp_path: Path) -> None:
    store = FeatureStore()
    detectors = [small(), PaDiM(image_size=64, device="cpu"), DFM(image_size=64, device="cpu")]
    shared = benchmark(MVTecAD(dots), detectors, tmp_path / "a", seeds=(0, 1), store=store)
    category = MVTecAD(dots).category("dot")
    assert store.passes == len(category.train) + len(category.test)
    off = FeatureStore(memory_limit_mb=0)
    alone = benchmark(MVTecAD(dots), detectors, tmp_path / "b", seeds=(0, 1), store=off)
    assert [r.metrics for r in shared] == [r.metrics for r in alone]
    # What a run took from the store is counted at what it cost to make.
    assert store.saved_seconds > 0
    spent = [r.fit_seconds + r.calibrate_seconds + r.predict_seconds for r in shared]
    assert sum(spent) > store.saved_seconds


def test_the_best_epoch_is_reported_beside_the_last(dots: Path, tmp_path: Path) -> None:
    detectors = [CFA(image_size=64, epochs=3, device="cpu"), small()]
    plain = benchmark(MVTecAD(dots), detectors, tmp_path / "plain")
    counter = Counter()
    both = benchmark(MVTecAD(dots), detectors, tmp_path / "oracle", oracle=True, watcher=counter)
    # Looking at the test set changes nothing in the result.
    assert [r.metrics for r in both] == [r.metrics for r in plain]
    cfa, patchcore = both
    assert patchcore.oracle == {}
    assert 1 <= cfa.oracle["oracle_best_epoch"] <= 3

    def total(values: dict[str, float | None], prefix: str) -> float:
        return sum(values[f"{prefix}{name}_AUROC"] or 0 for name in ("image", "pixel"))

    assert total(cfa.oracle, "oracle_") >= total(cfa.metrics, "")
    values = json.loads((tmp_path / "oracle" / "cfa" / "dot_metrics.json").read_text())
    assert values["oracle_best_epoch"] == cfa.oracle["oracle_best_epoch"]
    assert not any("oracle" in key for key in plain[0].row())
    again = Counter()
    # PatchCore isn't trained: there is nothing to look at, and its run serves.
    named = {"looked_at": detectors[0], "patchcore": detectors[1]}
    benchmark(MVTecAD(dots), named, tmp_path / "plain", oracle=True, watcher=again)
    assert again.begun == (2, 1)


def test_torn_records_are_run_again(dots: Path, tmp_path: Path) -> None:
    (before,) = benchmark(MVTecAD(dots), [small()], tmp_path)
    path = RunStore(tmp_path).path("patchcore", "dot", 0)
    path.write_text(path.read_text()[:100])
    with pytest.warns(UserWarning, match="isn't a run record"):
        (again,) = benchmark(MVTecAD(dots), [small()], tmp_path)
    assert again.metrics == before.metrics


def test_changed_images_are_run_again(dots: Path, tmp_path: Path) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(dots, data)
    benchmark(MVTecAD(data), [small()], tmp_path / "out")
    image = data / "dot" / "train" / "good" / "000.png"
    Image.open(image).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(image)
    counter = Counter()
    benchmark(MVTecAD(data), [small()], tmp_path / "out", watcher=counter)
    assert counter.done == [("dot", 0)]


_KILLED = """
import sys
from anomalist.benchmark import benchmark
from anomalist.data import MVTecAD
from anomalist.detectors import GLASS, PatchCore
import torch
torch.set_num_threads(1)
class Loud:
    def notice(self, text): pass
    def begin(self, runs, reused): pass
    def stage(self, task, name, done, total): print(task.name, task.seed, name, done, flush=True)
    def trained(self, task, step, values): pass
    def end(self, record): pass
detectors = eval(sys.argv[3])
benchmark(
    MVTecAD(sys.argv[1]), detectors, sys.argv[2], seeds=(0, 1, 2), oracle=True, watcher=Loud()
)
"""


def one_by_one(coreset_ratio: float) -> PatchCore:
    return PatchCore(image_size=64, coreset_ratio=coreset_ratio, batch_size=1, device="cpu")


@pytest.mark.parametrize(
    ("detectors", "fatal"),
    [
        # Four of six epochs of six images are done and kept.
        (
            {"glass": GLASS(image_size=64, meta_epochs=6, batch_size=4, device="cpu", variants=2)},
            "glass 1 fit 28",
        ),
        ({"patchcore": one_by_one(0.2), "small": one_by_one(0.5)}, "small 1 fit 3"),
    ],
    ids=["glass", "two configurations"],
)
@pytest.mark.usefixtures("warm_processes")
def test_killed_and_resumed_equals_uninterrupted(
    dots: Path, tmp_path: Path, detectors: dict[str, Detector], fatal: str
) -> None:
    seeds = (0, 1, 2)
    last = list(detectors)[-1]
    benchmark(MVTecAD(dots), detectors, tmp_path / "whole", seeds=seeds, oracle=True)
    # Once in the middle of a fit, once in the middle of a predict, each time without warning.
    for line_of_death in (fatal, f"{last} 2 predict"):
        process = subprocess.Popen(
            [sys.executable, "-c", _KILLED, str(dots), str(tmp_path / "killed"), repr(detectors)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(line_of_death):
                os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "killed" / "results.csv").exists()
    kept = sorted(f.name for f in (tmp_path / "killed" / "runs" / last).rglob("*seed2*"))
    trained = ["epochs", "training", "training.fold0", "training.fold1"]
    assert kept == [f"dot_seed2.{name}" for name in trained if detectors[last].trained]
    resumed = Counter()
    benchmark(
        MVTecAD(dots), detectors, tmp_path / "killed", seeds=seeds, oracle=True, watcher=resumed
    )
    assert resumed.done == [("dot", 2)]
    tables = [
        pd.read_csv(tmp_path / name / "results.csv").drop(columns=TIMES)
        for name in ("whole", "killed")
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert tables[0]["detector"].value_counts().tolist() == [3] * len(detectors)
    assert {f.suffix for f in (tmp_path / "killed" / "runs").rglob("*.*")} == {".json"}


def test_plans_that_make_no_sense_are_refused(dots: Path, tmp_path: Path) -> None:
    dataset = MVTecAD(dots)
    with pytest.raises(ParameterError, match="seed 0 is named twice"):
        benchmark(dataset, [small()], tmp_path, seeds=(0, 0))
    with pytest.raises(ParameterError, match="at least one detector"):
        benchmark(dataset, [], tmp_path)
    with pytest.raises(DataError, match="nothing"):
        benchmark(dataset, [small()], tmp_path, categories=("nothing",))
    assert not list(tmp_path.iterdir())


def test_data_without_test_images_is_refused(dots: Path, tmp_path: Path) -> None:
    good = Folder(dots / "dot" / "train" / "good")
    with pytest.raises(DataError, match="no test image"):
        benchmark(good, [small()], tmp_path)


def test_results_of_other_groups_never_mix(dots: Path, tmp_path: Path) -> None:
    first = benchmark(MVTecAD(dots), [small()], tmp_path, groups="none", keep_models=True)
    assert first[0].configuration["groups"] == "none"
    assert first[0].calibration["scenes"] == 6
    with pytest.raises(ParameterError, match=r'groups "none" there, "by-name .*" here'):
        benchmark(MVTecAD(dots), [small()], tmp_path, groups="by-name ^00[0-2]|^00")
    by_name = {"by_name": small()}
    (other,) = benchmark(MVTecAD(dots), by_name, tmp_path, groups=r"by-name ^(00[0-3])|^00")
    assert other.calibration["scenes"] == 5
    assert any("6 training images, about 5 independent scenes" in note for note in other.notes)
    assert other.calibration["scores"] != first[0].calibration["scores"]
    pair = Ensemble(members=("patchcore", "padim"), image_size=64, device="cpu")
    (both,) = benchmark(MVTecAD(dots), {"pair": pair}, tmp_path, groups=r"by-name ^(00[0-3])|^00")
    assert both.calibration["scenes"] == 5
    with pytest.raises(ParameterError, match="auto, none, by-folder or by-name PATTERN"):
        benchmark(MVTecAD(dots), {"c": small()}, tmp_path, groups="byname")
