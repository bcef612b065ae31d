"""The objects that are to be scored: listed in columns, cut into parts, held against new ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from anomalist.data import IMAGE_SUFFIXES
from anomalist.data.names import existing, is_pattern, plural, split_pattern
from anomalist.data.picture import KINDS
from anomalist.data.roles import meaning_of
from anomalist.data.walking import HEATMAPS, PAGE, RESULTS_MARKER, SHEET
from anomalist.data.words import Role
from anomalist.errors import DataError, ObjectNotFoundError, ResultsError
from anomalist.files import absolute
from anomalist.inspection.inputs import list_inputs
from anomalist.storage import Objects, Storage, find_objects, is_address, open_storage

#: Of which part an object is, in which of the storages it lies, where, of what size and version.
LISTED = pa.schema(
    [
        ("part", pa.int64()),
        ("root", pa.int32()),
        ("path", pa.large_string()),
        ("size", pa.int64()),
        ("version", pa.large_string()),
    ]
)
# A name that begins with a dot; "." and ".." are names like others to a storage.
_HIDDEN = r"(^|/)\.([^./]|\.[^/])"


@dataclass
class Found:
    """What inputs mean now.

    Parameters
    ----------
    table : pyarrow.Table
        Of `LISTED`, but for the part; each object once.
    roots : list of str
        The storages that they lie in.
    notes : list of str
        What was left out, a line each.
    unreadable : int
        How many folders couldn't be looked into.
    """

    table: pa.Table
    roots: list[str]
    notes: list[str] = field(default_factory=list)
    unreadable: int = 0


def find_inputs(inputs: Sequence[str], out: Storage) -> Found:
    """List the images that arguments of a command line mean: addresses and paths.

    Parameters
    ----------
    inputs : sequence of str
        Addresses of folders or objects; folders, files or patterns of this machine.
    out : Storage
        Of results, whose pictures are left out.

    Raises
    ------
    DataError
        If an argument means no image.
    StorageError
        If a storage doesn't answer or refuses.
    """
    found = Found(LISTED.empty_table().drop(["part"]), [])
    for entry in inputs:
        number = len(found.roots)
        if is_address(entry):
            root, columns, notes = _at_address(entry)
        else:
            root, columns, notes, unreadable = _on_machine(entry, out)
            found.unreadable += unreadable
        numbers = pa.repeat(pa.scalar(number, pa.int32()), columns.num_rows)
        columns = columns.add_column(0, "root", numbers)
        if number:  # what an earlier one named as well
            known = pc.is_in(columns["path"], value_set=found.table["path"].combine_chunks())
            columns = columns.filter(pc.invert(known))
        found.table = pa.concat_tables([found.table, columns.cast(found.table.schema)])
        found.roots.append(root)
        found.notes += notes
    return found


def _at_address(entry: str) -> tuple[str, pa.Table, list[str]]:
    try:
        storage, objects = find_objects(entry, (*sorted(IMAGE_SUFFIXES), RESULTS_MARKER))
    except ObjectNotFoundError as error:
        raise DataError(f"there is no image at {entry} ({KINDS}): check the address") from error
    table, notes = (objects.table, []) if _is_one(entry, storage) else _photographs(objects)
    if not table.num_rows:
        raise DataError("; ".join([f"{entry} holds no image ({KINDS})", *notes]))
    start = pa.scalar(storage.address_of("x")[:-1], pa.large_string())
    path = pc.binary_join_element_wise(start, table["key"], pa.scalar("", pa.large_string()))
    return (
        storage.address,
        pa.table({"path": path, "size": table["size"], "version": table["version"]}),
        notes,
    )


def _is_one(entry: str, storage: Storage) -> bool:
    """Whether an address names one object, which is meant whatever it is called."""
    return open_storage(entry).address != storage.address


def _photographs(objects: Objects) -> tuple[pa.Table, list[str]]:
    """Leave out what is hidden, masks, and pictures that were written among results."""
    table, notes = objects.table, []
    key = table["key"]
    marked = table.filter(pc.ends_with(key, RESULTS_MARKER))["key"].to_pylist()
    written = pc.ends_with(key, RESULTS_MARKER)
    for marker in marked:
        folder = marker.removesuffix(RESULTS_MARKER)
        for start in (f"{folder}{HEATMAPS}/", f"{folder}{SHEET}", f"{folder}{PAGE}/"):
            written = pc.or_(written, pc.starts_with(key, start))
    pictures = pc.sum(written).as_py() or 0
    if pictures > len(marked):
        notes.append(f"left out {plural(pictures - len(marked), 'picture')} of earlier results")
    table = table.filter(pc.invert(written))
    hidden = pc.match_substring_regex(table["key"], _HIDDEN)
    notes += _left_out(table, hidden, "hidden object")
    table = table.filter(pc.invert(hidden))
    masks = _in_mask_folders(table["key"])
    notes += _left_out(table, masks, "mask")
    return table.filter(pc.invert(masks)), notes


def _left_out(table: pa.Table, mask: pa.ChunkedArray, noun: str) -> list[str]:
    count = pc.sum(mask).as_py() or 0
    if not count:
        return []
    example = table["key"][pc.index(mask, True).as_py()].as_py()
    return [f"left out {plural(count, noun)}, such as {example}"]


def _in_mask_folders(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    folders = pc.replace_substring_regex(keys, r"[^/]*$", "")
    of_masks = [
        folder
        for folder in pc.unique(folders).to_pylist()
        if any(meaning_of(part).what is Role.MASK for part in folder.split("/"))
    ]
    return pc.is_in(folders, value_set=pa.array(of_masks, pa.large_string()))


def _on_machine(entry: str, out: Storage) -> tuple[str, pa.Table, list[str], int]:
    listed = list_inputs([entry], results=out.local)
    paths = [absolute(path) for path in listed]
    notes, unreadable = listed.notes(), len(listed.unreadable)
    text = [path for path in paths if _is_text(path)]
    if len(text) < len(paths):
        notes.append(
            f"left out {plural(len(paths) - len(text), 'file')} whose names aren't text in UTF-8:"
            " rename them"
        )
    place = existing(entry)
    if not place.is_dir():
        place = (
            split_pattern(entry)[0] if is_pattern(entry) and not place.exists() else place.parent
        )
    sizes, versions = list[int | None](), list[str | None]()
    for path in text:
        try:
            state = Path(path).stat()
        except OSError:  # its reader tells
            sizes.append(None)
            versions.append(None)
            continue
        sizes.append(state.st_size)
        versions.append(str(state.st_mtime_ns))
    table = pa.table(
        {
            "path": pa.array(text, pa.large_string()),
            "size": pa.array(sizes, pa.int64()),
            "version": pa.array(versions, pa.large_string()),
        }
    )
    return absolute(place), table, notes, unreadable


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Change:
    """How inputs differ from what was listed of them before.

    Parameters
    ----------
    listed : pyarrow.Table
        What was listed before, of `LISTED`, with the sizes and versions of now.
    new : pyarrow.Table
        What has come since, in the order of now, without parts.
    changed, gone : int
        How many of those listed before hold something else, or aren't there.
    """

    listed: pa.Table
    new: pa.Table
    changed: int
    gone: int


def compare(listed: pa.Table, now: pa.Table) -> Change:
    """Hold what is there now against what was listed before.

    Examples
    --------
    >>> columns = dict(root=[0, 0], path=["a", "b"], size=[1, 1], version=["1", "1"])
    >>> listed = pa.table({"part": [0, 0], **columns}).cast(LISTED)
    >>> now = dict(root=[0, 0], path=["b", "c"], size=[1, 1], version=["2", "1"])
    >>> change = compare(listed, pa.table(now).cast(LISTED.remove(0)))
    >>> change.new["path"].to_pylist(), change.changed, change.gone
    (['c'], 1, 1)
    """
    place = pc.index_in(listed["path"], value_set=now["path"].combine_chunks())
    there = pc.is_valid(place)
    renewed, differs = listed, None
    for name in ("size", "version"):
        value = now[name].take(place)
        # Null-safe: a storage that tells no version tells none of either.
        same = pc.or_(
            pc.fill_null(pc.equal(value, listed[name]), False),
            pc.and_(pc.is_null(value), pc.is_null(listed[name])),
        )
        other = pc.and_(there, pc.invert(same))
        differs = other if differs is None else pc.or_(differs, other)
        column = pc.if_else(there, value, listed[name])
        renewed = renewed.set_column(renewed.column_names.index(name), name, column)
    new = now.filter(pc.invert(pc.is_in(now["path"], value_set=listed["path"].combine_chunks())))
    gone = listed.num_rows - (pc.sum(there).as_py() or 0)
    return Change(renewed.cast(LISTED), new, pc.sum(differs).as_py() or 0, gone)


def numbered(table: pa.Table, size: int, first: int) -> pa.Table:
    """Give objects the numbers of their parts, so many a part, the first of them given."""
    parts = pa.array(np.arange(table.num_rows) // size + first, pa.int64())
    return table.add_column(0, "part", parts).cast(LISTED)


def parts_of(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """Yield the parts of a table that is sorted by them: number and objects."""
    start = 0
    runs = pc.run_end_encode(table["part"].combine_chunks()) if table.num_rows else None
    if runs is None:
        return
    for end, number in zip(runs.run_ends.to_pylist(), runs.values.to_pylist(), strict=True):
        yield number, table.slice(start, end - start)
        start = end


def digest_of(objects: pa.Table) -> str:
    """Return 64 hexadecimal digits that change with a path, a size or a version."""
    digest = hashlib.sha256()
    columns = (objects[name].to_pylist() for name in ("path", "size", "version"))
    for path, size, version in zip(*columns, strict=True):
        text = f"{path}\0{'' if size is None else size}\0{version or ''}\0"
        digest.update(text.encode())
    return digest.hexdigest()


def listing_file(table: pa.Table) -> bytes:
    """Return the bytes of a listing."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.cast(LISTED), sink, compression="zstd")
    return bytes(sink.getvalue())


def read_listing(storage: Storage, key: str) -> pa.Table:
    """Return a listing that was written among results.

    Raises
    ------
    ResultsError
        If it is missing or damaged.
    """
    try:
        return pq.read_table(pa.BufferReader(storage.read(key))).cast(LISTED)
    except (pa.ArrowException, ValueError, ObjectNotFoundError) as error:
        raise ResultsError(
            f"{storage.address_of(key)} is missing or damaged, and so it isn't known which objects"
            " are in which part: replace the results with --overwrite"
        ) from error
