"""The harness sees what a careless reader does."""

from __future__ import annotations

import os
import socket
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from fuzz import harness

_WARM = 20
_SEES = {
    1: "raises ZeroDivisionError",
    2: "for writing",
    3: "socket.__new__",
    4: "warns UserWarning",
    5: "MB for 1 bytes",
    6: "ends its process with code -6",
    7: "hangs",
}


class Careless:
    """A reader that does what the first byte says, once it has warmed up."""

    def __init__(self) -> None:
        self.seeds: dict[str, bytes] = {}
        self._made = 0

    def case(self, rng: np.random.Generator) -> bytes:
        self._made += 1
        return bytes([rng.integers(8) if self._made > _WARM else 0])

    def memory(self, size: int) -> int:
        return 100 * 2**20

    def check(self, path: Path) -> str:
        kind = path.read_bytes()[0]
        if kind == 1:
            1 / 0  # noqa: B018
        elif kind == 2:
            path.with_suffix(".out").write_text("x")
        elif kind == 3:
            with pytest.raises(PermissionError):
                socket.socket()
        elif kind == 4:
            warnings.warn("oh", stacklevel=1)
        elif kind == 5:
            np.ones(2**25).sum()
        elif kind == 6:
            os.abort()
        elif kind == 7:
            time.sleep(60)
        return "fine"


def test_every_broken_promise_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness, "_WALL_SECONDS", 4.0)
    first, count = 317, 12  # in which every kind comes
    kinds = {
        number: int(np.random.default_rng([5, number]).integers(8))
        for number in range(first, first + count)
    }
    assert set(kinds.values()) >= {0, *_SEES}
    expected = sum(kind > 0 for kind in kinds.values())
    found = harness.fuzz(Careless, cases=count, seed=5, workers=1, first=first, out=tmp_path)
    assert found == expected
    for number, kind in kinds.items():
        told = tmp_path / f"5-{number}.txt"
        assert told.exists() == (kind > 0)
        if kind:
            assert _SEES[kind] in told.read_text()
            assert (tmp_path / f"5-{number}.bin").read_bytes() == bytes([kind])
    assert f"{expected} findings" in capsys.readouterr().out
