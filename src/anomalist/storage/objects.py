"""A listing of objects, in columns: a million take the memory of their names, not of Python's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]


class Object(NamedTuple):
    """One object of a listing.

    Attributes
    ----------
    key : str
        Its name below the address of the storage, with slashes.
    size : int or None
        Bytes; None where the storage doesn't say.
    version : str or None
        What changes with the content: the storage's checksum, or when it was written. None where
        the storage doesn't say.
    """

    key: str
    size: int | None
    version: str | None


SCHEMA = pa.schema(
    [("key", pa.large_string()), ("size", pa.int64()), ("version", pa.large_string())]
)


class Objects:
    """Objects by their keys, in the order of the keys' UTF-8 bytes.

    Parameters
    ----------
    table : pyarrow.Table
        Columns ``key``, ``size`` and ``version``, in any order of rows.

    Examples
    --------
    >>> objects = Objects.of([Object("b.png", 7, "2"), Object("a.png", 5, "1")])
    >>> len(objects), objects[0], [each.key for each in objects]
    (2, Object(key='a.png', size=5, version='1'), ['a.png', 'b.png'])
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table.take(pc.sort_indices(table, [("key", "ascending")])).combine_chunks()

    @classmethod
    def of(cls, objects: Iterable[Object], page: int = 10_000) -> Objects:
        """Return the listing of objects as they come; no more than a page waits as Python's.

        Parameters
        ----------
        objects : iterable of Object
            In any order.
        page : int
            How many are put into columns at a time.
        """
        batches, waiting = [], list[Object]()
        for each in objects:
            waiting.append(each)
            if len(waiting) == page:
                batches.append(_batch(waiting))
                waiting.clear()
        batches.append(_batch(waiting))
        return cls(pa.Table.from_batches(batches, SCHEMA))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, index: int) -> Object:
        return Object(*(self.table.column(name)[index].as_py() for name in SCHEMA.names))

    def __iter__(self) -> Iterator[Object]:
        for batch in self.table.to_batches(max_chunksize=1000):
            yield from map(Object, *(column.to_pylist() for column in batch.columns))

    def digest(self) -> str:
        """Return 64 hexadecimal digits that change with a key, a size or a version.

        Examples
        --------
        >>> Objects.of([]).digest() == Objects.of([Object("a", 1, None)]).digest()
        False
        """
        digest = hashlib.sha256()
        for key, size, version in self:
            for part in (key, "" if size is None else str(size), version or ""):
                digest.update(part.encode() + b"\0")
        return digest.hexdigest()


def _batch(objects: list[Object]) -> pa.RecordBatch:
    columns = zip(*objects, strict=True) if objects else ((), (), ())
    return pa.record_batch(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )
