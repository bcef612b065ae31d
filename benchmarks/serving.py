"""A server in a process of its own, and drawn parts for it: what benchmarks of the server share."""

from __future__ import annotations

import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 64
_BEGINS_S, _ENDS_S = 300.0, 120.0


def photograph(seed: int, *, defect: bool = False) -> bytes:
    """A drawn part, grey with noise, as PNG; with a defect, a dark square."""
    samples = np.random.default_rng(seed).normal(120, 8, (SIDE, SIDE, 3))
    if defect:
        samples[20:36, 24:40] = 10
    buffer = io.BytesIO()
    Image.fromarray(np.clip(samples, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def fitted(folder: Path) -> Path:
    """Fit a PaDiM to drawn parts, which stay beside it; return the folder with ``part.anomalist``.

    As the command line fits it, so that the model knows where its images lie.
    """
    from anomalist.cli.main import main

    good, models = folder / "good", folder / "models"
    good.mkdir()
    for i in range(40):
        (good / f"{i:02}.png").write_bytes(photograph(10_000 + i))
    command = ["fit", "padim", "--data", str(good), "--out", str(models / "part.anomalist")]
    assert main([*command, "--image_size", str(SIDE), "--device", "cpu"]) == 0
    return models


def serve(models: Path, state: Path, *more: str) -> list[str]:
    """The command of a server that asks nobody to wait for the rate of requests."""
    command = [sys.executable, "-m", "anomalist", "serve", str(models), "--state", str(state)]
    return [*command, "--max_rate", "100000", *more]


class Server:
    """A server that was started and answers.

    Parameters
    ----------
    command : list of str
        That of a server with ``/healthz``, to which ``--port`` is added.
    log : Path
        What it writes is added to this file.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], stdout=out, stderr=out, start_new_session=True
            )
        until = time.monotonic() + _BEGINS_S
        while not self._lives():
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                raise SystemExit(f"{command[0]} doesn't start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)

    def _lives(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Ask once, over a connection of its own; return the status and the JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(_ENDS_S)


@contextmanager
def started(command: list[str], log: Path) -> Iterator[Server]:
    """Start a server for as long as it is needed."""
    server = Server(command, log)
    try:
        yield server
    finally:
        server.end()
