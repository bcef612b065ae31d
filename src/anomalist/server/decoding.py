"""Photographs are decoded in processes of their own: one that kills its decoder kills no more."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from anomalist.data import Decoded, Transform
from anomalist.errors import DataError, ServerError
from anomalist.server.decoder import asked_of, receive, send

# What Python, NumPy and Pillow take, and what a pixel takes while it is decoded: 16 bits of three
# channels as they are stored, once more as they are worked on, and four bytes as Pillow has them.
_BASE_MB = 700
_BYTES_A_PIXEL = 24
_SECONDS = 60.0
_START_S = 120.0
_MB = 2**20
# Of the side of a picture for people.
MAX_SIDE = 4096


class Decoders:
    """Processes that decode photographs, started when they are needed and replaced when they die.

    Threads share it; each call waits for a process that is free.

    Parameters
    ----------
    processes : int
        At most so many at once.
    max_pixels : int
        The largest width x height that is decoded.
    seconds : float, optional
        A photograph that takes longer is given up; by default a minute, and a second more for each
        million of ``max_pixels``.
    memory_mb : int, optional
        What one process may take; by default what ``max_pixels`` need.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> buffer = io.BytesIO()
    >>> Image.new("RGB", (90, 60), "red").save(buffer, "PNG")
    >>> decoders = Decoders(1)
    >>> decoders.decode(buffer.getvalue(), "red.png", Transform(32)).size
    (60, 90)
    >>> decoders.close()
    """

    def __init__(
        self,
        processes: int,
        *,
        max_pixels: int = 100_000_000,
        seconds: float | None = None,
        memory_mb: int | None = None,
    ) -> None:
        self._max_pixels = max_pixels
        self._seconds = _SECONDS + max_pixels / 1e6 if seconds is None else seconds
        self._memory_mb = memory_mb or _BASE_MB + max_pixels * _BYTES_A_PIXEL // _MB
        self.processes = processes
        # The one that was used last is used first; None is one that isn't started.
        self._idle: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(processes):
            self._idle.put(None)
        self._closed = False
        # Pictures for people take one process, so that inspections have the others.
        self._showing = threading.Lock()

    def start(self) -> None:
        """Have the first process come up meanwhile."""
        self._idle.put(self._idle.get() or self._new())

    def decode(self, data: bytes, name: str, transform: Transform) -> Decoded:
        """Decode and resize the bytes of an image file.

        Parameters
        ----------
        data : bytes
            The file.
        name : str
            What errors call it.
        transform : Transform
            That of the detector.

        Raises
        ------
        DataError
            If it is damaged, too large or no image, or its decoder died of it.
        ServerError
            If no process can be started.
        """
        return self._ask(asked_of(name, transform, 0, 0), data)

    def show(self, data: bytes, name: str, side: int, bit_depth: int = 16) -> Decoded:
        """Decode the bytes of an image file for people, at most ``side`` pixels wide and high.

        Raises
        ------
        DataError, ServerError
            As of :meth:`decode`.
        """
        with self._showing:
            return self._ask(asked_of(name, None, min(side, MAX_SIDE), bit_depth), data)

    def close(self) -> None:
        """End the processes, once each has answered what it was asked."""
        self._closed = True
        for _ in range(self.processes):
            process = self._idle.get()
            if process is not None:
                process.close()
        for _ in range(self.processes):
            self._idle.put(None)

    def _new(self) -> _Process:
        return _Process(self._max_pixels, self._memory_mb)

    def _ask(self, asked: dict[str, Any], data: bytes) -> Decoded:
        process = self._idle.get()
        try:
            if self._closed:
                raise ServerError("the server stops: no photograph is decoded any more")
            if process is None or not process.is_alive():
                if process is not None:
                    process.close()
                process = None
                process = self._new()
            try:
                told, pixels = process.ask(asked, data, self._seconds)
            except ServerError:
                process.close()
                process = None
                raise
            except _DiedError as error:
                process.close()
                process = None
                raise DataError(f"{asked['name']} can't be decoded: {error}") from None
        finally:
            self._idle.put(process)
        if "error" in told:
            raise DataError(str(told["error"]))
        try:
            return Decoded(
                np.frombuffer(pixels, np.uint8).reshape(told["shape"]),
                (int(told["size"][0]), int(told["size"][1])),
                int(told["bit_depth"]),
                str(told["format"]),
                tuple(map(str, told["remarks"])),
            )
        except (LookupError, TypeError, ValueError):
            raise DataError(f"{asked['name']} can't be decoded: its decoder garbles it") from None


class _DiedError(Exception):
    """The process is no more."""


class _Process:
    """One process, asked by one thread at a time."""

    def __init__(self, max_pixels: int, memory_mb: int) -> None:
        # As this process finds its modules, so does that one; it needs one thread.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "anomalist.server.decoder"]
        try:
            self._process = subprocess.Popen(
                [*command, str(max_pixels), str(memory_mb)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise ServerError(f"no process to decode in can be started: {error}") from None
        self._ready = False

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, asked: dict[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], Any]:
        """Ask, and wait for the answer.

        Raises
        ------
        _DiedError
            If the process dies of it, or takes so long that it is ended.
        ServerError
            If the process doesn't come up.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not self._ready:
            with self._within(_START_S):
                self._ready = receive(self._process.stdout) is not None
            if not self._ready:
                self._process.kill()
                raise ServerError(
                    "the process to decode in doesn't come up (exit code"
                    f" {self._process.wait()}): try python -m anomalist.server.decoder"
                )
        with self._within(seconds) as late:
            try:
                send(self._process.stdin, asked, data)
                answer = receive(self._process.stdout)
            except (OSError, ValueError):  # the pipe broke, or what came is no JSON
                answer = None
        if late.is_set():
            raise _DiedError(f"it took more than {seconds:g} s")
        if answer is None:
            self._process.kill()
            code = self._process.wait()
            raise _DiedError(f"its decoder died of it (exit code {code})")
        return answer

    @contextmanager
    def _within(self, seconds: float) -> Iterator[threading.Event]:
        """End the process if the block takes longer; the event says that it did."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not self._ready:  # it was asked nothing yet, and may take long to come up
            self._process.kill()
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
