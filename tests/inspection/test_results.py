from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anomalist.errors import ResultsError
from anomalist.inspection import Finding, Tally, predict_files, prediction
from anomalist.inspection import results as results_module
from anomalist.inspection.results import Results
from tests.inspection.brightness import RULE, Brightness, photograph, sha


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def table(out: Path) -> list[list[str]]:
    with (out / "predictions.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture(autouse=True)
def no_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "contact_sheet", lambda *_, **__: Image.new("L", (1, 1)))


def predict(folder: Path, out: Path, **more: Any) -> tuple[Tally, list[str]]:
    detector: Any = Brightness()
    more = {"identity": {"model": "m" * 64, "inputs": [str(folder)]}, **more}
    kept: list[Path] = []
    files = sorted(path for path in folder.iterdir() if path.suffix == ".bmp")
    tally = predict_files(
        detector,
        [files],
        out,
        RULE,
        heatmaps="none",
        page=False,
        kept=lambda path, _: kept.append(path),
        **more,
    )
    known = {sha(path.read_bytes()) for path in kept}
    return tally, [content for content in detector.scored if content not in known]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.bmp").write_bytes(photograph(i))
    return folder


def test_a_row_says_of_what_content_and_model_it_is(photos: Path, tmp_path: Path) -> None:
    (photos / "9.bmp").write_bytes(b"no image")
    tally, _ = predict(photos, tmp_path / "out")
    assert (tally.total, tally.failed, tally.failing) == (4, 1, 1)
    whole, failed = lines(tmp_path / "out")[0], lines(tmp_path / "out")[-1]
    assert (whole["sha256"], whole["model"]) == (sha(photograph(0)), "m" * 16)
    assert (failed["sha256"], failed["model"]) == (sha(b"no image"), "m" * 16)
    assert "score" not in failed
    assert "notes" not in whole
    marker = json.loads((tmp_path / "out" / ".anomalist-results").read_text())
    assert marker["made_by"] == "anomalist predict"


def test_the_same_call_again_scores_what_is_new_or_changed(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(photos, out)
    before = (out / "predictions.jsonl").read_bytes()
    tally, scored = predict(photos, out)
    assert (scored, tally.before, tally.total) == ([], 3, 3)
    assert (out / "predictions.jsonl").read_bytes() == before
    # Another part under the same name, with the same size and time.
    stat = (photos / "1.bmp").stat()
    (photos / "1.bmp").write_bytes(photograph(7))
    os.utime(photos / "1.bmp", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (photos / "0.bmp").unlink()
    tally, scored = predict(photos, out)
    assert scored == [sha(photograph(7))]
    assert [Path(line["path"]).name for line in lines(out)] == [
        *("0.bmp", "1.bmp", "2.bmp"),
        "1.bmp",
    ]
    assert (tally.before, tally.total) == (3, 4)


def test_what_failed_is_taken_again_and_counts_once(photos: Path, tmp_path: Path) -> None:
    out, half = tmp_path / "out", photos / "5.bmp"
    half.write_bytes(photograph(5)[:100])
    for _ in range(2):
        tally, _ = predict(photos, out)
        assert (tally.total, tally.failed, tally.failing) == (4, 1, 1)
    half.write_bytes(photograph(5))
    tally, scored = predict(photos, out)
    assert (tally.total, tally.failed, tally.failing, tally.before) == (4, 0, 0, 3)
    assert scored == [sha(photograph(5))]
    assert len(lines(out)) == len(table(out)) == 4
    half.unlink()
    (photos / "6.bmp").write_bytes(b"bad")
    predict(photos, out)
    (photos / "6.bmp").unlink()
    # A failure of before, of a file that is no longer there, isn't one of this call.
    tally, _ = predict(photos, out)
    assert (tally.failed, tally.failing) == (1, 0)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"identity": {"model": "n" * 64, "inputs": ["a"]}},
            "another model, or of one that has been fitted anew",
        ),
        ({"identity": {"model": "m" * 64, "inputs": ["b"]}}, r"other inputs \(a\)"),
        ({"arrays": True}, "other options"),
    ],
)
def test_a_used_folder_is_refused_with_the_ways_out(
    more: dict[str, Any], says: str, photos: Path, tmp_path: Path
) -> None:
    out, first = tmp_path / "out", {"identity": {"model": "m" * 64, "inputs": ["a"]}}
    predict(photos, out, **first)
    (out / "mine.txt").write_text("mine")
    (photos / "3.bmp").write_bytes(photograph(3))
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ResultsError, match=f"{says}: .*--append.*--overwrite"):
        predict(photos, out, **{**first, **more})
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    tally, scored = predict(photos, out, **{**first, **more}, used="append")
    # Another model has rows of its own; other inputs have only those that are new.
    assert len(scored) == tally.total - tally.before == (4 if "model" in says else 1)
    # Both calls are known to it now.
    predict(photos, out, **first)
    predict(photos, out, **{**first, **more})
    tally, _ = predict(photos, out, **{**first, **more}, used="overwrite")
    assert tally.total == len(lines(out)) == 4
    with pytest.raises(ResultsError, match="holds results of"):
        predict(photos, out, **first)
    assert (out / "mine.txt").read_text() == "mine"


def test_overwriting_removes_what_was_written_and_nothing_else(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    detector: Any = Brightness()
    call = {"heatmaps": "all", "arrays": True}

    def run(**more: Any) -> None:
        files = sorted(photos.iterdir())
        predict_files(detector, [files], out, RULE, **call, **more)

    run()
    mine = out / "heatmaps" / "photos" / "mine.png"
    mine.write_bytes(b"mine")
    assert len(list(out.rglob("*.npy"))) == 3
    for name in ("0.bmp", "2.bmp"):
        (photos / name).unlink()
    # Killed while it removes, it goes on.
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rmdir", lambda _: os._exit)
        patch.setattr(results_module, "write_text", _stop)
        with pytest.raises(KeyboardInterrupt):
            run(used="overwrite")
    run()
    assert [path.name for path in sorted(out.rglob("*.npy"))] == ["1.npy"]
    assert mine.read_bytes() == b"mine"
    assert len(lines(out)) == len(table(out)) == 1
    assert not (out / ".anomalist-removed").exists()


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


def test_what_predict_did_not_write_is_not_touched(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "predictions.csv").write_text("mine")
    for used in ("continue", "append"):
        with pytest.raises(ResultsError, match=r"no \.anomalist-results .*--overwrite"):
            predict(photos, out, used=used)
    assert [path.name for path in out.iterdir()] == ["predictions.csv"]
    assert predict(photos, out, used="overwrite")[0].total == 3


def test_a_damaged_row_is_told_by_its_number(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(photos, out)
    rows = (out / "predictions.jsonl").read_text().splitlines()
    (out / "predictions.jsonl").write_text("\n".join([rows[0], rows[1][:9], rows[2], ""]))
    with pytest.raises(ResultsError, match=r"line 2 of .*predictions\.jsonl .*--overwrite"):
        predict(photos, out)


def test_one_at_a_time_has_a_folder(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    inside, go = threading.Event(), threading.Event()
    told: list[Finding] = []

    def wait(found: Finding) -> None:
        told.append(found)
        inside.set()
        go.wait(10)

    thread = threading.Thread(target=lambda: predict(photos, out, finding=wait))
    thread.start()
    inside.wait(10)
    with pytest.raises(ResultsError, match=f"{out} is in use by process {os.getpid()} on "):
        predict(photos, out, used="overwrite")
    go.set()
    thread.join()
    assert len(told) == len(lines(out)) == 3
    assert not (out / ".anomalist-lock").exists()
    predict(photos, out)


def test_results_that_vanish_are_no_table_of_the_rest(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match=r"predictions\.jsonl"):
        predict(photos, out, finding=lambda _: shutil.rmtree(out))
    assert not out.exists()


def test_the_table_opens_in_a_spreadsheet_and_in_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["=cmd.png", "-1.png", "@a/b.png", 'a "b", c.png', "line\r\nbreak.png", "plain.png"]
    with Results(Path("out"), {}) as results:
        for name in names:
            results.add(Finding(path=name, score=0.1 + 0.2, decision="normal"))
        plain = (Path("out") / "predictions.csv").read_bytes()
        results.add(Finding(path="größe.png", score=1e-9, decision="normal"))
        results.add(Finding(path="späte.png", score=1.0, decision="normal"))
        results.finish()
    assert not plain.startswith("\ufeff".encode())
    assert (Path("out") / "predictions.csv").read_bytes().startswith("\ufeffpath,".encode())
    rows = table(Path("out"))
    assert [Path(row[0]) for row in rows] == [Path(n) for n in [*names, "größe.png", "späte.png"]]
    assert not [row for row in rows if row[0][0] in "=+-@\t\r"]
    assert [row[0] for row in rows][3:6] == names[3:]
    assert [float(row[1]) for row in rows] == [0.1 + 0.2] * 6 + [1e-9, 1.0]
    assert b"\n" in plain


class Killed(BaseException):
    """What ends a process between two of its writes, or in one."""


CONTENTS = st.integers(0, 5)
NAMES = st.sampled_from(["a.bmp", "b.bmp", "c.bmp"])
EVENTS = st.one_of(
    st.tuples(st.just("write"), NAMES, CONTENTS),
    st.tuples(st.just("half"), NAMES, CONTENTS),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("run"), st.integers(0, 6)),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(EVENTS, max_size=14))
def test_rows_are_those_of_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[Any, ...]]
) -> None:
    # The folder, and by it what each run must leave: a row for every file's content that it was
    # shown, as often as it is killed on the way.
    here = tmp_path_factory.mktemp("rows")
    folder, out = here / "photos", here / "out"
    folder.mkdir()
    files: dict[str, bytes] = {}
    rows: dict[tuple[str, str], bool] = {}
    for event in [*events, ("run", 0)]:
        if event[0] in ("write", "half"):
            data = photograph(event[2])
            files[event[1]] = data if event[0] == "write" else data[:150]
            (folder / event[1]).write_bytes(files[event[1]])
        elif event[0] == "rename" and event[1] in files:
            files[event[2]] = files.pop(event[1])
            (folder / event[1]).rename(folder / event[2])
        elif event[0] == "delete" and event[1] in files:
            del files[event[1]]
            (folder / event[1]).unlink()
        elif event[0] == "run":
            if event[1]:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(results_module, "_append", dying(event[1]))
                    try:
                        predict(folder, out)
                    except Killed:
                        # What it had done is found by those that come after.
                        for path, content, scored in whole_lines(out):
                            took(rows, path, content, scored)
                        continue
            else:
                predict(folder, out)
            for name, data in sorted(files.items()):
                took(rows, str(folder / name), sha(data), len(data) > 150)
            assert Counter((row["path"], row["sha256"]) for row in lines(out)) == Counter([*rows])
            assert [row[0] for row in table(out)] == [row["path"] for row in lines(out)]


def took(rows: dict[tuple[str, str], bool], path: str, content: str, scored: bool) -> None:
    """Enter a row in the dictionary. One that failed gives way to any other of its path."""
    for key in [key for key, good in rows.items() if not good and key[0] == path]:
        if key[1] != content:
            del rows[key]
    rows.setdefault((path, content), scored)


def dying(after: int) -> Callable[[Path, bytes], None]:
    """Append so many times, and then half."""
    real, left = results_module._append, itertools.count(after, -1)

    def append(path: Path, data: bytes) -> None:
        if next(left) > 1:
            return real(path, data)
        with path.open("ab") as file:
            file.write(data[: len(data) // 2])
        raise Killed

    return append


def whole_lines(out: Path) -> Iterator[tuple[str, str, bool]]:
    for line in (out / "predictions.jsonl").read_bytes().split(b"\n")[:-1]:
        row = json.loads(line)
        yield row["path"], row["sha256"], "error" not in row
