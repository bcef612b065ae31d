from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anomalist.errors import ParameterError
from anomalist.inspection import predict_files, prediction, watch_inputs
from anomalist.inspection import watching as module
from anomalist.inspection.results import Results
from tests.inspection.brightness import RULE, Brightness, photograph

ROOT = Path(__file__).resolve().parents[2]


def looks(folder: Path, told: list[str] | None = None) -> module.Watch:
    tell = None if told is None else told.append
    return watch_inputs([str(folder)], 1, sleep=lambda _: time.sleep(0.006), tell=tell)


def test_a_file_that_comes_again_is_new_again(tmp_path: Path) -> None:
    seen = looks(tmp_path)
    photo = tmp_path / "latest.png"
    assert next(seen) == []
    photo.write_bytes(b"1")
    assert [next(seen), next(seen), next(seen)] == [[], [photo], []]
    photo.write_bytes(b"12")
    assert [next(seen), next(seen), next(seen)] == [[], [photo], []]
    photo.unlink()
    assert next(seen) == []
    seen.again(photo)
    photo.write_bytes(b"12")
    assert [next(seen), next(seen)] == [[], [photo]]
    seen.again(photo)
    assert next(seen) == [photo]


@pytest.mark.parametrize("way", ["in place", "moved over"])
def test_the_same_size_and_time_hide_no_change(way: str, tmp_path: Path) -> None:
    photo, other = tmp_path / "a.png", tmp_path / "other"
    for path, data in ((photo, b"1"), (other, b"2")):
        path.write_bytes(data)
        os.utime(path, (1e9, 1e9))
    seen = looks(tmp_path)
    assert [next(seen), next(seen), next(seen)] == [[], [photo], []]
    if way == "in place":
        shutil.copy2(other, photo)  # as cp -p does
    else:
        other.replace(photo)
    assert [next(seen), next(seen), next(seen)] == [[], [photo], []]


def test_a_coarse_clock_is_given_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    state, now = module._State(1, 5 * 10**9, 7 * 10**9, 1), [0.0]
    monkeypatch.setattr(module._State, "of", lambda _: state)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    seen = watch_inputs([str(tmp_path)], 1, sleep=lambda _: now.__setitem__(0, now[0] + 0.5))
    assert [len(next(seen)) for _ in range(7)] == [0, 0, 0, 0, 1, 0, 0]


def test_a_folder_that_goes_away_is_told_once_and_waited_for(tmp_path: Path) -> None:
    camera, told = tmp_path / "camera", list[str]()
    camera.mkdir()
    (camera / "a.png").write_bytes(b"1")
    seen = looks(camera, told)
    assert [len(next(seen)) for _ in range(3)] == [0, 1, 0]
    camera.rename(tmp_path / "away")
    assert [len(next(seen)) for _ in range(3)] == [0, 0, 0]
    assert told == [f"{camera}: No such file or directory; waiting for it"]
    (tmp_path / "away" / "b.png").write_bytes(b"2")
    (tmp_path / "away").rename(camera)
    assert [[path.name for path in next(seen)] for _ in range(3)] == [[], ["b.png"], []]
    assert told[1:] == [f"{camera} is there again"]


def test_a_drive_that_is_taken_off_is_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted, told, photo = [True], list[str](), tmp_path / "a.png"
    photo.write_bytes(b"1")
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path and mounted[0])
    seen = looks(tmp_path, told)
    assert [len(next(seen)) for _ in range(3)] == [0, 1, 0]
    mounted[0] = False
    photo.rename(tmp_path.parent / "a.png")
    assert [next(seen), next(seen)] == [[], []]
    assert told == [f"{tmp_path}: No longer mounted; waiting for it"]
    mounted[0] = True
    (tmp_path.parent / "a.png").rename(photo)
    next(seen)
    assert told[1:] == [f"{tmp_path} is there again"]


class Forked:
    """A process that watches, forked so that it starts at once."""

    def __init__(self, folder: Path, out: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of threads, which the child leaves alone
            self._process = multiprocessing.get_context("fork").Process(
                target=_watch, args=(folder, out)
            )
            self._process.start()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def stop(self) -> None:
        os.kill(self._process.pid or 0, signal.SIGINT)
        self._process.join()


def _watch(folder: Path, out: Path) -> None:
    prediction.contact_sheet = lambda *_, **__: Image.new("L", (1, 1))  # type: ignore
    detector: Any = Brightness()
    watch = watch_inputs([str(folder)], 0.01, results=out)
    identity = {"model": "m" * 64, "inputs": [str(folder)]}
    try:
        predict_files(detector, watch, out, RULE, heatmaps="none", identity=identity)
    except KeyboardInterrupt:
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(1)


@pytest.mark.skipif(os.name == "nt", reason="no fork")
def test_every_content_has_one_row_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark = importlib.import_module("watching")
    line = benchmark.Line(tmp_path / "camera", tmp_path / "out", photograph)
    start = lambda: Forked(line.folder, line.out)  # noqa: E731
    benchmark.drive(line, start, events=120, kills=4, pause=0.02)
    assert len(line.rows()) > 40
    assert len(line.happened) == 8


def test_a_folder_that_is_away_is_waited_for_where_it_was_watched_before(
    tmp_path: Path,
) -> None:
    camera, out = tmp_path / "camera", tmp_path / "out"
    with pytest.raises(ParameterError, match="can't be watched"):
        watch_inputs([str(camera)], 1, results=out)
    with Results(out, {"inputs": [str(camera)]}):
        pass
    told: list[str] = []
    seen = watch_inputs([str(camera)], 1, results=out, sleep=lambda _: None, tell=told.append)
    assert next(seen) == []
    assert "waiting for it" in told[0]


def test_a_folder_typed_in_another_form_of_unicode_is_watched(tmp_path: Path) -> None:
    (tmp_path / "Tu\u0308r").mkdir()
    (tmp_path / "Tu\u0308r" / "1.bmp").write_bytes(photograph(1))
    looks = watch_inputs([str(tmp_path / "T\u00fcr")], 2, sleep=lambda seconds: None)
    assert [[path.name for path in next(looks)] for _ in range(2)] == [[], ["1.bmp"]]
