from __future__ import annotations

import errno
import json
import multiprocessing
import os
import socket
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anomalist.errors import ResultsError, StorageError
from anomalist.files import atomic_path, held_alone, write_text


def _stop_halfway(target: Path) -> None:
    with atomic_path(target) as path:
        path.write_text("half")
        raise RuntimeError("stopped")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError, match="stopped"):
        _stop_halfway(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_results_can_be_read_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").write_text("x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")}
    assert len(modes) == 1


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.skipif(os.name == "nt", reason="no file modes")
def test_private_files_of_other_threads_stay_private(
    tmp_path: Path, umask: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_umask, others = os.umask, []

    def just_now(mask: int) -> int:
        before = set_umask(mask)
        # What a thread creates at the worst of all moments.
        others.append(tmp_path / str(len(others)))
        others[-1].touch()
        return before

    monkeypatch.setattr(os, "umask", just_now)
    write_text(tmp_path / "a.txt", "x")
    assert not [path for path in [*others, tmp_path / "a.txt"] if path.stat().st_mode & 0o077]


@pytest.mark.skipif(os.name == "nt", reason="no file modes")
@pytest.mark.parametrize("mask", [0o000, 0o027, 0o077])
def test_modes_are_those_of_any_new_file(tmp_path: Path, umask: None, mask: int) -> None:
    os.umask(mask)
    write_text(tmp_path / "a.txt", "x")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask


def _hold(lock: Path, held: Any, go: Any) -> None:
    with held_alone(lock):
        held.set()
        go.wait(30)


@pytest.mark.skipif(os.name == "nt", reason="no fork")
def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    lock, fork = tmp_path / "lock", multiprocessing.get_context("fork")
    held, go = fork.Event(), fork.Event()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which the child leaves alone
        process = fork.Process(target=_hold, args=(lock, held, go))
        process.start()
    assert held.wait(30)
    with (
        pytest.raises(ResultsError, match=f"in use by process {process.pid} on "),
        held_alone(lock),
    ):
        pass
    process.kill()
    process.join()
    with held_alone(lock) as kept:
        assert kept
    assert not lock.exists()


@pytest.mark.skipif(os.name == "nt", reason="another way of locking")
def test_where_there_are_no_locks_the_name_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    lock = tmp_path / "lock"
    with held_alone(lock) as kept:
        assert not kept
        with pytest.raises(ResultsError, match="in use"), held_alone(lock):
            pass
    elsewhere = {"pid": 1, "host": "elsewhere", "since": 0}
    lock.write_text(json.dumps(elsewhere))
    with pytest.raises(ResultsError, match=r"on elsewhere .*remove .*lock"), held_alone(lock):
        pass
    for gone in ({**elsewhere, "host": socket.gethostname(), "pid": 2**22 + 1}, [], {"pid": "x"}):
        lock.write_text(json.dumps(gone))
        with held_alone(lock):
            pass


def test_names_that_arent_text_are_written_as_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", json.dumps("a\udcff.png", ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == "a\udcff.png"


def test_what_a_storage_says_stays_as_it_is(tmp_path: Path) -> None:
    said = StorageError("s3://bucket/a: the storage doesn't answer")
    with pytest.raises(StorageError) as caught, atomic_path(tmp_path / "a"):
        raise said
    assert str(caught.value) == "s3://bucket/a: the storage doesn't answer"
    assert list(tmp_path.iterdir()) == []
