"""Killed under load, a server has all that it answered when it is back."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server.test_folder import until
from tests.server.test_webhook import Listener

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("warm_processes")


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


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_refit_is_done_once_the_server_is_no_longer_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import server_kill

    models, state = server_kill.fitted(tmp_path), tmp_path / "state"
    server = server_kill.start(models, state, None)
    refit = ""

    def ask(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> Any:
        status, answer = server.ask(method, path, body, **{"Content-Type": kind})
        assert status < 300, answer
        return answer

    try:
        (one,) = ask("POST", "/v1/inspect", server_kill.part(1), "image/png")["inspections"]
        ask("POST", f"/v1/inspections/{one['id']}/verdict", b'{"verdict": "good"}')
        refit = ask("POST", "/v1/models/part/refit")["id"]
        for _ in range(3):
            while ask("GET", f"/v1/refits/{refit}")["state"] != "running":
                time.sleep(0.02)
            assert server.end(signal.SIGKILL) == -signal.SIGKILL
            server = server_kill.start(models, state, None)
        assert server_kill.wait_for_refits(server) == ["done"]
        told = ask("GET", f"/v1/refits/{refit}")
        assert (told["version"], told["error"]) == (2, None)
        assert "3 times while candidate" in (tmp_path / "log").read_text()
    finally:
        server.end(signal.SIGTERM)
    assert not list((state / "refits").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_webhook_hears_what_was_decided_before_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import server_kill

    models, state = server_kill.fitted(tmp_path), tmp_path / "state"
    listener = Listener()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # Nobody listens yet.
    server = server_kill.start(models, state, None, "--webhook", listener.url)
    ids = []
    for seed in range(5):
        status, answer = server.ask("POST", "/v1/inspect", server_kill.part(seed))
        assert status == 200
        ids.append(answer["inspections"][0]["id"])
    assert server.end(signal.SIGKILL) == -signal.SIGKILL
    listener.thread.start()
    server = server_kill.start(models, state, None, "--webhook", listener.url)
    try:
        status, answer = server.ask("POST", "/v1/inspect", server_kill.part(5))
        ids.append(answer["inspections"][0]["id"])
        until(lambda: any(ids[-1].encode() in body for _, _, body in listener.heard))
    finally:
        server.end(signal.SIGTERM)
        listener.end()
    # At least once each, in their order; what comes twice has the id that it had.
    heard: dict[str, str] = {}
    for _, headers, body in listener.heard:
        identity = json.loads(body)["inspection"]["id"]
        assert heard.setdefault(headers["webhook-id"], identity) == identity
    assert list(heard.values()) == ids
