"""Files that are kept by what they hold: a photograph that comes twice is there once."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from anomalist.errors import DataError
from anomalist.files import atomic_path

_HASH = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """A folder of files, each named by the SHA-256 of its bytes.

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

    def put(self, data: bytes) -> str:
        """Keep bytes, whole or not at all, and return their key."""
        key = hashlib.sha256(data).hexdigest()
        path = self.path(key)
        if not path.exists():
            with atomic_path(path) as temporary:
                temporary.write_bytes(data)
        return key

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

    def remove(self, key: str) -> None:
        """Remove the bytes of a key, if they are there."""
        self.path(key).unlink(missing_ok=True)
