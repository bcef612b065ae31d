"""Files that are whole or absent: writes that a crash can't tear, and hashes of content."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.errors import ResultsError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Where Windows locks a byte, so that the others can be read.
_FAR = 1 << 30
# What a system says that has no locks for a file, rather than that another holds it.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``target`` that takes its place only if the block succeeds.

    Parameters
    ----------
    target : str or Path
        The file to write; its folder is made where missing.

    Yields
    ------
    Path
        Where to write. It has the suffix of ``target``.

    Raises
    ------
    OSError
        If the folder can't be written, or ``target`` is a device, a pipe or a socket, whose place
        a file would take.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as path:
    ...     _ = path.write_text("whole")
    >>> (folder / "a.txt").read_text(), len(list(folder.iterdir()))
    ('whole', 1)
    """
    target = Path(target)
    _refuse_device(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _new_file(target.parent, target.suffix)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        # A full disk says nothing of the file; a storage that was read meanwhile says it all.
        if error.filename is None and error.errno is not None:
            error.filename = str(target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def absolute(path: str | Path) -> str:
    """Return the absolute path of a file, with links as their owner calls them.

    Examples
    --------
    >>> absolute("/camera/../parts/")
    '/parts'
    """
    return os.path.abspath(path)  # noqa: PTH100


def check_writable(target: str | Path) -> None:
    """Raise now what writing a file would raise after the work that it takes; nothing is left.

    Parameters
    ----------
    target : str or Path
        The file; its folders may be missing.

    Raises
    ------
    OSError
        If a folder above it is a file or can't be written, a name is too long, or it is a device, a
        pipe or a socket.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> check_writable(folder / "new" / "a.txt")
    >>> list(folder.iterdir())
    []
    >>> (folder / "file").touch()
    >>> check_writable(folder / "file" / "a.txt")
    Traceback (most recent call last):
    ...
    NotADirectoryError: [Errno 20] Not a directory: ...
    """
    target = Path(target)
    with suppress(FileNotFoundError):
        target.lstat()
    _refuse_device(target)
    folder = target.parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".partial-"):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _refuse_device(target: Path) -> None:
    """Refuse what isn't a place for a file: one would take it away from the whole machine."""
    with suppress(FileNotFoundError, NotADirectoryError):
        mode = target.stat().st_mode
        of_system = target.parent.resolve() == Path("/dev")  # links to devices among them
        if of_system or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(
                errno.EINVAL, "It is a device, a pipe or a socket, not a file", str(target)
            )


def write_text(target: str | Path, text: str) -> None:
    """Write ``text`` to ``target`` as UTF-8, whole or not at all.

    Bytes of a name of a file that aren't text stay what they are, as an escape that JSON knows.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "notes" / "a.txt"
    >>> write_text(path, "whole")
    >>> path.read_text()
    'whole'
    """
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "empty"
    >>> path.touch()
    >>> sha256_of(path)[:8]
    'e3b0c442'
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        # A pipe would be waited for, and some devices never end.
        raise OSError(errno.EINVAL, "It is a folder, a pipe or a device", str(path))
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def held_alone(lock: str | Path) -> Iterator[bool]:
    """Let nobody else into the block that holds the same lock: no other process, no other thread.

    The lock is the system's, and so ends with the process, however that ends. On a file system
    that has none, a lock counts for as long as the process that is named in the file runs; whether
    one on another machine does, can't be known.

    Parameters
    ----------
    lock : str or Path
        A file that stands for what is held, made and removed here. Its folder is made where
        missing.

    Yields
    ------
    bool
        Whether the system keeps the lock; False if it is only as good as what the file says.

    Raises
    ------
    ResultsError
        If another holds it; it says who.
    OSError
        If the file can't be made.

    Examples
    --------
    >>> import tempfile
    >>> lock = Path(tempfile.mkdtemp()) / "lock"
    >>> with held_alone(lock):
    ...     with held_alone(lock):
    ...         pass
    Traceback (most recent call last):
    ...
    anomalist.errors.ResultsError: ... is in use by process ...
    >>> lock.exists()
    False
    """
    lock = Path(lock)
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle, kept = _locked(lock)
    try:
        with suppress(OSError):  # a full disk keeps no name, but the lock
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps(owner).encode())
        yield kept
    finally:
        if sys.platform != "win32":
            with suppress(OSError):  # before it is let go, so that it is ours that goes
                lock.unlink()
        os.close(handle)
        if sys.platform == "win32":
            with suppress(OSError):  # which fails where another has opened it since
                lock.unlink()


def _locked(lock: Path) -> tuple[int, bool]:
    """Return the handle of a lock's file, and whether the system keeps the lock."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            kept = _lock(handle)
            if kept is False or (kept is None and may_run(_owner(lock))):
                raise ResultsError(held_by(lock.parent, _owner(lock), lock))
            # The one before may have removed the file between our opening and locking it.
            with suppress(FileNotFoundError):
                if _is_at(handle, lock):
                    return handle, kept is not None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    mine, there = os.fstat(handle), path.stat()
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _lock(handle: int) -> bool | None:
    """Lock a file; False if another holds it, None where the system can't say."""
    try:
        if sys.platform == "win32":
            os.lseek(handle, _FAR, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            # Not lockf, which lets in the threads of one process.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK):
            return False
        raise
    return True


def _owner(lock: Path) -> dict[str, Any]:
    """Who a lock's file says holds it; empty if it doesn't say."""
    try:
        owner = json.loads(lock.read_bytes())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def may_run(owner: dict[str, Any]) -> bool:
    """Tell whether the process that holds a lock may still run.

    Parameters
    ----------
    owner : dict
        What it wrote of itself: ``pid`` and ``host``.

    Examples
    --------
    >>> may_run({"pid": os.getpid(), "host": socket.gethostname()}), may_run({})
    (True, False)
    """
    pid = owner.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    if owner.get("host") != socket.gethostname() or sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def held_by(place: str | Path, owner: dict[str, Any], lock: str | Path | None = None) -> str:
    """Say that a place is in use, by whom as far as that is known, and what to do.

    Parameters
    ----------
    place : str or Path
        What is held.
    owner : dict
        What the holder wrote: ``pid``, ``host`` and ``since``, or nothing.
    lock : str or Path, optional
        What to remove where the holder is on another machine, and gone.

    Examples
    --------
    >>> held_by("results", {})
    'results is in use by another process: stop it or choose another folder'
    """
    who = "another process"
    if "pid" in owner:
        who = f"process {owner['pid']} on {owner.get('host', 'this machine')}"
        with suppress(KeyError, TypeError, ValueError, OverflowError, OSError):
            since = time.localtime(owner["since"])
            who += f" since {time.strftime('%Y-%m-%d %H:%M:%S', since)}"
    elsewhere = owner.get("host", socket.gethostname()) != socket.gethostname()
    way = f" (if that one is gone, remove {lock})" if elsewhere and lock is not None else ""
    return f"{place} is in use by {who}: stop it or choose another folder{way}"


def scratch_array(
    shape: tuple[int, ...], dtype: npt.DTypeLike, limit_mb: float
) -> npt.NDArray[Any]:
    """Return an array in memory, or beyond a limit in a temporary file that goes when it does.

    Examples
    --------
    >>> scratch_array((2, 3), np.uint8, limit_mb=1).shape
    (2, 3)
    >>> type(scratch_array((2, 3), np.uint8, limit_mb=0))
    <class 'numpy.memmap'>
    """
    if math.prod(shape) * np.dtype(dtype).itemsize <= limit_mb * 2**20:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _new_file(folder: Path, suffix: str) -> Path:
    """Make an empty file of a name that no other has."""
    while True:
        path = folder / f".partial-{secrets.token_hex(8)}{suffix}"
        try:
            # Not mkstemp, whose files only their owner reads: results are for sharing as far as the
            # umask says, which the system knows. Python can't ask for it but by setting it.
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            continue
        os.close(handle)
        return path
