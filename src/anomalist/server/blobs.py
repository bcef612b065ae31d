"""Files that are kept by what they hold: a photograph that comes twice is there once."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from anomalist.errors import DataError
from anomalist.files import atomic_path

_HASH = re.compile(r"[0-9a-f]{64}")
# What a file takes on a disk is whole blocks.
_BLOCK = 4096


class Blobs:
    """A folder of files, each named by the SHA-256 of its bytes; threads may share it.

    Parameters
    ----------
    folder : str or Path
        It is made where missing.

    Examples
    --------
    >>> import tempfile
    >>> blobs = Blobs(tempfile.mkdtemp())
    >>> key = blobs.put(b"a photograph")
    >>> blobs.get(key)
    b'a photograph'
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._writing: set[str] = set()
        self._size: int | None = None

    def put(self, data: bytes, *, hold: bool = False) -> str:
        """Keep bytes, whole or not at all, and return their key.

        Parameters
        ----------
        data : bytes
            What is kept.
        hold : bool
            Whether they stay, whatever is removed, until :meth:`let_go`: for as long as no row
            names them yet.
        """
        key = hashlib.sha256(data).hexdigest()
        path = self.path(key)
        with self._lock:
            self._held[key] += 1
            there = path.exists()
            # Of those who write the same at once, one counts it.
            first = not there and key not in self._writing
            if first:
                self._writing.add(key)
        try:
            if not there:
                with atomic_path(path) as temporary:
                    temporary.write_bytes(data)
        except BaseException:
            self.let_go(key)
            raise
        finally:
            if first:
                with self._lock:
                    self._writing.remove(key)
                    if self._size is not None and path.exists():
                        self._size += on_disk(len(data))
        if not hold:
            self.let_go(key)
        return key

    def let_go(self, key: str) -> None:
        """Say that a row names what was put to hold, or that none ever will."""
        with self._lock:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]

    def path(self, key: str) -> Path:
        """Return where the bytes of a key are, or would be.

        Raises
        ------
        DataError
            If it is no key: no path that was asked for reaches the file system.
        """
        if not _HASH.fullmatch(key):
            raise DataError(f"{key!r} is no SHA-256")
        return self._folder / key[:2] / key

    def get(self, key: str) -> bytes | None:
        """Return the bytes of a key; None where they aren't there, or no longer."""
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            return None

    def remove(
        self, keys: Collection[str], named: Callable[[list[str]], Collection[str | None]]
    ) -> int:
        """Remove files, but those that are held or named; return how many went.

        Parameters
        ----------
        keys : collection of str
            Theirs.
        named : callable
            Returns those of some keys that rows name. What is held until its row is there is in one
            or the other, whatever happens at the same time.
        """
        removed = 0
        with self._lock:
            free = [key for key in keys if key not in self._held]
            still = set(named(free))
            for key in free:
                path = self.path(key)
                if key in still or not path.exists():
                    continue
                size = path.stat().st_size
                path.unlink()
                removed += 1
                if self._size is not None:
                    self._size -= on_disk(size)
        return removed

    def size(self) -> int:
        """Return how many bytes all files take on the disk, which are counted the first time."""
        with self._lock:
            if self._size is None:
                # Whoever puts meanwhile waits, for a moment at the first start with many files.
                # What is being written is counted once it is there.
                self._size = sum(
                    on_disk(entry.stat().st_size)
                    for entry in self._entries()
                    if _HASH.fullmatch(entry.name) and entry.name not in self._writing
                )
            return self._size

    def older_than(self, seconds: float) -> Iterator[str]:
        """Yield the keys of files that were written so long ago; what a crash left half goes."""
        before = time.time() - seconds
        for entry in self._entries():
            try:
                if entry.stat().st_mtime > before:
                    continue
                if _HASH.fullmatch(entry.name):
                    yield entry.name
                elif entry.name.startswith(".partial-"):
                    Path(entry.path).unlink()
            except FileNotFoundError:
                continue

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        for folder in self._folder.iterdir():
            if folder.is_dir():
                with os.scandir(folder) as entries:
                    yield from entries


def on_disk(size: int) -> int:
    """Return how many bytes a file of a size takes."""
    return -(-size // _BLOCK) * _BLOCK
