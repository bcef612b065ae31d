"""The page that predict and evaluate write."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from anomalist import load
from anomalist.cli.main import main
from anomalist.data import walk
from anomalist.inspection import Rule, pages, predict_files


@pytest.fixture(scope="module")
def model(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "dot.anomalist"
    fast = ["--image_size", "64", "--patchcore.coreset_ratio", "0.2", "--device", "cpu"]
    data = ["--data", str(dots), "--out", str(out), "--alpha", "0.2"]
    assert main(["fit", "patchcore", *data, *fast]) == 0
    return out


@pytest.fixture
def photos(dots: Path, tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    shutil.copytree(dots / "dot" / "test", root)
    return root


def told(out: Path) -> dict[str, Any]:
    text = (out / "page" / "rows.js").read_text(encoding="ascii")
    found: dict[str, Any] = json.loads(text[text.index('{"about"') : text.rindex(");")])
    return found


def test_predict_writes_what_it_found(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "good" / "torn #1.png").write_text("no image")
    out = tmp_path / "out"
    command = ["predict", str(model), str(photos), "--out", str(out), "--heatmaps", "anomalous"]
    assert main(command) == 3
    assert "index.html" in capsys.readouterr().out
    page = told(out)
    assert not page["about"]["goes_on"]
    text = (out / "predictions.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [row["path"] for row in page["rows"]] == [line["path"] for line in lines]
    assert [row.get("score") for row in page["rows"]] == [line.get("score") for line in lines]
    failed = [row for row in page["rows"] if row["state"] == "failed"]
    assert [Path(row["path"]).name for row in failed] == ["torn #1.png"]
    for row in page["rows"]:
        if row["state"] != "failed":
            for name in (row["preview"], row["layers"]):
                assert (out / "page" / "previews" / name).is_file()
            assert row["size"] == [64, 64]
    # Resumed, with a photograph more and the torn one mended.
    shutil.copy(photos / "good" / "000.png", photos / "good" / "torn #1.png")
    (photos / "square" / "000.png").rename(photos / "square" / "late.png")
    assert main(command) == 0
    page = told(out)
    assert {row["state"] for row in page["rows"]} <= {"anomalous", "unsure", "normal"}
    assert len(page["rows"]) == len((out / "predictions.csv").read_text().splitlines()) - 1
    # Nothing that was drawn for the page is taken for a photograph.
    assert not [path for path in walk(tmp_path).files if "previews" in path.parts]
    # A page that wouldn't be true any more goes.
    assert main([*command, "--no_page"]) == 0
    assert not (out / "index.html").exists()
    assert not (out / "page").exists()


def test_what_is_overwritten_leaves_no_picture(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(model), str(photos), "--out", str(out)]) == 0
    before = len(list((out / "page" / "previews").iterdir()))
    one = ["predict", str(model), str(photos / "square" / "000.png"), "--out", str(out)]
    assert main([*one, "--overwrite"]) == 0
    assert before == 12
    assert len(list((out / "page" / "previews").iterdir())) == 2
    assert len(told(out)["rows"]) == 1


def test_somebody_elses_page_is_refused_before_any_work(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("<title>Mine</title>")
    command = ["predict", str(model), str(photos), "--out", str(out)]
    assert main(command) == 1
    assert "--no_page" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["index.html"]
    assert main([*command, "--no_page"]) == 0
    assert (out / "index.html").read_text() == "<title>Mine</title>"


def test_while_rows_come_the_page_says_that_more_are_to_come(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_EVERY_S", 0.0)
    monkeypatch.setattr(pages, "_SHARE", sys.float_info.max)
    detector = load(model)
    seen = []

    def looks() -> Any:
        for path in sorted(photos.rglob("*.png"))[:3]:
            yield [path]
            page = told(tmp_path / "out")
            seen.append((len(page["rows"]), page["about"]["goes_on"]))

    predict_files(detector, looks(), tmp_path / "out", Rule.of(detector))
    assert seen == [(1, True), (2, True), (3, True)]
    page = told(tmp_path / "out")
    assert (len(page["rows"]), page["about"]["goes_on"]) == (3, False)


def test_evaluate_shows_labels_and_outcomes(
    model: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["evaluate", str(model), str(dots), "--out", str(out)]
    assert main(command) == 0
    assert str(out / "index.html") in capsys.readouterr().out
    rows = told(out)["rows"]
    assert [row["kind"] for row in rows] == ["good"] * 3 + ["square"] * 3
    assert {row["outcome"] for row in rows[3:]} == {"hit"}
    drawn = (out / "page" / "previews" / rows[-1]["layers"]).read_text()
    assert 'class="truth"' in drawn
    assert not walk(out).files
    # Beside results of predict, whose page it is, there is no other.
    assert main([*command, "--no_page"]) == 0
    (out / "predictions.jsonl").touch()
    (out / "index.html").unlink()
    assert main(command) == 0
    assert not (out / "index.html").exists()
    assert "no page is written" in capsys.readouterr().err
