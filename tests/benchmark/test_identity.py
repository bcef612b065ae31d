"""Runs have an identity: a name holds one configuration, and no table mixes two."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import anomalist
from anomalist.benchmark import RunStore, benchmark
from anomalist.cli.main import main
from anomalist.data import MVTecAD
from anomalist.detectors import CFA, Detector, Ensemble, PaDiM, PatchCore
from anomalist.errors import ParameterError


def small(coreset_ratio: float = 0.2) -> PatchCore:
    return PatchCore(image_size=64, coreset_ratio=coreset_ratio, device="cpu")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


class Told:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.begun: tuple[int, int] | None = None
        self.done: list[tuple[str, str, int]] = []
        self.notices: list[tuple[str, bool]] = []

    @property
    def lines(self) -> list[str]:
        return [line for line, _ in self.notices]

    def begin(self, runs: int, reused: int) -> None:
        self.begun = (runs, reused)

    def stage(self, task: object, name: str, done: int, total: int) -> None: ...

    def trained(self, task: object, step: int, values: object) -> None: ...

    def end(self, record: anomalist.benchmark.RunRecord) -> None:
        self.done.append((record.detector, record.category, record.seed))

    def notice(self, text: str) -> None:
        assert "\n" not in text
        self.notices.append((text, bool(self.done)))


@pytest.fixture(scope="module")
def two(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two configurations of one detector, two seeds, in one folder."""
    out = tmp_path_factory.mktemp("two")
    pair = {"patchcore": small(), "small": small(0.5)}
    benchmark(MVTecAD(dots), pair, out, seeds=(0, 1), alpha=0.2)
    return out


def test_two_configurations_stand_side_by_side_each_with_its_seeds_spread(
    dots: Path, two: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(two / "results.csv")
    assert table[["detector", "seed"]].to_numpy().tolist() == [
        ["patchcore", 0],
        ["patchcore", 1],
        ["small", 0],
        ["small", 1],
    ]
    assert table.groupby("detector")["config_hash"].nunique().tolist() == [1, 1]
    assert table["config_hash"].nunique() == 2
    # Each has the numbers that it has alone.
    for name, detector in (("patchcore", small()), ("small", small(0.5))):
        benchmark(MVTecAD(dots), [detector], tmp_path / name, seeds=(0, 1), alpha=0.2)
        alone = json.loads((tmp_path / name / "patchcore" / "dot_metrics.json").read_text())
        values = json.loads((two / name / "dot_metrics.json").read_text())
        assert values == alone
        assert "pixel_AP_std" in values
        assert (two / name / "dot_heatmaps.png").is_file()
        assert (two / "pictures" / name / "dot.npz").is_file()
        assert (two / "runs" / name / "dot_seed1.json").is_file()
    lines = (two / "results.md").read_text().splitlines()[2:4]
    assert [line.split(" | ")[0] for line in lines] == ["| patchcore", "| small"]
    assert {r.method for r in RunStore(two).records()} == {"patchcore"}
    report = (two / "report.html").read_text()
    assert "<h3>patchcore</h3>" in report
    assert "<h3>small</h3>" in report


def test_another_configuration_under_a_name_is_refused_before_any_work(
    dots: Path, two: Path
) -> None:
    before = contents(two)
    for seeds in ((0,), (7,)):  # also where it would erase nothing, but be averaged
        with pytest.raises(ParameterError) as refused:
            benchmark(MVTecAD(dots), [small(0.3)], two, seeds=seeds, alpha=0.2)
        message = str(refused.value)
        assert "\n" not in message
        assert "the name patchcore is taken" in message
        assert "coreset_ratio 0.2 there, 0.3 here" in message
        assert "other=patchcore" in message
        assert "--out" in message
        assert str(two / "runs" / "patchcore") in message
    assert contents(two) == before


def test_what_is_asked_of_runs_is_part_of_their_configuration(dots: Path, tmp_path: Path) -> None:
    cfa = CFA(image_size=64, epochs=1, device="cpu")
    benchmark(MVTecAD(dots), [small(), cfa], tmp_path, alpha=0.2)

    def again(detector: Detector, **asked: object) -> None:
        benchmark(MVTecAD(dots), [detector], tmp_path, **{"alpha": 0.2, **asked})  # type: ignore[arg-type]

    with pytest.raises(ParameterError, match=r"alpha 0.2 there, 0.4 here"):
        again(small(), alpha=0.4)
    with pytest.raises(ParameterError, match="calibrate true there, false here"):
        again(small(), calibrate=False)
    with pytest.raises(ParameterError, match="oracle false there, true here"):
        again(cfa, oracle=True)
    again(small(), oracle=True)  # which asks nothing of what isn't trained
    # What changes how fast a result comes, not which, is no other configuration.
    again(dataclasses.replace(small(), batch_size=3))


def test_where_pixels_are_compared_is_part_of_it_and_what_was_fitted_serves_both(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = PatchCore(image_size=32, coreset_ratio=0.5, device="cpu")
    (original,) = benchmark(MVTecAD(dots), [half], tmp_path, alpha=0.2, keep_models=True)
    assert original.evaluated_at == "original"
    with pytest.raises(ParameterError, match='evaluate_at "original" there, "input" here'):
        benchmark(MVTecAD(dots), [half], tmp_path, alpha=0.2, evaluate_at="input")
    (small_scale,) = benchmark(
        MVTecAD(dots),
        {"scaled": half},
        tmp_path,
        alpha=0.2,
        evaluate_at="input",
        keep_models=True,
    )
    assert small_scale.evaluated_at == "input"
    assert small_scale.config_hash != original.config_hash
    # Its fit is the other's, taken over, and so are the scores of images.
    assert small_scale.fit_seconds == original.fit_seconds
    assert small_scale.metrics["image_AUROC"] == original.metrics["image_AUROC"]
    assert small_scale.metrics["pixel_AP"] != original.metrics["pixel_AP"]
    predictions = half.fit(MVTecAD(dots).category("dot").train).predict(
        MVTecAD(dots).category("dot").test
    )
    for record in (original, small_scale):
        expected = anomalist.evaluate(predictions, at=record.evaluated_at)
        assert record.metrics["pixel_PRO"] == pytest.approx(expected.pixel_PRO, rel=1e-6)
    table = pd.read_csv(tmp_path / "results.csv").set_index("detector")
    assert table["evaluated_at"].to_dict() == {"patchcore": "original", "scaled": "input"}
    for name in ("patchcore", "scaled"):
        values = json.loads((tmp_path / name / "dot_metrics.json").read_text())
        assert values["evaluated_at"] == table["evaluated_at"][name]
    said = "Pixel metrics aren't comparable: those of patchcore are at the size of each mask"
    assert said in (tmp_path / "results.md").read_text()
    assert said in (tmp_path / "results.tex").read_text()
    assert said in (tmp_path / "report.html").read_text().replace("&#39;", "'")
    assert main(["report", str(tmp_path)]) == 0


def test_limits_of_pro_are_part_of_it_and_columns_of_their_own(dots: Path, tmp_path: Path) -> None:
    benchmark(MVTecAD(dots), [small()], tmp_path, alpha=0.2)
    with pytest.raises(ParameterError, match=r"pro_limits \[\] there, \[0.05\] here"):
        benchmark(MVTecAD(dots), [small()], tmp_path, alpha=0.2, pro_limits=[0.05])
    (strict,) = benchmark(
        MVTecAD(dots), {"strict": small()}, tmp_path, alpha=0.2, pro_limits=[0.3, 0.05]
    )
    low, high = strict.intervals["pixel_PRO_0.05"]
    value = strict.metrics["pixel_PRO_0.05"]
    assert value is not None
    assert low <= value <= high
    table = pd.read_csv(tmp_path / "results.csv").set_index("detector")
    assert table.loc["strict", "pixel_PRO_0.05"] == value
    assert np.isnan(table.loc["patchcore", "pixel_PRO_0.05"])
    assert list(table.columns)[-2:] == ["evaluated_at", "pixel_PRO_0.05"]
    with pytest.raises(ParameterError, match="fpr_limit"):
        benchmark(MVTecAD(dots), {"odd": small()}, tmp_path, alpha=0.2, pro_limits=[5])


def test_a_run_of_before_sizes_were_kept_was_measured_at_the_input(
    dots: Path, tmp_path: Path
) -> None:
    benchmark(MVTecAD(dots), [small()], tmp_path)
    path = tmp_path / "runs" / "patchcore" / "dot_seed0.json"
    values = json.loads(path.read_text())
    del values["evaluated_at"], values["configuration"]["evaluate_at"]
    path.write_text(json.dumps({**values, "version": "0.0.1"}))
    (before,) = RunStore(tmp_path).records()
    assert before.evaluated_at == "input"
    (now,) = benchmark(MVTecAD(dots), [small()], tmp_path)  # done again, as of another version
    assert now.evaluated_at == "original"


def test_the_members_that_differ_are_told(dots: Path, tmp_path: Path) -> None:
    def pair(**settings: int) -> Ensemble:
        members = (small(), PaDiM(image_size=64, device="cpu", **settings))
        return Ensemble(members=members, image_size=64, device="cpu")

    benchmark(MVTecAD(dots), [pair()], tmp_path)
    with pytest.raises(ParameterError, match=r"padim: dimensions .* there, 9 here"):
        benchmark(MVTecAD(dots), [pair(dimensions=9)], tmp_path)


def test_a_run_of_before_the_settings_were_kept_is_known_too(dots: Path, tmp_path: Path) -> None:
    benchmark(MVTecAD(dots), [small()], tmp_path)
    path = tmp_path / "runs" / "patchcore" / "dot_seed0.json"
    values = json.loads(path.read_text())
    for name in ("configuration", "method", "finished"):
        del values[name]
    path.write_text(json.dumps(values))
    told = Told()
    benchmark(MVTecAD(dots), [small()], tmp_path, watcher=told)
    assert told.begun == (1, 1)
    with pytest.raises(ParameterError, match=r"coreset_ratio 0.2 there, 0.3 here"):
        benchmark(MVTecAD(dots), [small(0.3)], tmp_path)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["runs"], "runs.*folder of its own"),
        (["Models"], "Models.*folder of its own"),
        (["pictures"], "pictures.*folder of its own"),
        (["results.csv"], "results.csv.*of its own"),
        (["a/b"], "'a/b'"),
        ([".."], r"'\.\.'"),
        ([""], "''"),
        ([".hidden"], "hidden"),
        (["a b "], "'a b '"),
        (["nul"], "nul"),
        (["a*"], r"'a\*'"),
        (["x" * 201], "shorter"),
        (["small", "Small"], "small and Small"),
    ],
)
def test_names_that_make_no_folder_are_refused(
    dots: Path, tmp_path: Path, names: list[str], why: str
) -> None:
    with pytest.raises(ParameterError, match=why) as refused:
        benchmark(MVTecAD(dots), {name: small() for name in names}, tmp_path)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_name_of_the_folder_in_other_letters_is_refused(dots: Path, two: Path) -> None:
    with pytest.raises(ParameterError, match=r"small and Small"):
        benchmark(MVTecAD(dots), {"Small": small(0.5)}, two, alpha=0.2)


def test_one_label_twice_is_refused_with_the_way_out(dots: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"patchcore is named twice.*small=patchcore"):
        benchmark(MVTecAD(dots), [small(), small(0.3)], tmp_path)


def test_members_are_taken_over_only_from_their_own_configuration(
    dots: Path, tmp_path: Path
) -> None:
    ensemble = Ensemble(members=(small(), small(0.5)), image_size=64, device="cpu")
    (alone,) = benchmark(MVTecAD(dots), {"both": ensemble}, tmp_path / "alone")
    pair = {"patchcore": small(), "small": small(0.5)}
    benchmark(MVTecAD(dots), pair, tmp_path / "kept", keep_models=True)
    assert (tmp_path / "kept" / "models" / "small" / "dot_seed0.anomalist").is_file()
    before = contents(tmp_path / "kept" / "models")
    (taken,) = benchmark(MVTecAD(dots), {"both": ensemble}, tmp_path / "kept", keep_models=True)
    assert contents(tmp_path / "kept" / "models") == before  # nothing was fitted
    assert taken.images == alone.images
    other = Ensemble(members=(small(), small(0.4)), image_size=64, device="cpu")
    (fresh,) = benchmark(MVTecAD(dots), {"other": other}, tmp_path / "fresh")
    (mixed,) = benchmark(MVTecAD(dots), {"other": other}, tmp_path / "kept", keep_models=True)
    assert mixed.images == fresh.images
    # What an ensemble fitted itself lies with the ensemble, not under a name of another.
    now = contents(tmp_path / "kept" / "models")
    assert all(now[file] == content for file, content in before.items())
    assert {str(Path(f).parent.name) for f in now.keys() - before.keys()} == {"other"}


def test_a_model_kept_by_another_version_is_fitted_again(dots: Path, tmp_path: Path) -> None:
    benchmark(MVTecAD(dots), [small()], tmp_path, keep_models=True)
    kept = tmp_path / "models" / "patchcore" / "dot_seed0.npz"
    with np.load(kept) as arrays:
        values = dict(arrays)
    what = {**json.loads(str(values.pop("what"))), "version": "0.0.1"}
    np.savez(kept, what=json.dumps(what), **values)
    ensemble = Ensemble(members=(small(), small()), image_size=64, device="cpu")
    benchmark(MVTecAD(dots), {"both": ensemble}, tmp_path, keep_models=True)
    assert (tmp_path / "models" / "both" / "dot_seed0.member0.npz").is_file()


def test_an_uncalibrated_run_stays_so_whatever_its_ensembles_made_of_it(
    dots: Path, tmp_path: Path
) -> None:
    # The ensemble of seed 0 has a member of seed 1, whose own run comes later.
    members = (small(), dataclasses.replace(small(), seed=1))
    plan = {"patchcore": small(), "both": Ensemble(members=members, image_size=64, device="cpu")}
    settings = {"seeds": (0, 1), "calibrate": False}
    together = benchmark(MVTecAD(dots), plan, tmp_path / "a", **settings)  # type: ignore[arg-type]
    alone = benchmark(MVTecAD(dots), [small()], tmp_path / "b", **settings)  # type: ignore[arg-type]
    for record in alone:
        (same,) = [r for r in together if (r.detector, r.seed) == ("patchcore", record.seed)]
        assert same.calibration == record.calibration == {"alpha": 0.05}
        assert same.images == record.images


def test_a_model_kept_without_its_epochs_does_not_stand_in_for_one_that_was_looked_at(
    dots: Path, tmp_path: Path
) -> None:
    cfa = CFA(image_size=64, epochs=2, device="cpu")
    benchmark(MVTecAD(dots), {"plain": cfa}, tmp_path, keep_models=True)
    (looked_at,) = benchmark(
        MVTecAD(dots), {"looked_at": cfa}, tmp_path, keep_models=True, oracle=True
    )
    assert len(looked_at.epochs) == 2


def test_runs_of_other_images_are_left_out_of_the_tables_and_told(
    dots: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(dots, data)
    padim = PaDiM(image_size=64, device="cpu")
    benchmark(MVTecAD(data), [small(), padim], out, seeds=(0, 1))
    image = data / "dot" / "train" / "good" / "000.png"
    old = image.read_bytes()
    image.write_bytes((data / "dot" / "train" / "good" / "001.png").read_bytes())
    told = Told()
    benchmark(MVTecAD(data), [small()], out, watcher=told)
    assert told.done == [("patchcore", "dot", 0)]
    table = pd.read_csv(out / "results.csv")
    assert table[["detector", "seed"]].to_numpy().tolist() == [["patchcore", 0]]
    scenes, line = told.lines
    assert "about 5 independent scenes" in scenes  # of two images that are alike
    assert "3 runs" in line
    assert "other images" in line
    assert "padim dot seed 0" in line
    assert [(r.detector, r.seed) for r in RunStore(out).records()] == [("patchcore", 0)]
    # No work is lost: with the images back as they were, the runs that were left out serve again.
    image.write_bytes(old)
    back = Told()
    benchmark(MVTecAD(data), [padim], out, seeds=(0, 1), watcher=back)
    assert (back.begun, back.done) == ((2, 2), [])
    table = pd.read_csv(out / "results.csv")
    assert table[["detector", "seed"]].to_numpy().tolist() == [
        ["padim", 0],
        ["padim", 1],
        ["patchcore", 1],
    ]


def test_runs_of_another_version_are_left_out_or_done_again(dots: Path, tmp_path: Path) -> None:
    benchmark(MVTecAD(dots), {"a": small(), "b": small(0.5)}, tmp_path)
    for name in "ab":
        path = tmp_path / "runs" / name / "dot_seed0.json"
        # Another version may also have hashed its settings otherwise.
        edit(path, version="0.0.1", config_hash="0" * 64)
    told = Told()
    benchmark(MVTecAD(dots), {"a": small()}, tmp_path, watcher=told)
    assert told.done == [("a", "dot", 0)]
    assert "b dot seed 0" in told.lines[0]
    assert "0.0.1" in told.lines[0]
    assert pd.read_csv(tmp_path / "results.csv")["detector"].tolist() == ["a"]
    # Settings that are known to differ are another configuration, of whatever version.
    with pytest.raises(ParameterError, match=r"coreset_ratio 0.5 there, 0.3 here"):
        benchmark(MVTecAD(dots), {"b": small(0.3)}, tmp_path)


def test_a_folder_that_mixed_configurations_under_one_name_is_not_averaged(
    dots: Path, two: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(two, out)
    values = json.loads((out / "runs" / "small" / "dot_seed1.json").read_text())
    other = out / "runs" / "patchcore" / "dot_seed1.json"
    other.write_text(json.dumps({**values, "detector": "patchcore", "finished": "2000-01-01"}))
    inventory = RunStore(out).inventory()
    assert [(r.detector, r.seed) for r in inventory.records] == [
        ("patchcore", 0),
        ("small", 0),
        ("small", 1),
    ]
    assert "other settings" in inventory.notices[0]


STRANGERS = {
    "patchcore/dot_seed1.json": '{"detector": 5}',
    "theirs/dot_seed0.json": '{"loss": 0.5}',
    "theirs/dot_seed1.json": "",
    "theirs/dot_seed2.json": "[1, 2]",
}


def test_what_is_no_record_is_told_before_work_and_costs_no_table(
    dots: Path, tmp_path: Path
) -> None:
    for name, text in STRANGERS.items():
        (tmp_path / "runs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs" / name).write_text(text)
    (tmp_path / "runs" / "theirs" / "folder_seed0.json").mkdir()
    told = Told()
    (record,) = benchmark(MVTecAD(dots), [small()], tmp_path, watcher=told)
    assert record.metrics["image_AUROC"] is not None
    assert pd.read_csv(tmp_path / "results.csv")["detector"].tolist() == ["patchcore"]
    assert (tmp_path / "report.html").is_file()
    assert len(told.notices) == len(STRANGERS) + 1
    for line, after_work in told.notices:
        assert "isn't a run record" in line
        assert "delete it" in line
        assert not after_work
    for name, text in STRANGERS.items():
        assert (tmp_path / "runs" / name).read_text() == text
        assert any(str(tmp_path / "runs" / name) in line for line in told.lines)


def test_without_a_watcher_it_is_a_warning(dots: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "theirs").mkdir(parents=True)
    (tmp_path / "runs" / "theirs" / "dot_seed0.json").write_text("{}")
    with pytest.warns(UserWarning, match="isn't a run record"):
        benchmark(MVTecAD(dots), [small()], tmp_path)


def test_pictures_are_those_of_the_lowest_seed_in_the_folder(dots: Path, tmp_path: Path) -> None:
    benchmark(MVTecAD(dots), [small()], tmp_path, seeds=(1,))
    of_one = contents(tmp_path / "pictures")
    benchmark(MVTecAD(dots), [small()], tmp_path, seeds=(2,))
    assert contents(tmp_path / "pictures") == of_one
    benchmark(MVTecAD(dots), [small()], tmp_path, seeds=(0, 1))
    assert contents(tmp_path / "pictures") != of_one


def test_report_passes_over_strangers_and_leaves_out_what_is_stale(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(two, out)
    edit(out / "runs" / "small" / "dot_seed0.json", version="0.0.1", finished="2000-01-01")
    (out / "runs" / "theirs").mkdir()
    (out / "runs" / "theirs" / "dot_seed0.json").write_text("{}")
    assert main(["report", str(out)]) == 0
    told = capsys.readouterr().err
    assert f"{out / 'runs' / 'theirs' / 'dot_seed0.json'} isn't a run record" in told
    assert "1 run is left out of the tables, of version 0.0.1" in told
    table = pd.read_csv(out / "results.csv")
    assert table[["detector", "seed"]].to_numpy().tolist() == [
        ["patchcore", 0],
        ["patchcore", 1],
        ["small", 1],
    ]
    assert "1 run is left out of the tables" in (out / "report.html").read_text()
