"""Results on object storage: records and blobs as objects, by the keys that files have."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from anomalist.benchmark.inventory import Inventory
from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.store import RunStore
from anomalist.errors import DataError, ObjectNotFoundError
from anomalist.storage import open_storage

# Requests at a time where all records are read.
_AT_A_TIME = 16


class ObjectResultStore:
    """Results at an address as `ResultStore`, laid out as `RunStore` does in a folder.

    Workers on other machines write there themselves. What one of them leaves unfinished, as a
    training, stays in a folder of its own machine, and goes with the process.

    Parameters
    ----------
    address : str
        Such as ``s3://bucket/results``.

    Raises
    ------
    StorageError
        If it names no place.

    Examples
    --------
    >>> store = ObjectResultStore("memory://results")
    >>> with store.put("models/patchcore/key.txt") as path:
    ...     _ = path.write_text("whole")
    >>> store.keys("models/"), store.get("models/other")
    (['models/patchcore/key.txt'], None)
    >>> store.get("models/patchcore/key.txt").read_text()
    'whole'
    """

    def __init__(self, address: str) -> None:
        self._storage = open_storage(address)
        self._local: RunStore | None = None

    @property
    def reachable(self) -> bool:
        """Whether the address is of more than this machine."""
        return self._storage.local is None and not self._storage.address.startswith("memory:")

    @property
    def address(self) -> str:
        """Where the results are."""
        return self._storage.address

    def __getstate__(self) -> dict[str, Any]:
        return {"_storage": self._storage, "_local": None}

    def write(self, record: RunRecord) -> None:
        """Write a record, whole or not at all."""
        key = _key(record.detector, record.category, record.seed)
        self._storage.write(key, record.to_json().encode())

    def find(self, name: str, category: str, seed: int) -> RunRecord | None:
        """Return a record, whatever its settings, data and version; None if there is none."""
        try:
            return self._read(_key(name, category, seed))
        except (DataError, ObjectNotFoundError):
            return None

    def inventory(self) -> Inventory:
        """Return all records, sorted into those that belong together and the others."""
        keys = [
            key
            for key in self.keys("runs/")
            if key.count("/") == 2 and "_seed" in key and key.endswith(".json")
        ]

        def read(key: str) -> RunRecord | str | None:
            try:
                return self._read(key)
            except DataError as error:
                return str(error)
            except ObjectNotFoundError:  # it went while the others were read
                return None

        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            found = list(pool.map(read, keys))
        return Inventory.of(
            [each for each in found if isinstance(each, RunRecord)],
            [each for each in found if isinstance(each, str)],
        )

    def _read(self, key: str) -> RunRecord:
        data = self._storage.read(key)
        try:
            record = RunRecord.from_json(data.decode(), written="")
            if _key(record.detector, record.category, record.seed) != key:
                raise ValueError("it is of another run")
            return record
        except ValueError as error:
            raise DataError(
                f"{self._storage.address_of(key)} isn't a run record of this version: delete it,"
                " and the run is done again"
            ) from error

    @contextmanager
    def put(self, key: str) -> Iterator[Path]:
        """Give a local path to write to, which becomes the blob if the block succeeds."""
        with tempfile.TemporaryDirectory(prefix="anomalist-put-") as folder:
            path = Path(folder) / f"blob{PurePosixPath(key).suffix}"
            yield path
            self._storage.write(key, path.read_bytes())

    def get(self, key: str) -> Path | None:
        """Return a local copy of a blob as it is now; None if there is none."""
        try:
            data = self._storage.read(key)
        except ObjectNotFoundError:
            return None
        with self._here().put(f"got/{key}") as path:
            path.write_bytes(data)
        return self._here().get(f"got/{key}")

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of the blobs whose keys start so."""
        return self._storage.keys(prefix)

    def scratch(self, name: str, category: str, seed: int) -> Path:
        """Return what paths of local files start with that keep an unfinished run."""
        path = self._here().scratch(name, category, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def clear(self, name: str, category: str, seed: int) -> None:
        """Drop the files of an unfinished run, as it is done."""
        self._here().clear(name, category, seed)

    def _here(self) -> RunStore:
        """A folder of this process, which goes with it."""
        if self._local is None:
            folder = tempfile.mkdtemp(prefix="anomalist-results-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._local = RunStore(folder)
        return self._local

    @contextmanager
    def folder_of_tables(self) -> Iterator[Path]:
        """Give a folder with what tables and reports are made of, beside records.

        What is written there is put beside the records when the block succeeds, the report last.
        """
        with tempfile.TemporaryDirectory(prefix="anomalist-tables-") as name:
            folder = RunStore(name)
            there = self.keys("pictures/")
            for key in there:
                with folder.put(key) as path:
                    path.write_bytes(self._storage.read(key))
            yield folder.out
            for key in sorted(folder.keys(""), key=lambda key: key == "report.html"):
                if key not in there:
                    self._storage.write(key, (folder.out / key).read_bytes())


def _key(name: str, category: str, seed: int) -> str:
    return f"runs/{name}/{category}_seed{seed}.json"
