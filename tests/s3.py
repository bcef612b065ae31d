"""An object storage for tests: the one that is named in the environment, or one of their own."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that speaks S3."""
    given = os.environ.get("ANOMALIST_TEST_S3")
    if given:
        yield given
        return
    pytest.importorskip("moto.server")
    process, url = start_s3(tmp_path_factory.mktemp("s3") / "log")
    yield url
    process.terminate()
    process.wait(10)


def start_s3(log: Path, port: int | None = None) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server that holds objects in memory; return it and its URL once it answers."""
    port = port or free_port()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=stream,
            stderr=stream,
        )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process, f"http://127.0.0.1:{port}"
    process.kill()
    raise RuntimeError(f"the server of S3 didn't start: {log.read_text()}")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def environment_of(url: str) -> dict[str, str]:
    """Return what the environment of a process must have to find the server as any S3."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing-id",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def use_s3(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let this process, and those that it starts, find the server as any S3."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "FSSPEC_")):
            monkeypatch.delenv(name)
    for name, value in environment_of(url).items():
        monkeypatch.setenv(name, value)
    if _connected.get("url") != url:
        forget_connections()
        _connected["url"] = url


# Making a connection takes seconds of a slow machine: tests that reach the same server share it.
_connected: dict[str, str] = {}


def forget_connections() -> None:
    """Connect anew: fsspec keeps connections, with the credentials that were there then."""
    s3fs = pytest.importorskip("s3fs")
    _connected.clear()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket, ``s3://...``, that this process can reach."""
    use_s3(monkeypatch, s3_server)
    return new_bucket()


def new_bucket() -> str:
    fsspec = pytest.importorskip("fsspec")
    name = f"test-{secrets.token_hex(6)}"
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ANOMALIST_CACHE", str(folder))
    return folder


def upload(folder: Path, address: str) -> str:
    """Put the files of a folder below an address, which is returned."""
    from anomalist.storage import open_storage

    there = open_storage(address)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            there.write(path.relative_to(folder).as_posix(), path.read_bytes())
    return address
