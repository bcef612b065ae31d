from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import timm
import torch

from anomalist.benchmark import reproduction
from anomalist.cli.main import main
from anomalist.errors import WeightsError
from anomalist.features import find_weights


@pytest.fixture
def bottle(dots: Path, tmp_path: Path) -> Path:
    shutil.copytree(dots / "dot", tmp_path / "data" / "bottle")
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(backbone: str, file: str | None = None) -> object:
        if file is None and backbone != "efficientnet_lite0":
            raise WeightsError(f"the weights of {backbone} are neither cached nor reachable")
        return find_weights(backbone, file)

    monkeypatch.setattr(reproduction, "find_weights", find)


def reproduce(data: Path, out: Path, *arguments: str) -> pd.DataFrame:
    assert main(["reproduce", str(data), "--out", str(out), "--device", "cpu", *arguments]) == 0
    return pd.read_csv(out / "reproduction.csv", keep_default_na=False)


def test_without_weights_the_installed_backbone_stands_beside_numbers_of_others(
    bottle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--patchcore.image_size", "64", "--dfm.image_size", "64"]
    table = reproduce(bottle, tmp_path / "out", "--detectors", "patchcore,dfm", *small)
    assert set(table["detector"]) == {"patchcore", "dfm"}
    assert set(table["backbone"]) == {"efficientnet_lite0"}
    assert set(table["published_backbone"]) == {"resnet18", "wide_resnet50_2"}
    assert set(table["inside"]) == {""}
    assert (table["not_comparable"].str.contains("other backbone, not comparable")).all()
    out = capsys.readouterr().out
    assert "[1] other backbone, not comparable; bottle here has 6 training and 6 test" in out
    assert "patchcore-wide_resnet50_2-authors-224" in out
    assert "dfm-resnet18-anomalib, " not in out.split("not compared:")[0]
    assert "neither cached nor reachable" in out.split("not compared:")[1]
    assert str(tmp_path / "out") in out
    text = (tmp_path / "out" / "reproduction.md").read_text(encoding="utf-8")
    assert "| patchcore-wide_resnet50_2-authors-224 | efficientnet_lite0 | bottle |" in text
    runs = sorted(path.name for path in (tmp_path / "out").glob("efficientnet_lite0/runs/*"))
    assert runs == ["dfm", "patchcore"]


def test_with_weights_a_published_run_is_repeated_and_held_against_its_numbers(
    bottle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # As if these were the images of MVTec AD.
    monkeypatch.setitem(reproduction.ORIGINAL, "bottle", (6, 6, 64))
    torch.manual_seed(0)
    weights = tmp_path / "resnet18.pth"
    torch.save(timm.create_model("resnet18").state_dict(), weights)
    arguments = ["--detectors", "dfm", "--backbone", "resnet18", "--weights", str(weights)]
    table = reproduce(bottle, tmp_path / "out", *arguments, "--seeds", "0,1")
    assert set(table["setting"]) == {"dfm-resnet18-anomalib"}
    assert table["metric"].tolist() == ["image_AUROC", "image_F1Score"]
    assert table["published"].tolist() == [1.0, 1.0]
    records = list((tmp_path / "out" / "resnet18-anomalib" / "runs" / "dfm").glob("*.json"))
    assert len(records) == 2
    record = json.loads(records[0].read_text())
    assert record["parameters"]["pooling_kernel_size"] == 2
    assert float(table["ours"][0]) == pytest.approx(record["metrics"]["image_AUROC"])
    assert float(table["difference"][0]) == pytest.approx(float(table["ours"][0]) - 1)
    assert set(table["not_comparable"]) == {""}
    assert "means over all 15 categories" in capsys.readouterr().out


def test_with_oracle_the_best_epoch_is_shown(bottle: Path, tmp_path: Path) -> None:
    arguments = ["--detectors", "cfa", "--cfa.image_size", "64", "--cfa.epochs", "2", "--oracle"]
    table = reproduce(bottle, tmp_path / "out", *arguments)
    path = tmp_path / "out" / "efficientnet_lite0" / "runs" / "cfa" / "bottle_seed0.json"
    epochs = json.loads(path.read_text())["epochs"]
    best = max(epoch["pixel_AUROC"] for epoch in epochs)
    of_authors = table[table["setting"] == "cfa-wide_resnet50_2-authors-crop"]
    row = of_authors[of_authors["metric"] == "pixel_AUROC"].iloc[0]
    assert (float(row["ours"]), row["low"]) == (best, "")


def test_where_nothing_can_be_run_the_reasons_are_listed(
    bottle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", str(bottle), "--out", str(tmp_path), "--backbone", "resnet18"]) == 0
    out = capsys.readouterr().out
    assert "padim-resnet18-anomalib" in out
    assert "neither cached nor reachable" in out
    assert "padim-resnet18-anomalib" in (tmp_path / "reproduction.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--detectors", "magic"], 1, ["magic", "patchcore"]),
        (["--backbone", "resnet19"], 1, ["resnet19", "resnet18"]),
        (["--weights", "/nowhere.pth"], 1, ["--backbone"]),
        (["--backbone", "resnet18", "--weights", "/nowhere.pth"], 1, ["/nowhere.pth"]),
        (["--settings", "mine"], 1, ["mine", "padim-resnet18-anomalib"]),
        (["--categories", "screw"], 1, ["screw", "bottle"]),
        (["--patchcore.nothing", "1"], 2, ["patchcore.nothing"]),
    ],
)
def test_failures_are_one_clear_line(
    arguments: list[str],
    code: int,
    words: list[str],
    bottle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["reproduce", str(bottle), "--out", str(tmp_path), *arguments]) == code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("anomalist: error: ")
    for word in words:
        assert word in last


def test_other_data_sets_are_refused(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", str(dots), "--out", str(tmp_path)]) == 1
    assert "dot: not of MVTec AD" in capsys.readouterr().err
