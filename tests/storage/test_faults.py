"""What is said of a storage that doesn't do as it should."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from anomalist.errors import ObjectNotFoundError, StorageError
from anomalist.storage import open_storage
from anomalist.storage.faults import fault
from tests.s3 import forget_connections, free_port, new_bucket, start_s3, use_s3


def test_credentials_that_are_missing(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    forget_connections()
    with pytest.raises(StorageError, match="there are no credentials for s3 in the environment"):
        open_storage(s3).list()
    forget_connections()


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    start = time.monotonic()
    with pytest.raises(StorageError, match="the storage doesn't answer"):
        open_storage("s3://bucket/a").list()
    assert time.monotonic() - start < 30


def test_a_server_that_goes_away_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process, url = start_s3(tmp_path / "log")
    use_s3(monkeypatch, url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    storage = open_storage(new_bucket())
    storage.write("a", b"one")
    process.kill()
    process.wait()
    for work in (storage.list, lambda: storage.read("a"), lambda: storage.write("a", b"")):
        with pytest.raises(StorageError, match="the storage doesn't answer"):
            work()


def test_no_secret_of_the_environment_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-secret")
    error = fault(PermissionError("no hidden-secret\nhere"), "s3://b/a", "s3")
    assert "hidden" not in str(error)
    assert "\n" not in str(error)


def test_errors_keep_their_kind() -> None:
    assert isinstance(fault(FileNotFoundError(), "s3://b/a", "s3"), ObjectNotFoundError)
    assert "doesn't answer" in str(fault(TimeoutError(), "s3://b/a", "s3"))
    assert str(fault(OSError("weird"), "s3://b/a", "s3")) == "s3://b/a: weird"
