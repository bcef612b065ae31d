from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from anomalist.benchmark import RunRecord, RunStore, Task, stress
from anomalist.benchmark.stress_cases import CONDITIONS, Case, parse_cases
from anomalist.benchmark.stress_changes import CHANGES
from anomalist.benchmark.stress_sets import disturbed
from anomalist.data import Category, Folder, ImageSet, MVTecAD, Sample
from anomalist.detectors import CFA, DFM, Detector, PaDiM, PatchCore
from anomalist.detectors.grouping import group_images
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore
from anomalist.metrics import CALIBRATED_NAMES, METRIC_NAMES


def small(**more: object) -> PatchCore:
    return PatchCore(image_size=64, coreset_ratio=0.2, device="cpu", **more)  # type: ignore[arg-type]


def few() -> list[Detector]:
    return [small(), DFM(image_size=64, device="cpu")]


class Watching:
    """Counts runs and fits, and keeps what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.begun: list[tuple[int, int]] = []
        self.done: list[tuple[str, int]] = []
        self.fits: Counter[str] = Counter()
        self.expected: list[tuple[str, float]] = []

    def notice(self, text: str) -> None:
        self.told.append(text)

    def begin(self, runs: int, reused: int) -> None:
        self.begun.append((runs, reused))
        self.before = Counter(self.fits)

    def stage(self, task: Task, name: str, done: int, total: int) -> None:
        if name == "fit" and done == total:
            self.fits[task.name] += 1

    def trained(self, task: Task, step: int, values: object) -> None:
        pass

    def end(self, record: RunRecord) -> None:
        self.done.append((record.detector, record.seed))

    def expect(self, text: str, seconds: float) -> None:
        self.expected.append((text, seconds))


def test_every_level_has_a_row_with_the_metrics_of_results(dots: Path, tmp_path: Path) -> None:
    watching = Watching()
    frame = stress(
        MVTecAD(dots),
        few(),
        tmp_path,
        conditions=["shots=1:2:99", "contamination=0:0.4", "brightness=0.2", "shift=0.1"],
        draws=2,
        alpha=0.3,
        watcher=watching,
    )
    first = [
        *("detector", "category", "condition", "level", "where", "seed"),
        *("train_images", "test_images", *METRIC_NAMES, *CALIBRATED_NAMES),
    ]
    assert list(frame.columns)[: len(first)] == first
    assert list(frame.columns)[-2:] == ["image_hit_rate", "notes"]
    written = pd.read_csv(tmp_path / "stress.csv").fillna({"notes": ""})
    pd.testing.assert_frame_equal(written, frame, check_exact=True, check_dtype=False)
    mine = frame[frame["detector"] == "patchcore"].replace({math.nan: None})
    rows = mine[["condition", "level", "where", "seed", "train_images"]].values.tolist()
    assert rows == [
        ["baseline", None, None, 0, 6],
        ["shots", 1, "train", 0, 1],
        ["shots", 1, "train", 1, 1],
        ["shots", 2, "train", 0, 2],
        ["shots", 2, "train", 1, 2],
        ["shots", 6, "train", 0, 6],
        ["contamination", 0, "train", 0, 6],
        ["contamination", 0.4, "train", 0, 6],
        ["brightness", 0.2, "test", 0, 6],
        ["brightness", 0.2, "all", 0, 6],
        ["shift", 0.1, "test", 0, 6],
        ["shift", 0.1, "all", 0, 6],
    ]
    # The undisturbed run is a benchmark's.
    results = pd.read_csv(tmp_path / "results.csv")
    baseline = frame[frame["condition"] == "baseline"]
    for name in (*METRIC_NAMES, "image_false_alarm_rate"):
        np.testing.assert_array_equal(
            baseline.sort_values("detector")[name], results.sort_values("detector")[name]
        )
    # All images as dark are told apart as well; dark test images alone all alarm.
    dark = mine[mine["condition"] == "brightness"].set_index("where")
    assert dark.loc["test", "image_false_alarm_rate"] == dark.loc["test", "image_hit_rate"] == 1
    assert dark.loc["all", "image_AUROC"] == 1
    assert dark.loc["all", "image_false_alarm_rate"] < 1
    # One photograph can't be calibrated, and two are too few for the rate asked for.
    shots = mine[mine["condition"] == "shots"].set_index("level")
    assert shots.loc[[1, 2], "image_AUROC"].notna().all()
    assert shots.loc[1, "image_false_alarm_rate"].isna().all()
    assert shots.loc[1, "notes"].str.contains("no threshold").all()
    assert shots.loc[2, "image_false_alarm_rate"].notna().all()
    assert shots.loc[2, "notes"].str.contains("too few to guarantee a false-alarm rate").all()
    assert watching.told == ["dot has 6 images to learn from: shots 99 left out"]
    assert watching.begun == [(2, 0), (20, 0)]
    assert Counter(watching.done) == {
        (name, seed): 2 if seed else 9 for name in ("patchcore", "dfm") for seed in (0, 1)
    }
    # Once undisturbed, once for all that changes test images alone, and once for each other.
    assert watching.fits["patchcore"] == 1 + 1 + 2 + 4 + 2
    assert watching.expected[-1] == ("dot contamination 0.4 (train)", 0)


@pytest.fixture
def bursts(tmp_path: Path) -> Path:
    """Three shots each of eight parts, as their names tell, and test images."""
    rng = np.random.default_rng(0)
    for part in range(8):
        made = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        for shot in range(3):
            noise = rng.integers(-2, 3, made.shape)
            image = Image.fromarray(np.clip(made + noise, 0, 255).astype(np.uint8))
            path = tmp_path / "bursts" / "part" / "train" / "good" / f"p{part}_{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    for kind, count in (("good", 3), ("spot", 3)):
        for i in range(count):
            made = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            path = tmp_path / "bursts" / "part" / "test" / kind / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(made).save(path)
    return tmp_path / "bursts"


@pytest.mark.parametrize("groups", ["none", "auto", r"by-name p(\d+)_"])
def test_scenes_of_the_undisturbed_images_hold_for_every_case(
    bursts: Path, tmp_path: Path, groups: str
) -> None:
    stress(
        MVTecAD(bursts),
        [small()],
        tmp_path / "out",
        conditions=["shots=2:12", "brightness=0.9", "contamination=0.4"],
        groups=groups,
        draws=1,
        alpha=0.3,
    )

    def scenes(*case: str) -> int:
        (record,) = RunStore(tmp_path.joinpath("out", *case)).records()
        return int(record.calibration["scenes"])

    train = MVTecAD(bursts).category("part").train
    found = group_images(train, groups).groups
    drawn = found[np.random.default_rng(0).permutation(24)[:12]]
    assert scenes() == len(set(found))
    assert scenes("stress", "brightness_0.9_test") == len(set(found))
    assert scenes("stress", "brightness_0.9_all") == len(set(found))
    assert scenes("stress", "shots_12_train") == len(set(drawn))
    assert scenes("stress", "contamination_0.4_train") <= len(set(found))
    assert (len(set(found)) == 24) == (groups == "none")


def test_a_draw_of_one_scene_is_measured(bursts: Path, tmp_path: Path) -> None:
    """By name, shots of one part would be refused as a whole set."""
    stress(
        MVTecAD(bursts), [small()], tmp_path / "out", conditions=["shots=1"], draws=3, alpha=0.3,
        groups=r"by-name p(\d+)_",
    )  # fmt: skip
    assert len(RunStore(tmp_path / "out" / "stress" / "shots_1_train").records()) == 3


def test_records_have_intervals_of_rates(dots: Path, tmp_path: Path) -> None:
    stress(MVTecAD(dots), [small()], tmp_path, conditions=["gamma=1.2"], alpha=0.3)
    (record,) = RunStore(tmp_path / "stress" / "gamma_1.2_test").records()
    assert set(record.intervals) >= {"image_AUROC", "pixel_PRO", "image_hit_rate"}
    low, high = record.intervals["image_hit_rate"]
    assert low <= (record.metrics["image_hit_rate"] or 0) <= high


def test_an_image_passes_once_for_all_detectors_and_seeds(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FeatureStore] = []
    real = FeatureStore.__init__

    def counted(store: FeatureStore, **options: object) -> None:
        real(store, **options)  # type: ignore[arg-type]
        made.append(store)

    monkeypatch.setattr(FeatureStore, "__init__", counted)
    detectors = {"a": small(), "b": small(num_neighbors=3), "c": DFM(image_size=64, device="cpu")}
    store = FeatureStore()
    stress(MVTecAD(dots), detectors, tmp_path, conditions=["noise=0.1"], seeds=(0, 1), store=store)
    passes = sorted(store.passes for store in made if store.passes)
    assert store.passes == 12  # 6 to learn from, 6 to test, undisturbed
    assert passes == [6, 12, 12]  # and 6 disturbed ones, then all 12 of them


_KILLED = """
import sys
from tests.benchmark.test_stress import RESUMED, Watching, few
from anomalist.benchmark import stress
from anomalist.data import MVTecAD
import torch
torch.set_num_threads(1)
class Loud(Watching):
    def stage(self, task, name, done, total): print(task.name, name, done, flush=True)
    def expect(self, text, seconds): print(text, flush=True)
stress(MVTecAD(sys.argv[1]), few(), sys.argv[2], watcher=Loud(), **RESUMED)
"""
RESUMED = {
    "conditions": ["shots=2:4", "contamination=0.4", "noise=0.05", "turn=5"],
    "draws": 2,
    "alpha": 0.3,
}


@pytest.mark.usefixtures("warm_processes")
def test_killed_and_resumed_equals_whole(dots: Path, tmp_path: Path) -> None:
    stress(MVTecAD(dots), few(), tmp_path / "whole", **RESUMED)  # type: ignore[arg-type]
    for fatal in ("dot turn 5 (test)", "dot shots 4 (train)"):
        process = subprocess.Popen(
            [sys.executable, "-c", _KILLED, str(dots), str(tmp_path / "killed")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(fatal):
                os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
    resumed = Watching()
    stress(
        MVTecAD(dots),
        few(),
        tmp_path / "killed",
        watcher=resumed,
        **RESUMED,  # type: ignore[arg-type]
    )
    (_, everything), (runs, reused) = resumed.begun
    assert everything == 2
    assert len(resumed.done) == runs - reused < runs / 2
    tables = [(tmp_path / name / "stress.csv").read_bytes() for name in ("whole", "killed")]
    assert tables[0] == tables[1]


def test_what_is_there_serves_again_and_is_joined(dots: Path, tmp_path: Path) -> None:
    stress(MVTecAD(dots), few(), tmp_path, conditions=["jpeg=50"])
    again = Watching()
    frame = stress(
        MVTecAD(dots), few(), tmp_path, conditions=["scale=1.1"], where=["test"], watcher=again
    )
    assert again.begun == [(2, 2), (2, 0)]
    assert frame["condition"].value_counts().to_dict() == {"jpeg": 4, "baseline": 2, "scale": 2}
    other = [small(num_neighbors=5)]
    with pytest.raises(ParameterError, match="the name patchcore is taken"):
        stress(MVTecAD(dots), other, tmp_path, conditions=["jpeg=50"])
    with pytest.raises(ParameterError, match="the name patchcore is taken"):
        stress(MVTecAD(dots), few(), tmp_path, conditions=["jpeg=50"], alpha=0.1)


def test_changed_images_are_run_again(dots: Path, tmp_path: Path) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(dots, data)
    stress(MVTecAD(data), [small()], tmp_path / "out", conditions=["jpeg=50"])
    image = data / "dot" / "train" / "good" / "000.png"
    image.write_bytes((data / "dot" / "train" / "good" / "001.png").read_bytes())
    again = Watching()
    stress(MVTecAD(data), [small()], tmp_path / "out", conditions=["jpeg=50"], watcher=again)
    assert again.begun == [(1, 0), (2, 0)]


def test_a_training_is_kept_for_conditions_that_it_serves(dots: Path, tmp_path: Path) -> None:
    watching = Watching()
    cfa = CFA(image_size=64, epochs=1, device="cpu")
    stress(MVTecAD(dots), [cfa], tmp_path, conditions=["jpeg=50"], where=["test"], watcher=watching)
    assert watching.fits == watching.before
    assert list((tmp_path / "models").rglob("*.anomalist"))


def category(good: int = 60, defects: int = 60, train: int = 80) -> Category:
    def images(count: int, kind: str) -> list[Sample]:
        label = kind != "good"
        pixels = np.random.default_rng(count).integers(0, 256, (count, 8, 8), np.uint8)
        return [Sample(f"{kind}{i}", label, kind, image=p) for i, p in enumerate(pixels)]

    half = defects // 2
    test = [*images(good, "good"), *images(half, "cut"), *images(defects - half, "dent")]
    learnt = [
        Sample(f"train{i}", False, "good", image=s.image)
        for i, s in enumerate(images(train, "good"))
    ]
    return Category("parts", ImageSet(learnt), ImageSet(test))


def names(images: ImageSet) -> list[str]:
    return [path.name for path in images.paths]


def test_contamination_has_one_test_set_and_one_number_of_images() -> None:
    plain = category()
    sets = {
        level: disturbed(plain, Case("contamination", level, "train"), 3)[0]
        for level in CONDITIONS["contamination"].levels
    }
    tests = {tuple(names(found.test)) for found in sets.values()}
    assert len(tests) == 1
    (test,) = tests
    assert Counter(name.rstrip("0123456789") for name in test) == {
        "good": 60,
        "cut": 15,
        "dent": 15,
    }
    before: set[str] = set()
    for level, found in sets.items():
        learnt = names(found.train)
        moved = {name for name in learnt if not name.startswith("train")}
        assert len(learnt) == len(set(learnt)) == 75  # 30 are enough for 40 % of them
        assert len(moved) == round(level * 75)
        assert moved >= before
        assert not moved & set(test)
        assert all(sample.label is False and sample.mask is None for sample in found.train)
        before = moved
    other = disturbed(plain, Case("contamination", 0.2, "train"), 4)[0]
    assert set(names(other.train)) != set(names(sets[0.2].train))
    assert names(other.test) == list(test)


def test_where_test_defects_are_too_few_they_are_made() -> None:
    plain = category(defects=6)
    found, (note,) = disturbed(plain, Case("contamination", 0.1, "train"), 0)
    assert note == "80 images learnt from, 8 of them with made defects"
    assert names(found.test) == names(plain.test)
    assert sorted(names(found.train)) == sorted(names(plain.train))
    known = {sample.sha256() for sample in plain.train}
    assert sum(sample.sha256() not in known for sample in found.train) == 8


def test_shots_are_nested_draws() -> None:
    plain = category()
    drawn = [
        set(names(disturbed(plain, Case("shots", level, "train"), 1)[0].train))
        for level in (1, 2, 4, 8)
    ]
    assert [len(one) for one in drawn] == [1, 2, 4, 8]
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3]
    other = disturbed(plain, Case("shots", 8, "train"), 2)[0]
    assert set(names(other.train)) != drawn[3]


def test_every_condition_has_cases_whose_folders_tell_them() -> None:
    cases = parse_cases()
    assert len(cases) == len(set(cases)) == len({case.key.casefold() for case in cases})
    assert all(Case.parse(case.key) == case for case in cases)
    assert (
        {case.condition for case in cases}
        == set(CONDITIONS)
        == {
            "shots",
            "contamination",
            *CHANGES,
        }
    )
    for name in ("shots_2_test_x", "blur_2_test", "turn_2.0_test", "turn_2_here", "turn_x_test"):
        assert Case.parse(name) is None


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("bright=1", "no condition 'bright'; did you mean brightness?"),
        ("", "no condition ''"),
        ("jpeg=50:101", "'101' is no level of jpeg .* a whole number from 1 to 95"),
        ("jpeg=50.5", "'50.5' is no level"),
        ("turn=", "'' is no level of turn"),
        ("noise=nan", "'nan' is no level"),
        ("contamination=0.5", "from 0 to 0.4"),
        ("shots=0", "a whole number from 1 up"),
        ("scale=1e9", "from 0.5 to 2"),
    ],
)
def test_levels_that_make_no_sense_are_refused(entry: str, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        parse_cases([entry])


def test_calls_that_make_no_sense_are_refused(dots: Path, tmp_path: Path) -> None:
    dataset = MVTecAD(dots)
    for options, told in (
        ({"conditions": []}, "at least one condition"),
        ({"conditions": ["turn", "turn=1"]}, "named twice"),
        ({"where": ["train"]}, "where must be test, all or both, not train"),
        ({"where": []}, "where must be test, all or both, not none"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"seeds": ()}, "at least one seed"),
    ):
        with pytest.raises(ParameterError, match=told):
            stress(dataset, [small()], tmp_path, **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_plain_folder_without_defects_tells_false_alarms(dots: Path, tmp_path: Path) -> None:
    import shutil

    good = tmp_path / "parts" / "train" / "good"
    shutil.copytree(dots / "dot" / "train" / "good", good)
    for path in (dots / "dot" / "test" / "good").iterdir():
        target = tmp_path / "parts" / "test" / "good" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    frame = stress(
        Folder(tmp_path / "parts"),
        [small()],
        tmp_path / "out",
        conditions=["brightness=0.3"],
        where=["test"],
        alpha=0.3,
    )
    assert frame["image_AUROC"].isna().all()
    assert frame["image_hit_rate"].isna().all()
    assert frame["image_false_alarm_rate"].iloc[-1] == 1


def test_unlabelled_test_images_are_refused(dots: Path, tmp_path: Path) -> None:
    class Unlabelled(MVTecAD):
        def category(self, name: str) -> Category:
            found = super().category(name)
            test = ImageSet([Sample(s.path) for s in found.test])
            return Category(name, found.train, test)

    with pytest.raises(DataError, match="known to be good or defective"):
        stress(Unlabelled(dots), [small()], tmp_path, conditions=["turn=1"])


def test_one_that_needs_more_images_is_told_and_left_out(dots: Path, tmp_path: Path) -> None:
    class Needy(PaDiM):
        def _fit(self, features: object) -> None:
            if len(features) < 3:  # type: ignore[arg-type]
                raise DataError("3 images are needed")
            super()._fit(features)  # type: ignore[arg-type]

    watching = Watching()
    frame = stress(
        MVTecAD(dots),
        [Needy(image_size=64, dimensions=8, device="cpu")],
        tmp_path,
        conditions=["shots=2:4"],
        draws=1,
        watcher=watching,
    )
    assert frame["level"].dropna().tolist() == [4, 6]
    assert watching.told == ["padim can't learn from 2 images of dot: 3 images are needed"]
