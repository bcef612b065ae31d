"""The command: it answers, it stops when asked, and it says in a line why it doesn't start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from anomalist.cli.main import main
from anomalist.server.database import Database
from anomalist.server.principals import Tokens
from tests.server.conftest import picture

pytestmark = pytest.mark.usefixtures("warm_processes")


@contextmanager
def running(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and where it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "anomalist", "serve", *map(str, arguments), "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, process.communicate()
        yield process, json.loads(line)["address"]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_it_answers_and_stops_when_asked(models: Path, tmp_path: Path) -> None:
    with running(models, "--state", tmp_path / "state") as (process, address):
        assert httpx.get(f"{address}/readyz").json()["models"] == ["part"]
        files = {"file": ("a.png", picture(100))}
        answers: list[Any] = []

        def ask() -> None:
            with suppress(httpx.TransportError):  # once it is gone
                while True:
                    answers.append(httpx.post(f"{address}/v1/inspect", files=files).json())

        asking = threading.Thread(target=ask)
        asking.start()
        while len(answers) < 3:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
        asking.join()
    assert process.returncode == 0
    # What is logged are requests that were answered.
    assert all(" 200 in " in line for line in err.splitlines()), err
    assert json.loads(out)["exit_code"] == 0
    assert all("inspections" in answer for answer in answers)
    database = Database(f"sqlite:///{tmp_path / 'state' / 'anomalist.db'}")
    with database.engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT id FROM inspections ORDER BY number").scalars()
        assert list(kept) == [answer["inspections"][0]["id"] for answer in answers]
    database.close()


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The line that the command ends with."""
    assert main(["serve", *map(str, arguments)]) == 1
    err = capsys.readouterr().err.strip()
    assert err.count("\n") == 0
    return err


def test_why_it_does_not_start_is_a_line(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", tmp_path / "state"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(capsys, models, "--port", port, *state)
        assert f"port {port} of 127.0.0.1 can't be had" in line
    free = [*state, "--port", 0]
    line = refused(capsys, models, "--host", "0.0.0.0", *free)
    assert "serve tokens make" in line
    assert "no address" in refused(capsys, models, "--host", "no host", *free)
    assert "holds no model" in refused(capsys, tmp_path, *free)
    assert "holds no model" in refused(capsys, tmp_path / "none", *free)
    database = "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"
    line = refused(capsys, models, "--database", database, *free)
    assert "nobody:***@127.0.0.1:1/none can't be used" in line
    line = refused(capsys, models, "--database", "mysql://there", *free)
    assert "is no database that can be used" in line
    (tmp_path / "bad").mkdir()
    model = (models / "part.anomalist").read_bytes()
    (tmp_path / "bad" / "part.anomalist").write_bytes(model[: len(model) // 2])
    assert "part.anomalist is cut short or damaged" in refused(
        capsys, tmp_path / "bad", "--port", 0, "--state", tmp_path / "new"
    )


def test_a_folder_has_one_server(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", tmp_path / "state"]
    with running(models, *state):
        assert "is in use by process" in refused(capsys, models, *state, "--port", 0)


def test_tokens_are_made_listed_and_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]
    assert main(["serve", "tokens", "make", "line 1", "--role", "review", *state]) == 0
    token = capsys.readouterr().out.strip()
    assert main(["serve", "tokens", "make", "line 1", *state]) == 1
    assert "line 1" in capsys.readouterr().err
    assert main(["serve", "tokens", "make", "short", "--days", "1e-9", *state, "--json"]) == 0
    short = json.loads(capsys.readouterr().out)["token"]
    database = Database(f"sqlite:///{tmp_path / 'anomalist.db'}")
    tokens = Tokens(database)
    found = tokens.find(token)
    assert found is not None
    assert (found.name, found.role) == ("line 1", "review")
    assert tokens.find(short) is None
    assert token not in (tmp_path / "anomalist.db").read_bytes().decode("latin-1")
    assert main(["serve", "tokens", "revoke", "line 1", *state]) == 0
    assert tokens.find(token) is None
    capsys.readouterr()
    assert main(["serve", "tokens", "list", *state, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["tokens"]
    assert [(row["name"], row["state"]) for row in rows] == [
        ("line 1", "revoked"),
        ("short", "expired"),
    ]
    assert main(["serve", "tokens", "revoke", "nobody", *state]) == 1
    assert main(["serve", "tokens", "make", *state]) == 1
    assert main(["serve", "tokens", "list", "line 1", *state]) == 1
    database.close()
