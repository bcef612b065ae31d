"""Files that are whole or absent: writes that a crash can't tear, and hashes of content."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


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
        if error.filename is None:  # a full disk says nothing of the file
            error.filename = str(target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


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

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "notes" / "a.txt"
    >>> write_text(path, "whole")
    >>> path.read_text()
    'whole'
    """
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8", newline="\n")


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
