from __future__ import annotations

import errno
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import anomalist
from anomalist import choosing
from anomalist.cli.main import main
from anomalist.data import image_size
from anomalist.inspection import open_parts

FAST = ["--image_size", "64", "--patchcore.coreset_ratio", "0.2", "--device", "cpu"]


def fit(data: Path, out: Path, *more: str) -> int:
    return main(["fit", "patchcore", "--data", str(data), "--out", str(out), *FAST, *more])


def test_a_model_holds_all_that_inspection_needs(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "dot.anomalist"
    assert fit(dots, out, "--alpha", "0.2", "--seed", "3") == 0
    captured = capsys.readouterr()
    assert "dot: 6 good images to learn from, 64 x 64 pixels" in captured.err
    assert "held out to test on: 3 good, square 3" in captured.err
    assert "roughly" in captured.err
    for words in ("image_AUROC", "square", "3 of 3 found", "false-alarm rate of 20%", "expect"):
        assert words in captured.out
    assert f"model: {out} (" in captured.out
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "dot.anomalist",
        "dot_least_normal.png",
    ]
    detector = anomalist.load(out)
    assert detector.seed == 3
    assert detector.calibration_ is not None
    assert detector.summary_["alpha"] == 0.2
    assert detector.summary_["images"] == len(detector.summary_["known_images"]) == 6
    sizes = {Image.open(io.BytesIO(jpeg)).size for jpeg in detector.thumbnails_}
    assert sizes == {(64, 64)}
    again = tmp_path / "again.anomalist"
    detector.save(again)
    assert again.read_bytes() == out.read_bytes()


def test_the_least_normal_image_is_shown_and_can_be_left_out(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tmp_path / "parts"
    shutil.copytree(dots / "dot" / "train" / "good", parts)
    shutil.copy(dots / "dot" / "test" / "square" / "001.png", parts / "wröng one.png")
    out = tmp_path / "part.anomalist"
    assert fit(parts, out) == 0
    shown = capsys.readouterr()
    printed = shown.out
    first = printed.split("mislabelled ones:\n")[1].splitlines()[0]
    assert first.endswith(str(parts / "wröng one.png"))
    assert "the highest score of 7 good images, too few to guarantee" in printed + shown.err
    listed = tmp_path / "list.txt"
    listed.write_text("# not good\n\nwröng one.png\n", encoding="utf-8")
    assert fit(parts, out, "--exclude", f"@{listed}") == 0
    captured = capsys.readouterr()
    assert "6 good images" in captured.err
    assert "left out: 1" in captured.err
    assert "wröng" not in captured.out
    for exclude in ("wröng one.png", parts / "wröng one.png"):
        assert open_parts(parts, exclude=[exclude]).excluded == (parts / "wröng one.png",)


def test_one_image_is_enough_for_a_model(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(dots / "dot" / "train" / "good" / "000.png", tmp_path / "one" / "a.png")
    out = tmp_path / "one.anomalist"
    assert fit(tmp_path / "one", out) == 0
    assert "19 more are needed" in capsys.readouterr().out
    assert anomalist.load(out).calibration_ is None
    pictures = tmp_path / "out"
    assert main(["predict", str(out), str(tmp_path / "one"), "--out", str(pictures)]) == 0
    (row,) = (pictures / "predictions.csv").read_text().splitlines()[1:]
    assert row.endswith(",,,")
    assert (pictures / "heatmaps" / "one" / "a.png").is_file()


def test_bad_images_are_named_together(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tmp_path / "parts"
    shutil.copytree(dots / "dot" / "train" / "good", parts)
    (parts / "x.png").write_text("no image")
    (parts / "y.png").touch()
    assert fit(parts, tmp_path / "part.anomalist") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert all(word in line for word in ("x.png", "y.png", "--exclude"))
    assert len(open_parts(parts, exclude=["x.png", "y.png"]).train) == 6


def test_a_model_that_cannot_be_written_is_told_before_fitting(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("fitted for nothing")

    monkeypatch.setattr("anomalist.detectors.base.Detector.fit", never)
    (tmp_path / "file").touch()
    assert fit(dots, tmp_path / "file" / "part.anomalist") == 1
    assert str(tmp_path / "file") in capsys.readouterr().err
    assert fit(dots, dots / "dot" / "part.anomalist") == 1
    assert "would be taken for parts" in capsys.readouterr().err
    assert fit(dots, tmp_path) == 1
    assert "is a folder" in capsys.readouterr().err


def test_a_stopped_training_goes_on(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []

    def save(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    out = tmp_path / "dot.anomalist"
    more = ["--image_size", "64", "--cfa.epochs", "1", "--device", "cpu"]
    arguments = ["fit", "cfa", "--data", str(dots), "--out", str(out), *more]
    with monkeypatch.context() as patch:
        patch.setattr("anomalist.detectors.base.Detector.save", save)
        assert main(arguments) == 1
    names = [path.name for path in tmp_path.iterdir()]
    assert main(arguments) == 0
    assert out.is_file()
    assert all(name.startswith(".dot.anomalist.training") for name in names)
    assert not list(tmp_path.glob(".dot*"))


def test_copies_are_pointed_out(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tmp_path / "parts"
    shutil.copytree(dots / "dot" / "train" / "good", parts / "day1")
    shutil.copytree(dots / "dot" / "train" / "good", parts / "day2")
    assert fit(parts, tmp_path / "part.anomalist") == 0
    notes = capsys.readouterr().err
    assert "12 good images" in notes
    assert "all images in day1, day2 are taken for good" in notes
    assert "6 images to learn from are the same as another" in notes


def test_real_photographs(mvtec_ad: Path, tmp_path: Path) -> None:
    good = sorted((mvtec_ad / "bottle" / "train" / "good").glob("*.png"))[:20]
    for path in good:
        (tmp_path / "parts").mkdir(exist_ok=True)
        (tmp_path / "parts" / path.name).symlink_to(path)
    model, out = tmp_path / "bottle.anomalist", tmp_path / "out"
    more = ["--image_size", "128", "--device", "cpu"]
    assert (
        main(["fit", "patchcore", "--data", str(tmp_path / "parts"), "--out", str(model), *more])
        == 0
    )
    test = mvtec_ad / "bottle" / "test"
    chosen = [str(test / kind / "000.png") for kind in ("good", "broken_large", "contamination")]
    assert main(["predict", str(model), *chosen, "--out", str(out)]) == 0
    scores = [
        float(line.split(",")[1]) for line in (out / "predictions.csv").read_text().splitlines()[1:]
    ]
    assert scores[0] < min(scores[1:])
    sizes = {image_size(path) for path in (out / "heatmaps").rglob("*.png")}
    assert sizes == {image_size(good[0])}
    assert np.isfinite(scores).all()


def test_auto_chooses_by_good_images(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = choosing.candidates({"image_size": 64})[:3]
    monkeypatch.setattr("anomalist.choosing.auto.candidates", lambda given: few)
    out = tmp_path / "dot.anomalist"
    line = ["fit", "auto", "--data", str(dots), "--image_size", "64", "--out", str(out)]
    assert main([*line, "--budget", "1h"]) == 0
    captured = capsys.readouterr()
    assert "auto: 3 candidates" in captured.err
    assert "within 60 min" in captured.err
    assert "candidate" in captured.out
    assert "chosen" in captured.out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dot.anomalist",
        "dot_least_normal.png",
    ]
    detector = anomalist.load(out)
    assert detector.name in ("patchcore", "padim")
    assert detector.calibration_ is not None
    choice = detector.summary_["choice"]
    assert {row["label"] for row in choice["candidates"]} == {c.label for c in few}
    assert main(["info", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "chosen by auto among 3 candidates" in printed
    assert choice["candidates"][0]["label"] in printed


def test_what_auto_takes_is_for_auto(dots: Path, tmp_path: Path, capsys) -> None:
    assert fit(dots, tmp_path / "dot.anomalist", "--budget", "5min") == 1
    assert "--budget is for fit auto" in capsys.readouterr().err
    line = ["fit", "--data", str(dots), "--out", str(tmp_path / "dot.anomalist")]
    assert main([*line, "auto", "--budget", "soon"]) == 1
    assert "budget must be a time such as 90s, 5min or 1h, not 'soon'" in capsys.readouterr().err
    assert main([*line, "auto+padim"]) == 1
    assert "can't join auto" in capsys.readouterr().err
    assert main([*line, "auto", "--shards", "2"]) == 1
    assert "auto can't choose shard by shard" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
