"""Commands that are stopped, killed or cut off from their input and output."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import anomalist
import anomalist.inspection
from anomalist.cli.main import main
from anomalist.files import held_alone
from tests.bad_input.case import failed, heatmaps, lines, printed, state, told
from tests.bad_input.runs import CLOSED, FULL, IN_USE, KILLED, STOPPED, UNHEARD, VANISHED

COMMAND = [sys.executable, "-m", "anomalist"]
# So many that they take longer on any machine than it takes to stop it.
MANY = 240


@pytest.mark.usefixtures("warm_processes")
def test_what_is_stopped_or_killed_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "many").mkdir()
    for i in range(MANY):
        shutil.copy(here / "photos" / "good.png", here / "many" / f"{i:03}.png")
    done = 0
    for case, sent in ((STOPPED, signal.SIGINT), (KILLED, signal.SIGKILL)):
        command = [*COMMAND, *shlex.split(case.command)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            while count(here) < done + 5:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(sent)
            _, err = process.communicate()
        assert process.returncode == case.code
        assert printed(case.answer, err) or not case.answer
        told(case.code, err)
        assert (here / "out" / "predictions.unfinished").is_file()
        done = count(here)
        assert done < MANY
    before = lines_of(here / "out" / "predictions.jsonl")[:done]
    assert main(shlex.split(KILLED.command)) == 0
    assert f"{MANY} images ({done} of them before)" in capsys.readouterr().out
    assert [entry["path"] for entry in lines(here)] == [f"many/{i:03}.png" for i in range(MANY)]
    assert lines_of(here / "out" / "predictions.jsonl")[:done] == before
    heatmaps(here)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")


def count(here: Path) -> int:
    """How many whole lines there are."""
    path = here / "out" / "predictions.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.usefixtures("warm_processes")
def test_a_reader_that_goes_away_is_no_failure(here: Path) -> None:
    command = [*COMMAND, *shlex.split(UNHEARD.command.split("|")[0])]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (UNHEARD.code, b"")


def test_standard_input_that_is_closed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    before = state(here)
    assert main(shlex.split(CLOSED.command.removesuffix(" <&-"))) == CLOSED.code
    err = capsys.readouterr().err
    assert printed(CLOSED.answer, err)
    told(CLOSED.code, err)
    assert state(here) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_standard_output_on_a_full_disk(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(shlex.split(FULL.command)[:2]) == FULL.code
        monkeypatch.undo()
    err = capsys.readouterr().err
    assert printed(FULL.answer, err)
    told(FULL.code, err)


def test_a_folder_that_is_in_use(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held_alone(here / "out" / ".anomalist-lock"):
        before = state(here)
        assert main(shlex.split(IN_USE.command)) == IN_USE.code
        assert state(here) == before
    err = capsys.readouterr().err
    assert printed(IN_USE.answer, err)
    told(IN_USE.code, err)


def test_a_photograph_that_vanishes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = anomalist.inspection.open_model

    def vanish(*arguments: Any, **more: Any) -> Any:
        (here / "photos" / "good.png").unlink()
        return opened(*arguments, **more)

    monkeypatch.setattr("anomalist.inspection.open_model", vanish)
    assert main(shlex.split(VANISHED.command)) == VANISHED.code
    assert printed(VANISHED.answer, capsys.readouterr().err)
    failed(1)(here)
