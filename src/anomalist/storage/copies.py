"""Copies of objects on this machine: made when they are read, and dropped when there are too many.

The place of an object that isn't there yet holds a file of the object's size without content, that
its owner may write: that is how it is told from a copy, which nobody may. Both carry the version
of the object as their time of change. A copy appears in its place all at once, and the file that
was there stays whole for whoever has it open, so that processes share the cache without a lock.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from anomalist.errors import ObjectNotFoundError, ParameterError, ResultsError, StorageError
from anomalist.files import held_alone
from anomalist.origins import CACHE, CACHE_GB, cache_folder, objects_folder, origin_of
from anomalist.storage.addresses import split_address
from anomalist.storage.objects import Object
from anomalist.storage.opening import open_storage
from anomalist.storage.storage import Storage

#: What is fetched when a folder is opened, for its readers open these like any file; never dropped.
TEXTS = (".json", ".jsonl", ".ndjson", ".manifest", ".csv", ".tsv", ".txt")

_DEFAULT_GB = 20.0
# How much may come, as a share of the limit, before the cache is looked through again.
_SHARE = 1 / 50
_COPY, _PLACE = 0o444, 0o200
# Seconds, even ones, which all file systems can keep; none is of these days.
_FIRST, _STAMPS = 315_619_200, 440_000_000
_LEFTOVER_S = 3600


def is_place(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is the place of an object, whose copy `open_copy` opens."""
    return origin_of(path) is not None


def open_copy(path: Path) -> IO[bytes]:
    """Open the copy of an object to read it, fetched if it isn't there.

    Parameters
    ----------
    path : Path
        Its place.

    Raises
    ------
    ObjectNotFoundError
        If there is no such object any more.
    StorageError
        If the storage doesn't answer or refuses, or the copy can't be written.
    """
    try:
        file = path.open("rb")
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return _fetch(path)
    state = os.fstat(file.fileno())
    if not _is_copy(state):
        file.close()
        return _fetch(path)
    # The time of use, by which the longest unused are found. Of the open file: the place may hold
    # another by now. Of another user's copy it can't be set.
    if os.utime in os.supports_fd:
        with suppress(OSError):
            os.utime(file.fileno(), ns=(time.time_ns(), state.st_mtime_ns))
    return file


def put_place(path: Path, found: Object, partial: Path | None = None) -> bool:
    """Make the place of an object, without content; a copy of the same version stays.

    Parameters
    ----------
    path : Path
        Its place; the folder must be there.
    found : Object
        What a listing says of it.
    partial : Path, optional
        The folder for files that aren't complete; by default that of the cache.

    Returns
    -------
    bool
        Whether a copy is there.
    """
    stamp = _stamp(found.size, found.version)
    try:
        state = path.lstat()
    except FileNotFoundError:
        state = None
    if state is not None and found.version is not None and state.st_mtime_ns == stamp:
        return _is_copy(state)
    if state is not None and stat.S_ISDIR(state.st_mode):  # it was one, and is gone
        shutil.rmtree(path)
    _empty(path, found.size or 0, stamp, partial or _partial())
    return False


def put_stamped(path: Path, size: int, stamp: int) -> None:
    """Make the place of an object whose version another machine knows."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _empty(path, size, stamp, _partial())
    except OSError as error:
        raise unwritten(error) from error


def storage_of(address: str) -> tuple[Storage, str]:
    """Return the storage of the bucket of an origin, and the key in it."""
    scheme, rest = split_address(address)
    bucket, _, key = rest.partition("/")
    return open_storage(f"{scheme}://{bucket}"), key


def _fetch(path: Path) -> IO[bytes]:
    """Fetch an object into its place, and return it open: it may be dropped before it is read."""
    address = origin_of(path)
    if address is None:
        raise StorageError(f"{path} is the place of no object")
    limit = limit_bytes()
    storage, key = storage_of(address)
    data, stamp = _read(storage, key, path)
    try:
        partial = _partial()
        temporary = partial / secrets.token_hex(8)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        file = os.fdopen(handle, "w+b")
        try:
            file.write(data)
            file.flush()
            os.utime(temporary, ns=(time.time_ns(), stamp))
            temporary.chmod(_COPY)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)
        except BaseException:
            file.close()
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unwritten(error) from error
    file.seek(0)
    _budget.add(len(data), limit)
    return file


def _read(storage: Storage, key: str, path: Path) -> tuple[bytes, int]:
    """Return an object, and the stamp of its version."""
    known = _mtime(path)
    for _ in range(3):
        data = storage.read(key)
        # What S3 calls the version of an object that came in one piece: no need to ask for it.
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if known == _stamp(len(data), digest):
            return data, known
        found = storage.stat(key)
        if found is None:
            raise ObjectNotFoundError(f"{storage.address_of(key)} isn't there any more")
        if found.size in (None, len(data)):
            return data, _stamp(found.size, found.version)
    raise StorageError(f"{storage.address_of(key)} changes while it is read: try again")


def _mtime(path: Path) -> int | None:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return None


def _stamp(size: int | None, version: str | None) -> int:
    """Return a time of long ago, in nanoseconds, that stands for a version of an object."""
    digest = hashlib.sha256(f"{size}\0{version}".encode()).digest()
    return (_FIRST + 2 * (int.from_bytes(digest[:8]) % _STAMPS)) * 10**9


def _is_copy(state: os.stat_result) -> bool:
    return not state.st_mode & stat.S_IWUSR


def _empty(path: Path, size: int, stamp: int, partial: Path) -> None:
    temporary = partial / secrets.token_hex(8)
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PLACE)
        try:
            os.ftruncate(handle, size)  # takes no space
        finally:
            os.close(handle)
        os.utime(temporary, ns=(stamp, stamp))
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise unwritten(error) from error


def _partial() -> Path:
    folder = cache_folder() / "partial"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def unwritten(error: OSError) -> StorageError:
    """Return the error for people where the cache can't be written."""
    if isinstance(error, StorageError):
        return error
    more = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        more = f", or lower {CACHE_GB}"
    return StorageError(
        f"the cache in {cache_folder()} can't be written: {error.strerror or error}: name another "
        f"folder in {CACHE}{more}"
    )


class _Budget:
    """Keeps the copies of all processes below the limit, by what this one added to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._added: int | None = None  # None: it isn't known what is there

    def add(self, nbytes: int, limit: float) -> None:
        """Count a new copy, and drop the longest unused ones if there are too many."""
        with self._lock:
            if self._added is not None and self._added + nbytes < limit * _SHARE:
                self._added += nbytes
                return
            try:
                with held_alone(cache_folder() / "lock"):
                    _drop(limit)
            except ResultsError:  # another does it
                pass
            self._added = 0


_budget = _Budget()


def limit_bytes() -> float:
    """Return how many bytes the copies may take together.

    Raises
    ------
    ParameterError
        If the environment names no number above 0.
    """
    text = os.environ.get(CACHE_GB) or str(_DEFAULT_GB)
    try:
        limit = float(text) * 1e9
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise ParameterError(f"{CACHE_GB} must be a number above 0, not {text!r}")
    return limit


def _drop(limit: float) -> None:
    copies = list(_copies(objects_folder()))
    total = sum(state.st_size for _, state in copies)
    if total > limit * (1 - _SHARE):
        copies.sort(key=lambda copy: copy[1].st_atime_ns)
        for name, state in copies:
            if total <= limit * 0.9:
                break
            if name.lower().endswith(TEXTS):
                continue
            _empty(Path(name), state.st_size, state.st_mtime_ns, _partial())
            total -= state.st_size
    for leftover in _partial().iterdir():
        with suppress(OSError):
            if time.time() - leftover.lstat().st_ctime > _LEFTOVER_S:
                leftover.unlink()


def _copies(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as scan:
                entries = list(scan)
        except OSError:
            continue
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif _is_copy(state := entry.stat(follow_symlinks=False)):
                    yield entry.path, state


def decoded(address: str) -> str:
    """Return what follows ``://`` with names as they are in the storage, not quoted as in a link.

    Examples
    --------
    >>> decoded("https://host/two%20words/1.png"), decoded("s3://bucket/two%20words")
    ('host/two words/1.png', 'bucket/two%20words')
    """
    scheme, rest = split_address(address)
    return unquote(rest) if scheme in ("http", "https") else rest
