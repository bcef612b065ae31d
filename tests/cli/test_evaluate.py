from __future__ import annotations

import csv
import json
import pickle
import shutil
from pathlib import Path

import pytest
import safetensors
import safetensors.torch

from anomalist import MVTecAD, evaluate, load
from anomalist.cli.main import main
from anomalist.models import sign

FAST = ["--image_size", "64", "--patchcore.coreset_ratio", "0.2", "--device", "cpu"]


@pytest.fixture(scope="module")
def model(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    shutil.copytree(dots / "dot" / "train" / "good", folder / "dot")
    out = folder / "new" / "dot.anomalist"
    data = ["--data", str(folder / "dot"), "--out", str(out), "--alpha", "0.2"]
    assert main(["fit", "patchcore", *data, *FAST]) == 0
    return out


def test_metrics_are_those_of_the_test_images(
    model: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["evaluate", str(model), str(dots), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for words in ("image_AUROC", " to ", "square", "3 of 3 found", "0 of 3 false alarms"):
        assert words in printed
    expected = evaluate(load(model).predict(MVTecAD(dots).category("dot").test)).as_dict()
    values = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-6)
    assert values["recall_square"] == 1.0
    assert values["image_false_alarm_rate"] == 0.0
    assert values["alarms"]["square"] == {"above_threshold": 3, "images": 3}
    low, high = values["intervals"]["pixel_AUROC"]
    assert low <= values["pixel_AUROC"] <= high
    with (out / "metrics.csv").open(newline="") as file:
        table = {row["metric"]: row["value"] for row in csv.DictReader(file)}
    assert float(table["pixel_PRO"]) == values["pixel_PRO"]
    assert values["evaluated_at"] == "original"
    assert "Pixel metrics are at the size of each mask." in printed


def test_pixels_are_compared_at_the_input_if_that_is_asked(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = dots / "dot" / "train" / "good"
    model = tmp_path / "dot.anomalist"
    size = ["--image_size", "32", *FAST[2:]]
    assert main(["fit", "patchcore", "--data", str(good), "--out", str(model), *size]) == 0
    found = {}
    for at in ("original", "input"):
        out = tmp_path / at
        assert (
            main(["evaluate", str(model), str(dots), "--out", str(out), "--evaluate_at", at]) == 0
        )
        found[at] = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        assert found[at]["evaluated_at"] == at
    assert found["original"]["pixel_AP"] != found["input"]["pixel_AP"]
    assert found["original"]["image_AUROC"] == found["input"]["image_AUROC"]
    assert "the resolution of the detector's input" in capsys.readouterr().out
    assert main(["evaluate", str(model), str(dots), "--evaluate_at", "full"]) == 2


def test_pro_at_other_limits_is_a_metric_of_its_own(
    model: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ["--out", str(tmp_path), "--pro_limits", "0.05,.3"]
    assert main(["evaluate", str(model), str(dots), *limits]) == 0
    assert "pixel_PRO_0.05 " in capsys.readouterr().out
    values = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    predictions = load(model).predict(MVTecAD(dots).category("dot").test)
    expected = evaluate(predictions, pro_limits=[0.05]).others["pixel_PRO_0.05"]
    assert values["pixel_PRO_0.05"] == pytest.approx(expected, rel=1e-6)
    assert "pixel_PRO_0.3" not in values
    for wrong in ("0", "2", "much"):
        assert main(["evaluate", str(model), str(dots), "--pro_limits", wrong]) != 0
        assert "limit" in capsys.readouterr().err.splitlines()[-1]


def test_images_that_were_learnt_from_are_not_measured(
    model: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tmp_path / "parts"
    shutil.copytree(dots / "dot" / "train" / "good", parts / "good")
    shutil.copytree(dots / "dot" / "test" / "square", parts / "square")
    for i in range(3):
        shutil.copy(dots / "dot" / "test" / "good" / f"00{i}.png", parts / "good" / f"new{i}.png")
    assert main(["evaluate", str(model), str(parts)]) == 0
    printed = capsys.readouterr().out
    assert "not measured: 6 images that the model was fitted to" in printed
    assert "of 3 false alarms" in printed
    assert "no pixel metrics" in printed


@pytest.mark.parametrize(
    ("data", "more", "words"),
    [
        ("{dots}", ["--category", "dott"], "dot"),
        ("{dots}/dot/train/good", [], "nothing to measure"),
    ],
)
def test_slips_are_one_clear_line(
    data: str,
    more: list[str],
    words: str,
    model: Path,
    dots: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", str(model), data.format(dots=dots), *more]) == 1
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_info_tells_of_training_and_thresholds(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomalist.features.network.create", None)  # no network is made
    assert main(["info", str(model)]) == 0
    printed = capsys.readouterr().out
    detector = "patchcore"
    for words in (detector, "6 good images", "efficientnet_lite0", "coreset_ratio      0.2", "99"):
        assert words in printed
    assert main(["info", str(model), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["bytes"] == model.stat().st_size
    rates = {row["alpha"]: row for row in card["calibration"]["thresholds"]}
    assert rates[0.05]["threshold"] >= rates[0.2]["threshold"]
    assert rates[0.2]["threshold"] > 0
    assert rates[0.2]["false_alarms_expected"][1] < 1


def damaged(model: Path, target: Path, how: str) -> None:
    if how == "pickle":
        target.write_bytes(pickle.dumps({"detector": "patchcore"}))
    elif how == "cut":
        target.write_bytes(model.read_bytes()[:-1000])
    elif how == "empty":
        target.touch()
    elif how == "image":
        target.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    else:
        with safetensors.safe_open(model, "pt") as file:
            header = json.loads(file.metadata()["anomalist"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if how == "newer":
            header["format"] += 1
        elif how == "shape":
            tensors["state.bank_"] = tensors["state.bank_"][:, :5].contiguous()
        elif how == "scores":
            tensors["calibration.scores"] = tensors["calibration.scores"][:2].contiguous()
        elif how == "lacking":
            del header["parameters"]
        elif how == "summary":
            header["summary"] = "text"
        safetensors.torch.save_file(tensors, target, {"anomalist": json.dumps(header)})
        sign(target)


@pytest.mark.parametrize("command", ["info", "predict", "evaluate"])
@pytest.mark.parametrize(
    "how",
    ["pickle", "cut", "empty", "image", "newer", "shape", "scores", "lacking", "summary"],
)
def test_damaged_models_are_told_in_one_line(
    how: str,
    command: str,
    model: Path,
    dots: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / "bad.anomalist"
    damaged(model, bad, how)
    more = {
        "info": [],
        "predict": [str(dots), "--out", str(tmp_path / "o")],
        "evaluate": [str(dots)],
    }
    code = main([command, str(bad), *more[command]])
    if command == "info" and how == "shape":
        assert code == 0  # its tensors aren't looked at
        return
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(bad) in line
    assert "a bug" not in line
    assert ("update anomalist" in line) == (how == "newer")
    assert not (tmp_path / "o").exists()
