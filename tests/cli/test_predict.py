from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import anomalist
from anomalist.cli.main import main
from anomalist.data import ImageSet, Sample, image_size

ALPHA = "0.2"


@pytest.fixture(scope="module")
def model(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "dot.anomalist"
    fast = ["--image_size", "64", "--patchcore.coreset_ratio", "0.2", "--device", "cpu"]
    more = ["--alpha", ALPHA, "--batch_size", "2"]
    assert main(["fit", "patchcore", "--data", str(dots), "--out", str(out), *fast, *more]) == 0
    return out


@pytest.fixture
def photos(dots: Path, tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    shutil.copytree(dots / "dot" / "test", root)
    return root


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines(out: Path) -> list[dict[str, Any]]:
    text = (out / "predictions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_results_say_what_the_detector_says(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(model), str(photos), "--out", str(out), "--arrays"]) == 0
    table = rows(out)
    assert list(table[0]) == ["path", "score", "threshold", "p_value", "decision"]
    detector = anomalist.load(model)
    paths = sorted(photos.rglob("*.png"))
    assert [Path(row["path"]) for row in table] == paths
    predictions = detector.predict(ImageSet(Sample(path) for path in paths))
    scores = [float(row["score"]) for row in table]
    np.testing.assert_allclose(scores, predictions.scores, rtol=1e-6)
    calibration = detector.calibration_
    assert calibration is not None
    threshold = calibration.threshold(float(ALPHA))
    for row, score in zip(table, scores, strict=True):
        assert float(row["threshold"]) == threshold
        assert row["decision"] == ("anomalous" if score > threshold else "normal")
        assert float(row["p_value"]) == calibration.p_values([score])[0]
    assert {row["decision"] for row in table if "square" in row["path"]} == {"anomalous"}
    for i, entry in enumerate(lines(out)):
        assert entry["path"] == str(paths[i])
        picture = out / entry["heatmap"]
        assert image_size(picture) == (128, 128)
        values = np.load(picture.with_suffix(".npy"))
        np.testing.assert_allclose(values, predictions.maps[i], rtol=1e-5)
        above = values > calibration.pixel_threshold(float(ALPHA))
        assert sum(region["area"] for region in entry["regions"]) == above.sum()
        if above.any():
            x, y, width, height = entry["regions"][0]["box"]
            assert above[y : y + height, x : x + width].any()
            assert entry["regions"][0]["peak"] == pytest.approx(values.max(), rel=1e-6)
    assert (out / "contact_sheet.png").is_file()
    assert not (out / "predictions.unfinished").exists()


def test_a_bad_file_spoils_no_other(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(model), str(photos), "--out", str(tmp_path / "a")]) == 0
    good = {row["path"]: row for row in rows(tmp_path / "a")}
    (photos / "good" / "0005.png").write_text("no image")
    (photos / "square" / "001b.jpg").touch()
    torn = photos / "square" / "zz.png"
    torn.write_bytes((photos / "square" / "000.png").read_bytes()[:2000])
    capsys.readouterr()
    assert main(["predict", str(model), str(photos), "--out", str(tmp_path / "b")]) == 3
    captured = capsys.readouterr()
    assert "3 failed" in captured.out
    for name in ("0005.png", "001b.jpg", "zz.png"):
        (line,) = [text for text in captured.err.splitlines() if name in text]
        assert line.startswith("failed: ")
    table = rows(tmp_path / "b")
    assert [Path(row["path"]) for row in table] == sorted(p for p in photos.rglob("*.*"))
    failed = [row for row in table if row["path"] not in good]
    assert len(failed) == 3
    assert all(row["score"] == row["decision"] == row["p_value"] == "" for row in failed)
    errors = [entry for entry in lines(tmp_path / "b") if "error" in entry]
    assert [entry["path"] for entry in errors] == [row["path"] for row in failed]
    for row in table:
        if row["path"] in good:
            kept = good[row["path"]]
            assert float(row["score"]) == pytest.approx(float(kept["score"]), rel=1e-6)
            assert row["decision"] == kept["decision"]


def test_inputs_of_all_kinds_are_taken_once(
    model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(photos)
    odd = Path('ünsere, "Teile"\n.png')
    shutil.copy("good/000.png", odd)
    raw = os.fsencode("good") + b"/r\xe9.png"
    Path("r.png").write_bytes(Path("good/001.png").read_bytes())
    Path("r.png").rename(os.fsdecode(raw))
    stdin = io.TextIOWrapper(io.BytesIO(raw + b"\ngood/000.png\n\ngone.png\r\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    inputs = ["square", "squ*/*.png", str(odd), "-"]
    assert main(["predict", str(model), *inputs, "--out", "out"]) == 3
    how = {"encoding": "utf-8-sig", "errors": "surrogateescape"}
    with Path("out/predictions.csv").open(**how) as file:
        names = [row["path"] for row in csv.DictReader(file)]
    square = [f"square/{i:03}.png" for i in range(3)]
    assert names == [*square, str(odd), os.fsdecode(raw), "good/000.png", "gone.png"]
    assert [entry["path"] for entry in lines(Path("out"))] == names
    # Its own pictures aren't photographs.
    capsys.readouterr()
    assert main(["predict", str(model), ".", "--out", "out", "--overwrite"]) == 0
    assert capsys.readouterr().out.startswith("8 images")


def test_names_that_are_alike_keep_pictures_of_their_own(
    model: Path, dots: Path, tmp_path: Path
) -> None:
    for i, folder in enumerate(("a/x", "b/x", "c/X")):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(dots / f"dot/test/square/00{i}.png", tmp_path / folder / "1.png")
    inputs = [str(tmp_path / name) for name in "abc"]
    out = tmp_path / "out"
    assert main(["predict", str(model), *inputs, "--out", str(out)]) == 0
    pictures = [out / entry["heatmap"] for entry in lines(out)]
    assert len({path.read_bytes() for path in pictures}) == 3


@pytest.mark.parametrize("which", ["none", "anomalous", "unsure"])
def test_heatmaps_are_written_of_what_is_asked(
    which: str, model: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["predict", str(model), str(photos), "--out", str(out), "--heatmaps", which]
    assert main([*arguments, "--heatmap_format", "jpg", "--heatmap_size", "40"]) == 0
    asked = {
        row["path"]
        for row in rows(out)
        if row["decision"] == "anomalous" or (which == "unsure" and float(row["p_value"]) <= 0.2)
    }
    told = {entry["path"]: entry["heatmap"] for entry in lines(out) if "heatmap" in entry}
    assert set(told) == (set() if which == "none" else asked)
    pictures = {path.relative_to(out).as_posix() for path in out.glob("heatmaps/*/*")}
    assert pictures == set(told.values())
    assert all(image_size(out / name) == (40, 40) for name in pictures)
    assert main([*arguments, "--overwrite"]) == 0
    assert {path.suffix for path in out.glob("heatmaps/*/*")} <= {".png"}


def test_another_threshold_decides_otherwise(model: Path, photos: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    arguments = ["predict", str(model), str(photos), "--out", out, "--overwrite"]
    arguments += ["--heatmaps", "none"]
    assert main([*arguments, "--threshold", "1e9"]) == 0
    assert {row["decision"] for row in rows(Path(out))} == {"normal"}
    assert main([*arguments, "--alpha", "0.01"]) == 0
    assert len({row["threshold"] for row in rows(Path(out))}) == 1
    assert {row["decision"] for row in rows(Path(out))} == {"normal", "anomalous"}
    assert all(row["p_value"] for row in rows(Path(out)))
    assert main([*arguments, "--threshold", "nan"]) == 2


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left", "x")])
def test_what_is_stopped_goes_on_to_the_same_result(
    stop: Any, model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(8):
        shutil.copy(photos / "good" / "000.png", photos / "good" / f"more{i}.png")
    (photos / "good" / "bad.png").touch()
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(["predict", str(model), str(photos), "--out", str(whole)]) == 3
    written = []
    real = anomalist.report.PictureWriter.write

    def failing(*arguments: Any, **keywords: Any) -> Any:
        if len(written) == 9:
            raise stop
        written.append(1)
        return real(*arguments, **keywords)

    arguments = ["predict", str(model), str(photos), "--out", str(out)]
    with monkeypatch.context() as patch:
        patch.setattr("anomalist.report.PictureWriter.write", failing)
        assert main(arguments) == (130 if stop is KeyboardInterrupt else 1)
    assert len(rows(out)) == 10
    assert (out / "predictions.unfinished").is_file()
    with (out / "predictions.jsonl").open("ab") as file:
        file.write(b'{"path": "torn')
    assert main(arguments) == 3
    for name in ("predictions.csv", "predictions.jsonl"):
        a, b = (json_or_text(folder / name) for folder in (out, whole))
        assert a == b
    assert not (out / "predictions.unfinished").exists()
    assert main([*arguments, "--threshold", "0", "--overwrite"]) == 3
    assert {row["threshold"] for row in rows(out)} == {"0.0", ""}


def json_or_text(path: Path) -> list[str]:
    # Another batch size moves the last digit of a score.
    rounded = [
        [f"{float(part):.4g}" if part.replace(".", "").isdigit() else part for part in parts]
        for parts in csv.reader(path.read_text(encoding="utf-8").splitlines())
    ]
    return [",".join(parts[:1]) for parts in rounded]


def test_a_full_disk_leaves_whole_lines(
    model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() > 900:
                super().write(data[:5])
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    real = Path.open

    def limited(self: Path, mode: str = "r", *more: Any, **keywords: Any) -> Any:
        return Full(self, mode) if mode == "r+b" else real(self, mode, *more, **keywords)

    monkeypatch.setattr(Path, "open", limited)
    out = tmp_path / "out"
    assert main(["predict", str(model), str(photos), "--out", str(out)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith("predictions.jsonl: No space left on device")
    assert (out / "predictions.jsonl").read_bytes().endswith(b"}\n")
    assert len(lines(out)) == len(rows(out)) > 0


def test_watching_takes_new_files_when_they_are_whole(
    model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = (photos / "square" / "000.png").read_bytes()
    camera, out = tmp_path / "camera", tmp_path / "out"
    camera.mkdir()
    looks = []

    def step(*steps: Any) -> Any:
        def sleep(seconds: float) -> None:
            assert seconds == 5
            looks.append(seconds)
            if len(looks) > len(steps):
                raise KeyboardInterrupt
            steps[len(looks) - 1]()

        return sleep

    def write(name: str, data: bytes) -> Any:
        return lambda: (camera / name).write_bytes(data)

    def nothing() -> None:
        pass

    arguments = ["predict", str(model), str(camera), "--out", str(out), "--watch", "5"]
    steps = [write("a.png", whole[:900]), write("a.png", whole), nothing, write("b.png", b"x")]
    monkeypatch.setattr("anomalist.inspection.watching.pause", step(*steps, nothing, nothing))
    assert main(arguments) == 3
    assert [Path(row["path"]).name for row in rows(out)] == ["a.png", "b.png"]
    assert [row["decision"] for row in rows(out)] == ["anomalous", ""]
    assert "stopped watching" in capsys.readouterr().err
    # The same command goes on: nothing twice, but what has changed.
    looks.clear()
    steps = [nothing, nothing, write("b.png", whole), nothing, nothing]
    monkeypatch.setattr("anomalist.inspection.watching.pause", step(*steps))
    assert main(arguments) == 0
    names = [(Path(row["path"]).name, row["decision"]) for row in rows(out)]
    assert names == [("a.png", "anomalous"), ("b.png", "anomalous")]


def test_an_ensemble_tells_how_far_its_members_disagree(
    dots: Path, photos: Path, tmp_path: Path
) -> None:
    model, out = tmp_path / "both.anomalist", tmp_path / "out"
    fast = ["--image_size", "64", "--device", "cpu", "--alpha", ALPHA]
    data = ["--data", str(dots), "--out", str(model)]
    assert main(["fit", "patchcore+spade", *data, *fast]) == 0
    detector = anomalist.load(model)
    assert [part.name for part in detector.components()] == ["patchcore", "spade"]
    assert detector.summary_["images"] == 6
    assert main(["predict", str(model), str(photos), "--out", str(out)]) == 0
    assert all(entry["disagreement"] >= 0 for entry in lines(out))


def test_a_photograph_cannot_be_watched(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph, out = str(photos / "good" / "000.png"), tmp_path / "out"
    assert main(["predict", str(model), photograph, "--out", str(out), "--watch", "1"]) == 1
    assert "can't be watched" in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()


def test_an_image_comes_from_standard_input(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, photo = tmp_path / "out", photos / "square" / "000.png"
    command = ["predict", str(model), "-", "--out", str(out)]
    for more in ([], ["--name", "part 7"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))
        assert main([*command, *more]) == 0
    assert [row["path"] for row in rows(out)] == ["standard-input", "part 7"]
    assert main(["predict", str(model), str(photo), "--out", str(tmp_path / "file")]) == 0
    (entry,), (piped, _) = lines(tmp_path / "file"), lines(out)
    assert {**piped, "path": entry["path"], "heatmap": entry["heatmap"]} == entry
    assert (out / piped["heatmap"]).is_file()


@pytest.mark.parametrize(
    ("done", "more", "says"),
    [
        (0, [], "stopped"),
        (3, [], "stopped; the same command goes on from what is finished"),
        (3, ["--overwrite"], "stopped; the same command without --overwrite goes on from what"),
    ],
)
def test_what_is_said_of_a_stop_is_so(
    done: int,
    more: list[str],
    says: str,
    model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real, left = anomalist.report.PictureWriter.write, [None] * done

    def stopping(*arguments: Any, **keywords: Any) -> Any:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return real(*arguments, **keywords)

    monkeypatch.setattr("anomalist.report.PictureWriter.write", stopping)
    out = str(tmp_path / "out")
    assert main(["predict", str(model), str(photos), "--out", out, *more]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"anomalist: error: {says}")
    assert done or last == "anomalist: error: stopped"
