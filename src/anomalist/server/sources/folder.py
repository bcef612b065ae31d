"""A folder that is watched: each photograph that is new in it is inspected once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from anomalist.errors import DataError
from anomalist.inspection import Watch
from anomalist.server.addresses import Place
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection
from anomalist.server.inspecting import Inspector, Upload
from anomalist.server.keeping import stored_key
from anomalist.server.sources.source import Source

# Read and inspected together.
_TOGETHER = 8
# Names that are asked for in one query.
_ASKED = 500


@dataclass(frozen=True)
class _File:
    path: Path
    modified: int
    size: int
    #: A file that is there again after a restart, unchanged, has the same.
    key: str

    @property
    def stored(self) -> str | None:
        """Its key as it is kept."""
        return stored_key(Upload(name="", data=b"", source=FolderSource.kind, key=self.key))


class FolderSource(Source):
    """Inspects what is new in a folder, at any depth, once it is whole.

    A file is told by its path, size and time: unchanged, it is inspected once, also where the
    server was stopped in between; written again, it is inspected again. Files stay where they are.
    A folder that isn't there, or goes away, is waited for.

    Parameters
    ----------
    place : Place
        Its address is the folder, or a pattern such as ``parts/**/*.jpg``.
    inspector : Inspector
        Takes photographs.
    database : Database
        Knows which were inspected.
    seconds : float
        Time between two looks.
    max_bytes : int
        A larger file isn't read.
    """

    kind = "folder"

    def __init__(
        self, place: Place, inspector: Inspector, database: Database, seconds: float, max_bytes: int
    ) -> None:
        super().__init__(f"folder {place.camera}", inspector)
        self._place, self._database = place, database
        self._seconds, self._max_bytes = seconds, max_bytes

    def bring(self) -> None:
        """Look at the folder until it is stopped."""
        watch = Watch([self._place.address], self._seconds, sleep=self._pause, tell=self._told)
        for new in watch:
            files = self._unknown(new)
            for start in range(0, len(files), _TOGETHER):
                if self._stopped.is_set():
                    return
                self._take(watch, files[start : start + _TOGETHER])
            if self._stopped.is_set():
                return

    def _pause(self, seconds: float) -> None:
        self.wait(seconds)

    def _told(self, line: str) -> None:
        self.tell(None if line.endswith("is there again") else line)

    def _take(self, watch: Watch, files: Sequence[_File]) -> None:
        uploads = list[Upload]()
        for file in files:
            try:
                if file.size > self._max_bytes:
                    raise DataError(f"its {file.size / 1e6:.1f} MB are more than are taken")
                data = file.path.read_bytes()
            except FileNotFoundError:
                continue  # gone since
            except OSError as error:
                self.tell(f"{file.path}: {error.strerror}; trying again")
                watch.again(file.path)
                continue
            except DataError as error:
                self.tell(f"{file.path}: {error}")
                self.brought += 1
                self.failed += 1
                continue
            if not watch.is_as_yielded(file.path):
                continue  # it comes again, whole
            uploads.append(
                Upload(
                    name=self._name(file.path),
                    data=data,
                    source=self.kind,
                    camera=self._place.camera,
                    key=file.key,
                )
            )
        if uploads and self.inspect(uploads, self._place.model) is not None:
            self.tell(None)

    def _name(self, path: Path) -> str:
        folder = Path(self._place.address)
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name

    def _unknown(self, paths: Sequence[Path]) -> list[_File]:
        """Return those that weren't inspected, the oldest first."""
        files = list(self._files(paths))
        known = set[str | None]()
        with self._database.reading() as session:
            for start in range(0, len(files), _ASKED):
                keys = [file.stored for file in files[start : start + _ASKED]]
                known |= set(
                    session.scalars(select(Inspection.key).where(Inspection.key.in_(keys)))
                )
        new = [file for file in files if file.stored not in known]
        return sorted(new, key=lambda file: (file.modified, str(file.path)))

    def _files(self, paths: Sequence[Path]) -> Iterator[_File]:
        for path in paths:
            try:
                stat = path.stat()
            except OSError:  # gone since it was listed
                continue
            told = f"{self._place.camera}\0{path}\0{stat.st_mtime_ns}\0{stat.st_size}"
            key = f"folder-{hashlib.sha256(told.encode()).hexdigest()[:40]}"
            yield _File(path, stat.st_mtime_ns, stat.st_size, key)
