"""A folder of this machine that stands for an address: all names are there, and content as read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from anomalist.errors import StorageError
from anomalist.origins import cache_folder, place_of
from anomalist.storage.addresses import split_address
from anomalist.storage.copies import TEXTS, decoded, open_copy, put_place, unwritten
from anomalist.storage.objects import Object, Objects
from anomalist.storage.opening import find_objects, open_storage
from anomalist.storage.storage import Storage

# Threads that wait for a storage take no processor.
_THREADS = 16


def mirrored(address: str) -> Path:
    """Return the place of what lies at an address, with the names of all that lies below it.

    Names, sizes and versions are of now: what has changed since it was copied is fetched again
    when it is read, and what is gone, is gone. Small texts are fetched now. Beside a single text,
    a manifest for one, whatever lies in its folder has its place, too.

    Parameters
    ----------
    address : str
        A bucket, a folder in it, or one object. A local one, ``file:///...``, is its own place.

    Returns
    -------
    Path
        A folder, or a file, to be read by `open_copy`.

    Raises
    ------
    ObjectNotFoundError
        If nothing is there.
    StorageError
        If the storage doesn't answer or refuses, or a name can't be that of a file.
    """
    local = open_storage(address).local
    if local is not None:
        return local
    storage, objects = find_objects(address)
    top = place_of(split_address(address)[0], decoded(storage.address))
    if storage.address == open_storage(address).address:
        _update(storage, objects, top)
        return top
    name = objects[0].key
    if name.lower().endswith(TEXTS):
        _update(storage, storage.list(), top)
    else:
        _put(storage, objects, top)
    return top / name


def _update(storage: Storage, objects: Objects, top: Path) -> None:
    _put(storage, objects, top)
    _remove_others(top, objects)


def _put(storage: Storage, objects: Objects, top: Path) -> None:
    """Make the places of objects, and fetch the texts among them."""
    folders = _folders(storage, objects)
    texts = list[Path]()
    try:
        partial = cache_folder() / "partial"
        partial.mkdir(parents=True, exist_ok=True)
        for folder in sorted(folders):
            _make(top / folder)
        for found in _with_versions(storage, objects):
            if found.key in folders:
                if found.size:
                    raise StorageError(
                        f"{storage.address_of(found.key)} is an object and a folder in one: rename"
                        " one of them"
                    )
                continue  # some programs make folders of empty objects
            path = top / found.key
            if not put_place(path, found, partial) and found.key.lower().endswith(TEXTS):
                texts.append(path)
    except OSError as error:
        raise unwritten(error) from error
    with ThreadPoolExecutor(_THREADS) as pool:
        for file in pool.map(open_copy, texts):
            file.close()


def _folders(storage: Storage, objects: Objects) -> set[str]:
    """Return the folders in which objects lie, those above them too."""
    folders = {""}
    for batch in objects.table.column("key").chunks:
        for key in batch:
            name = key.as_py()
            parts = name.split("/")
            if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts) or (
                "\0" in name
            ):
                raise StorageError(
                    f"{storage.address}: the object {name!r} has a name that no file can have:"
                    " rename it"
                )
            while (name := name.rpartition("/")[0]) not in folders:
                folders.add(name)
    return folders


def _make(folder: Path) -> None:
    """Make a folder, also where an object was that is gone."""
    if folder.is_file():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)


def _with_versions(storage: Storage, objects: Objects) -> Iterable[Object]:
    """Yield objects with sizes and versions; they are asked for where a listing doesn't say."""
    if objects.table.column("version").null_count == 0:
        return objects
    return _asked(storage, objects)


def _asked(storage: Storage, objects: Objects) -> Iterable[Object]:
    def ask(found: Object) -> Object:
        return found if found.version is not None else storage.stat(found.key) or found

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(ask, objects)


def _remove_others(top: Path, objects: Objects) -> None:
    """Remove the places of objects that are gone."""
    folders, chunks = list[str](), [pa.array([], pa.large_string())]
    for folder, _, names in os.walk(top):
        folders.append(folder)
        start = Path(folder).relative_to(top).as_posix() + "/"
        chunks.append(
            pa.array([name if start == "./" else start + name for name in names], pa.large_string())
        )
    there = pa.chunked_array(chunks)
    stays = pc.is_in(there, value_set=objects.table.column("key").combine_chunks())
    for key in there.filter(pc.invert(stays)):
        (top / key.as_py()).unlink(missing_ok=True)
    for folder in reversed(folders[1:]):
        with suppress(OSError):  # it isn't empty
            Path(folder).rmdir()
