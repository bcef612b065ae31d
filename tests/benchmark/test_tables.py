"""What a benchmark writes beside its results: scores, curves, compact tables, one's own metrics."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from anomalist.benchmark import RunStore, benchmark
from anomalist.benchmark.recording import _short_names
from anomalist.cli.main import main
from anomalist.data import MVTecAD
from anomalist.detectors import PatchCore
from anomalist.errors import ParameterError
from anomalist.metrics import auroc

FAST = [
    *("--detectors", "patchcore", "--image_size", "64", "--device", "cpu"),
    *("--patchcore.coreset_ratio", "0.2", "--calibrate", "false"),
]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a metric in it, in which commands are typed."""
    path = tmp_path / "lab_metrics.py"
    path.write_text("def spread(predictions):\n    return 1 / 3 + len(predictions)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "lab_metrics", raising=False)
    return path


def test_scores_curves_and_ones_own_metrics_are_written_and_measured_again_when_changed(
    dots: Path, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["benchmark", str(dots), "--out", "out", "--metric", "lab_metrics:spread", *FAST]
    assert main(command) == 0
    (record,) = RunStore("out").records()
    results = pd.read_csv("out/results.csv")
    images = len(record.images)
    assert results["lab_metrics:spread"].tolist() == [1 / 3 + images]
    out = capsys.readouterr().out
    assert f"{1 / 3 + images:.4g}" in out
    assert "lab_metrics:" in out
    assert r"lab\_metrics:spread" in Path("out/results.tex").read_text()
    assert f"| patchcore | {1 / 3 + images:.4g} |" in Path("out/compact.md").read_text()

    scores = pd.read_csv("out/scores.csv")
    assert len(scores) == images
    assert auroc(scores["score"], scores["label"]) == results["image_AUROC"].item()
    assert (MVTecAD(dots).root / "dot" / "test" / scores["path"][0]).is_file()
    curves = pd.read_csv("out/curves.csv")
    assert set(curves["curve"]) == {"roc", "pr", "pixel_roc", "pixel_pr", "pro"}

    # Nothing changed: nothing is done again. Another function of that name is another number.
    assert main(command) == 0
    assert RunStore("out").records()[0].finished == record.finished
    lab.write_text("def spread(predictions):\n    return 7\n")
    importlib.reload(sys.modules["lab_metrics"])
    assert main(command) == 0
    assert pd.read_csv("out/results.csv")["lab_metrics:spread"].tolist() == [7]
    # Without it, the name is taken: runs with and without don't go together.
    assert main(["benchmark", str(dots), "--out", "out", *FAST]) == 1
    assert "metrics" in capsys.readouterr().err


def test_a_metric_that_fails_is_one_line(dots: Path, lab: Path) -> None:
    lab.write_text("def spread(predictions):\n    return predictions.nothing\n")
    sys.path.insert(0, str(lab.parent))
    detector = PatchCore(image_size=64, coreset_ratio=0.2, device="cpu")
    with pytest.raises(ParameterError, match="lab_metrics:spread fails: AttributeError"):
        benchmark(MVTecAD(dots), [detector], "o", metrics=["lab_metrics:spread"], calibrate=False)


def test_names_of_images_are_as_short_as_tells_them_apart() -> None:
    assert _short_names(["/data/bottle/test/cut/1.png"]) == ["cut/1.png"]
    lines = [Path(f"/data/line/{day}/NG/1.png") for day in ("monday", "tuesday")]
    assert _short_names(lines) == ["monday/NG/1.png", "tuesday/NG/1.png"]
    assert _short_names(["1.png", "2.png"]) == ["1.png", "2.png"]
    assert _short_names([]) == []


def test_several_folders_are_a_call(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(dots, tmp_path / "line")
    out = tmp_path / "out"
    line = str(tmp_path / "line")
    assert main(["benchmark", str(dots), line, "--out", str(out), *FAST]) == 0
    results = pd.read_csv(out / "results.csv")
    assert results["category"].tolist() == sorted([f"{dots.name}-dot", "line-dot"])
    assert results["data_hash"].nunique() == results["image_AUROC"].nunique() == 1
    assert (out / "patchcore" / "line-dot_metrics.json").is_file()
    assert "line-dot" in capsys.readouterr().out
    # One of them again, by the name that tables have.
    one = ["--categories", "line-dot", "--out", str(out), *FAST]
    assert main(["benchmark", str(dots), line, *one]) == 0
    assert main(["benchmark", line, line, "--out", str(out), *FAST]) == 1
    assert "is given twice" in capsys.readouterr().err
