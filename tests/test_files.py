from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from anomalist.files import atomic_path, check_writable, write_text


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_or_a_link_to_a_device_is_never_replaced(tmp_path: Path) -> None:
    # Never a device itself: where this fails, root would take it away from the machine.
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    for target in (pipe, link):
        with pytest.raises(OSError, match="a device, a pipe or a socket"):
            check_writable(target)
        with pytest.raises(OSError, match="a device, a pipe or a socket"):
            write_text(target, "text")
    assert pipe.is_fifo()
    assert link.is_symlink()
