"""Killed under load, a server has all that it answered when it is back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_what_was_answered_is_there_once(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import server_kill  # type: ignore[import-not-found]

    told = server_kill.run(
        tmp_path, moments=1, clients=3, within=(2.0, 3.0), seed=0, url=database_url
    )
    assert any("id" in found for found in told.inspections.values())
    assert "all there, once" in capsys.readouterr().out
