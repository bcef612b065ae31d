from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from anomalist.errors import ResultsError
from anomalist.inspection.bulk.hold import LOCK, held_place
from anomalist.storage import open_storage


def lock(s3: str, **owner: object) -> None:
    open_storage(s3).write(LOCK, json.dumps(owner).encode())


def test_a_place_is_held_and_let_go(s3: str) -> None:
    storage = open_storage(s3)
    with held_place(storage, beat=0.1, settling=0) as check:
        first = json.loads(storage.read(LOCK))
        time.sleep(0.4)
        assert json.loads(storage.read(LOCK))["beat"] > first["beat"]
        with (
            pytest.raises(ResultsError, match=f"in use by process {os.getpid()}"),
            held_place(storage, beat=0.2, settling=0),
        ):
            pass
        check()
    assert not storage.exists(LOCK)


def test_who_is_gone_from_this_machine_holds_nothing(s3: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    lock(s3, pid=ended.pid, host=socket.gethostname())
    told: list[str] = []
    with held_place(open_storage(s3), told.append, settling=0):
        assert told == []


def test_who_gives_no_sign_of_life_holds_nothing_any_more(s3: str) -> None:
    lock(s3, pid=1, host="elsewhere")
    told: list[str] = []
    with held_place(open_storage(s3), told.append, beat=0.1, settling=0):
        assert "held by process 1 on elsewhere" in told[0]


def test_who_was_taken_over_is_told_before_it_writes(s3: str) -> None:
    storage = open_storage(s3)
    with held_place(storage, beat=0.05, settling=0) as check:
        # As if it had been suspended for minutes.
        lock(s3, pid=7, host="elsewhere", token="other")
        time.sleep(1)
        with pytest.raises(ResultsError, match="in use by process 7 on elsewhere"):
            check()
    assert json.loads(storage.read(LOCK))["token"] == "other"


def test_of_two_that_come_at_once_one_is_refused(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: lock(s3, pid=7, host="there", token="other"))
    with (
        pytest.raises(ResultsError, match="in use by process 7 on there"),
        held_place(open_storage(s3)),
    ):
        pass
