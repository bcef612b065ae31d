"""A folder of this machine as a place that holds objects."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anomalist.errors import ObjectNotFoundError, StorageError
from anomalist.files import atomic_path
from anomalist.storage.objects import Object
from anomalist.storage.storage import Storage


@dataclass(frozen=True)
class Folder(Storage):
    """A folder; its objects are the files at any depth.

    Examples
    --------
    >>> import tempfile
    >>> folder = Folder(tempfile.mkdtemp())
    >>> folder.write("parts/a.txt", b"whole")
    >>> folder.keys(), folder.read("parts/a.txt"), folder.exists("b.txt")
    (['parts/a.txt'], b'whole', False)
    """

    @property
    def local(self) -> Path:
        """The folder."""
        return Path(self.address)

    def pages(self, prefix: str = "") -> Iterator[list[Object]]:
        """Yield the files of one folder after the other; what a crash left half-written isn't one.

        Raises
        ------
        StorageError
            If the folder, or one in it, can't be read, or a name isn't text.
        """
        for folder, _, names in os.walk(self.local, onerror=self._unlisted):
            inside = Path(folder).relative_to(self.local).as_posix() + "/"
            start = "" if inside == "./" else inside
            page = []
            for name in names:
                key = start + name
                if not key.startswith(prefix) or name.startswith(".partial-"):
                    continue
                try:
                    key.encode()
                except UnicodeEncodeError:
                    shown = os.fsencode(key).decode("utf-8", "backslashreplace")
                    raise StorageError(
                        f"{self.address}: the name {shown} isn't text: rename the file"
                    ) from None
                found = self.stat(key)
                if found is not None:
                    page.append(found)
            yield page

    def read(self, key: str) -> bytes:
        """Return the bytes of a file."""
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectNotFoundError(f"{self.address_of(key)} isn't there") from error
        except OSError as error:
            self._fail(error)
            raise

    def write(self, key: str, data: bytes) -> None:
        """Write a file, whole or not at all; its folders are made."""
        try:
            with atomic_path(self._path(key)) as path:
                path.write_bytes(data)
        except OSError as error:
            self._fail(error)

    def stat(self, key: str) -> Object | None:
        """Return the size of a file and when it was written; None if there is none."""
        try:
            found = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._fail(error)
            raise
        if not stat.S_ISREG(found.st_mode):
            return None
        return Object(key, found.st_size, str(found.st_mtime_ns))

    def delete(self, key: str) -> None:
        """Delete a file."""
        with suppress(FileNotFoundError, NotADirectoryError):
            try:
                self._path(key).unlink()
            except (FileNotFoundError, NotADirectoryError):
                raise
            except OSError as error:
                self._fail(error)

    def _path(self, key: str) -> Path:
        if key.startswith("/") or ".." in key.split("/"):
            raise StorageError(f"{key} leaves {self.address}")
        return self.local / key

    def _unlisted(self, error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if isinstance(error, StorageError):
            raise error
        where = error.filename or self.address
        if isinstance(error, FileNotFoundError):
            raise ObjectNotFoundError(f"{where} isn't there") from error
        raise StorageError(f"{where}: {error.strerror or error}") from error
