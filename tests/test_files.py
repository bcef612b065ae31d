from __future__ import annotations

import stat
from pathlib import Path

import pytest

from anomalist.files import atomic_path, write_text


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
