"""The right to write to a place of results: of one process at a time."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from anomalist.errors import ObjectNotFoundError, ResultsError, StorageError
from anomalist.files import held_alone, held_by, may_run
from anomalist.storage import Storage

LOCK = ".anomalist-lock"
#: Seconds between two signs of life, and how many may be missing before another takes over.
BEAT, MISSED = 10.0, 3
# How long after a claim it is looked whether another came at the same moment.
_SETTLING = 1.0


@contextmanager
def held_place(
    storage: Storage,
    tell: Callable[[str], None] = lambda _: None,
    *,
    beat: float = BEAT,
    settling: float = _SETTLING,
) -> Iterator[Callable[[], None]]:
    """Let no other process into the block that holds the same place.

    In a folder the lock is the system's. On object storage, which has none, it is an object that
    the holder writes again every few seconds: another process takes over when nothing has changed
    for several times as long, or at once if the holder ran on this machine and doesn't any more.

    Parameters
    ----------
    storage : Storage
        The place.
    tell : callable, optional
        Told that it is waited for a sign of life.
    beat : float
        Seconds between signs of life.
    settling : float
        Seconds after which it is looked whether another process claimed it at the same moment.

    Yields
    ------
    callable
        To be called before something is written: it raises where another has taken over, as may
        happen to a process that was suspended.

    Raises
    ------
    ResultsError
        If another process holds it; it says who.
    StorageError
        If the storage doesn't answer or refuses.
    """
    if storage.local is not None:
        with held_alone(storage.local / LOCK):
            yield lambda: None
        return
    lock = _Lock(storage, beat)
    lock.claim(tell, settling)
    try:
        yield lock.check
    finally:
        lock.release()


class _Lock:
    """An object that its holder keeps writing."""

    def __init__(self, storage: Storage, beat: float) -> None:
        self._storage, self._beat = storage, beat
        self._token = secrets.token_hex(8)
        self._count = 0
        self._over = threading.Event()
        self._lost: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._live, name="anomalist-lock", daemon=True)

    def claim(self, tell: Callable[[str], None], settling: float) -> None:
        """Take it, once it is known that nobody has it."""
        owner = self._owner()
        if owner is not None and not _is_gone(owner):
            tell(
                f"{self._storage.address} was held by {_who(owner)}: waiting up to"
                f" {MISSED * self._beat:.0f} s for a sign of life"
            )
            until = time.monotonic() + MISSED * self._beat
            while time.monotonic() < until:
                time.sleep(min(1.0, self._beat / 4))
                now = self._owner()
                if now is None:
                    break
                if now != owner:
                    raise ResultsError(held_by(self._storage.address, now))
        self._write()
        time.sleep(settling)
        now = self._owner()
        if now is None or now.get("token") != self._token:
            raise ResultsError(held_by(self._storage.address, now or {}))
        self._thread.start()

    def check(self) -> None:
        """Raise if another has taken over."""
        if self._lost is not None:
            raise ResultsError(held_by(self._storage.address, self._lost))

    def release(self) -> None:
        """Let it go."""
        self._over.set()
        self._thread.join()
        with suppress(StorageError):
            now = self._owner()
            if now is not None and now.get("token") == self._token:
                self._storage.delete(LOCK)

    def _live(self) -> None:
        while not self._over.wait(self._beat):
            with suppress(StorageError):  # told by whoever writes results
                now = self._owner()
                if now is not None and now.get("token") != self._token:
                    self._lost = now
                    return
                self._write()

    def _write(self) -> None:
        self._count += 1
        owner = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.time(),
            "token": self._token,
            "beat": self._count,
        }
        self._storage.write(LOCK, json.dumps(owner).encode())

    def _owner(self) -> dict[str, Any] | None:
        try:
            owner = json.loads(self._storage.read(LOCK))
        except ObjectNotFoundError:
            return None
        except ValueError:
            return {}
        return owner if isinstance(owner, dict) else {}


def _is_gone(owner: dict[str, Any]) -> bool:
    """Whether a holder ran on this machine, and doesn't any more."""
    return owner.get("host") == socket.gethostname() and not may_run(owner)


def _who(owner: dict[str, Any]) -> str:
    return f"process {owner.get('pid', '?')} on {owner.get('host', 'another machine')}"
