"""Where results go: records and blobs, in a folder or in what a cluster shares."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from anomalist.benchmark.inventory import Inventory
from anomalist.benchmark.records import RunRecord
from anomalist.errors import DataError
from anomalist.files import atomic_path, write_text


class ResultStore(Protocol):
    """Keeps what runs give; all that one task may know of another.

    A record belongs to a name, a category and a seed. A blob has a key, as a file has a path:
    ``models/patchcore/bottle_seed0.anomalist``. Both are written whole or not at all, and what was
    there before is replaced. It can be pickled, so that workers that reach it share it.
    """

    @property
    def reachable(self) -> bool:
        """Whether other machines reach the same by it; where not, results are carried to it."""

    def find(self, name: str, category: str, seed: int) -> RunRecord | None:
        """Return a record, whatever its settings, data and version; None if there is none."""

    def write(self, record: RunRecord) -> None:
        """Write a record."""

    def inventory(self) -> Inventory:
        """Return all records, sorted into those that belong together and the others."""

    def put(self, key: str) -> AbstractContextManager[Path]:
        """Give a local path to write to, which becomes the blob if the block succeeds."""

    def get(self, key: str) -> Path | None:
        """Return a local path of a blob; None if there is none."""

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of the blobs whose keys start so."""

    def scratch(self, name: str, category: str, seed: int) -> Path:
        """Return what paths of local files start with that keep an unfinished run.

        Where they outlive the process, a training goes on from them; where not, it starts anew.
        """

    def clear(self, name: str, category: str, seed: int) -> None:
        """Drop the files of an unfinished run, as it is done."""


class RunStore:
    """A results folder as `ResultStore`: records below ``runs``, blobs as files by their keys.

    Several processes may use one folder at once: no file is ever seen half written.

    Parameters
    ----------
    out : str or Path
        The results folder.

    Examples
    --------
    >>> import tempfile
    >>> store = RunStore(tempfile.mkdtemp())
    >>> with store.put("models/patchcore/key.txt") as path:
    ...     _ = path.write_text("whole")
    >>> store.keys("models/"), store.get("models/other"), store.records()
    (['models/patchcore/key.txt'], None, [])
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self.folder = self.out / "runs"

    @property
    def reachable(self) -> bool:
        """A folder may be of this machine alone."""
        return False

    def path(self, name: str, category: str, seed: int) -> Path:
        """Return where the record of a run lies."""
        return self.folder / name / f"{category}_seed{seed}.json"

    def write(self, record: RunRecord) -> None:
        """Write a record, whole or not at all."""
        write_text(self.path(record.detector, record.category, record.seed), record.to_json())

    def read(self, path: Path) -> RunRecord:
        """Read one record.

        Raises
        ------
        DataError
            If the file is no record.
        """
        try:
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
            record = RunRecord.from_json(path.read_text(encoding="utf-8"), written=written)
            if self.path(record.detector, record.category, record.seed) != path:
                raise ValueError("it is of another run")
            return record
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} isn't a run record of this version: delete it, and the run is done again"
            ) from error

    def find(self, name: str, category: str, seed: int) -> RunRecord | None:
        """Return a record, whatever its settings, data and version; None if there is none."""
        try:
            return self.read(self.path(name, category, seed))
        except DataError:
            return None

    def inventory(self) -> Inventory:
        """Return all records, sorted into those that belong together and the others."""
        found, unreadable = [], []
        for path in self.folder.glob("*/*_seed*.json"):
            try:
                found.append(self.read(path))
            except DataError as error:
                unreadable.append(str(error))
        return Inventory.of(found, unreadable)

    def records(self) -> list[RunRecord]:
        """Return the records that tables show, by detector, category and seed; see `Inventory`."""
        return self.inventory().records

    @contextmanager
    def put(self, key: str) -> Iterator[Path]:
        """Give a path to write to, which becomes the blob if the block succeeds."""
        with atomic_path(self.out / key) as path:
            yield path

    def get(self, key: str) -> Path | None:
        """Return the file of a blob; None if there is none."""
        path = self.out / key
        return path if path.is_file() else None

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of the blobs whose keys start so."""
        top = self.out / prefix.rpartition("/")[0]
        keys = (f.relative_to(self.out).as_posix() for f in top.rglob("*") if f.is_file())
        return sorted(key for key in keys if key.startswith(prefix))

    @contextmanager
    def folder_of_tables(self) -> Iterator[Path]:
        """Give the folder in which tables and the report are written: the results folder."""
        yield self.out

    def scratch(self, name: str, category: str, seed: int) -> Path:
        """Return what paths of files start with that keep an unfinished run: beside its record."""
        return self.path(name, category, seed).with_suffix("")

    def clear(self, name: str, category: str, seed: int) -> None:
        """Drop the files of an unfinished run, as it is done."""
        base = self.scratch(name, category, seed)
        for leftover in base.parent.glob(f"{glob.escape(base.name)}.*"):
            if leftover.suffix != ".json":
                leftover.unlink(missing_ok=True)
