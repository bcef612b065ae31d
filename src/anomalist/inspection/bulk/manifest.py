"""What a place of results that are kept by parts says of itself."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import pyarrow as pa  # type: ignore[import-untyped]

from anomalist.errors import ObjectNotFoundError, ResultsError
from anomalist.inspection.bulk.keys import MANIFEST, MARKER, listing_key, part_key
from anomalist.inspection.bulk.listing import (
    digest_of,
    listing_file,
    parts_of,
    read_listing,
)
from anomalist.inspection.bulk.rows import read_part
from anomalist.storage import Storage

_MADE_BY, _FORMAT = "anomalist predict", 1
# How many parts a file of the listing is for: few files, none of which is large.
_PARTS_LISTED = 64
_BETWEEN_WRITES = 10.0


@dataclass(frozen=True)
class Listed:
    """A file of the listing.

    Parameters
    ----------
    file : str
        Its key.
    first, parts : int
        Of which parts it has the objects: the first, and how many.
    objects : int
        How many they are.
    digest : str
        Changes with a path, a size or a version.
    """

    file: str
    first: int
    parts: int
    objects: int
    digest: str


@dataclass(frozen=True)
class Part:
    """A part that is done.

    Parameters
    ----------
    rows, normal, anomalous, undecided, failed : int
        How many rows it has, and of which kind.
    digest : str
        Of the objects that the rows are of.
    """

    rows: int
    normal: int
    anomalous: int
    undecided: int
    failed: int
    digest: str


@dataclass
class Manifest:
    """Of which call results are, which objects they are of, and which parts are done.

    It is written after what it names; that a part is done which it doesn't name yet, the part says
    itself.

    Parameters
    ----------
    storage : Storage
        Of the results.
    call : dict
        What the results depend on, as JSON values.
    roots : list of str
        The storages that the objects lie in.
    listings : list of Listed
        Which objects are in which part.
    done : dict of int to Part
        Parts by their numbers.
    """

    storage: Storage
    call: dict[str, Any]
    roots: list[str] = field(default_factory=list)
    listings: list[Listed] = field(default_factory=list)
    done: dict[int, Part] = field(default_factory=dict)
    _written: float = 0.0

    @classmethod
    def read(cls, storage: Storage) -> Self | None:
        """Return the one that is there; None if there is none.

        Raises
        ------
        ResultsError
            If it is damaged or of a later version.
        """
        try:
            text = storage.read(MANIFEST)
        except ObjectNotFoundError:
            return None
        where = storage.address_of(MANIFEST)
        try:
            known = json.loads(text)
            if known["made_by"] != _MADE_BY or known["format"] > _FORMAT:
                raise ResultsError(
                    f"{where} is none of this version's: choose another place for the results"
                )
            return cls(
                storage,
                known["call"],
                list(known["roots"]),
                [Listed(**one) for one in known["listings"]],
                {int(number): Part(**one) for number, one in known["done"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultsError(
                f"{where} is damaged: choose another place for the results, or replace what is"
                " there with --overwrite"
            ) from error

    @property
    def parts(self) -> int:
        """How many there are in all."""
        return max((one.first + one.parts for one in self.listings), default=0)

    @property
    def objects(self) -> int:
        """How many there are in all."""
        return sum(one.objects for one in self.listings)

    @property
    def complete(self) -> bool:
        """Whether every part is done."""
        return len(self.done) == self.parts

    def mark(self) -> None:
        """Say of what call the results are, so that their pictures aren't taken for photographs."""
        text = {"made_by": _MADE_BY, "calls": [self.call]}
        self.storage.write(MARKER, json.dumps(text, indent=1, ensure_ascii=False).encode())

    def write(self) -> None:
        """Write it."""
        text = {
            "made_by": _MADE_BY,
            "format": _FORMAT,
            "call": self.call,
            "complete": self.complete,
            "objects": self.objects,
            "rows": sum(part.rows for part in self.done.values()),
            "parts": self.parts,
            "roots": self.roots,
            "listings": [asdict(one) for one in self.listings],
            "done": {str(number): asdict(self.done[number]) for number in sorted(self.done)},
        }
        self.storage.write(MANIFEST, json.dumps(text, ensure_ascii=False).encode())
        self._written = time.monotonic()

    def finish(self, number: int, part: Part) -> None:
        """Take in a part that was written, and write this again if that was long ago."""
        self.done[number] = part
        if time.monotonic() - self._written > _BETWEEN_WRITES:
            self.write()

    def list_more(self, table: pa.Table) -> None:
        """Write which objects are in further parts, of a table that is sorted by these."""
        by_file: dict[int, list[pa.Table]] = {}
        for number, objects in parts_of(table):
            first = number - (number - self.parts) % _PARTS_LISTED
            by_file.setdefault(first, []).append(objects)
        self.listings += [
            self._list(first, pa.concat_tables(parts), len(parts))
            for first, parts in by_file.items()
        ]

    def list_again(self, table: pa.Table) -> None:
        """Write the listing again where objects hold something else than it says."""
        for i, one in enumerate(self.listings):
            start = sum(listed.objects for listed in self.listings[:i])
            objects = table.slice(start, one.objects)
            if digest_of(objects) != one.digest:
                self.listings[i] = self._list(one.first, objects, one.parts)

    def _list(self, first: int, objects: pa.Table, parts: int) -> Listed:
        key = listing_key(first)
        self.storage.write(key, listing_file(objects))
        return Listed(key, first, parts, objects.num_rows, digest_of(objects))

    def listed(self) -> pa.Table:
        """Return all objects, sorted by their parts."""
        return pa.concat_tables(read_listing(self.storage, one.file) for one in self.listings)

    def file_of(self, number: int) -> str:
        """Return the key of the listing that has a part."""
        return next(
            one.file for one in self.listings if one.first <= number < one.first + one.parts
        )

    def adopt(self, there: Collection[str]) -> None:
        """Take in parts that are there, but were written after this was written last."""
        for number in [n for n in self.done if part_key(n) not in there]:
            del self.done[number]  # somebody deleted it
        for number in range(self.parts):
            key = part_key(number)
            if number in self.done or key not in there:
                continue
            try:
                _, said = read_part(self.storage.read(key), self.storage.address_of(key))
            except ResultsError:  # made again
                continue
            if said.get("call") == self.call:
                self.done[number] = Part(**said["part"])
