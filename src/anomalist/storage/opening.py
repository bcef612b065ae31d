"""From an address or a folder to the storage that it names."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from urllib.parse import unquote
from urllib.request import url2pathname

from anomalist.errors import ObjectNotFoundError, StorageError
from anomalist.storage.addresses import is_address, split_address
from anomalist.storage.folder import Folder
from anomalist.storage.objects import Objects
from anomalist.storage.remote import Remote
from anomalist.storage.storage import Storage


def open_storage(address: str | os.PathLike[str]) -> Storage:
    """Return the storage at an address or in a folder; nothing is asked of it yet.

    Parameters
    ----------
    address : str or path
        ``s3://bucket/folder``, or a folder of this machine, which need not be there.

    Raises
    ------
    StorageError
        If it carries a credential, or names no place.

    Examples
    --------
    >>> open_storage("s3://bucket/parts/").address_of("a.png")
    's3://bucket/parts/a.png'
    >>> open_storage("memory://parts").write("a.txt", b"whole")
    >>> open_storage("memory://parts").keys()
    ['a.txt']
    """
    if not is_address(address):
        return Folder(os.fspath(address))
    scheme, rest = split_address(str(address))
    if scheme in ("file", "local"):
        if not rest.startswith("/"):
            raise StorageError(f"{address} names another machine: write file:///FOLDER")
        return Folder(str(Path(url2pathname(rest))))
    return Remote(f"{scheme}://{rest}")


def find_objects(
    address: str | os.PathLike[str], suffixes: tuple[str, ...] = ()
) -> tuple[Storage, Objects]:
    """Return the objects at an address: those below it, or the one that it names.

    Parameters
    ----------
    address : str or path
        A bucket, a folder in it, or one object.
    suffixes : tuple of str
        How names of objects in a folder may end, in small letters.

    Returns
    -------
    tuple
        The storage, and the listing of what was found in it; keys are relative to the storage,
        which for one object is its folder.

    Raises
    ------
    ObjectNotFoundError
        If nothing is there.
    StorageError
        If the storage doesn't answer or refuses.

    Examples
    --------
    >>> open_storage("memory://line").write("parts/a.png", b"...")
    >>> storage, objects = find_objects("memory://line/parts/a.png")
    >>> storage.address, [each.key for each in objects]
    ('memory://line/parts', ['a.png'])
    """
    storage = open_storage(address)
    above, name = _above(storage)
    # A name with a suffix is most often one object; a folder is asked for only if it isn't.
    looks_single = bool(PurePosixPath(name).suffix)
    if looks_single and (found := above.stat(name)) is not None:
        return above, Objects.of([found])
    objects = storage.list(suffixes)
    if len(objects):
        return storage, objects
    found = None if looks_single or not name else above.stat(name)
    if found is None:
        kinds = f" that ends in {', '.join(suffixes)}" if suffixes else ""
        raise ObjectNotFoundError(f"{storage.address}: there is nothing{kinds}: check the address")
    return above, Objects.of([found])


def _above(storage: Storage) -> tuple[Storage, str]:
    """Return the storage one level up, and the key there; the same and no key for a bucket."""
    if storage.local is not None:
        return Folder(str(storage.local.parent)), storage.local.name
    folder, _, name = storage.address.rpartition("/")
    if folder.endswith("/"):
        return storage, ""
    linked = folder.startswith(("http://", "https://"))
    return Remote(folder), unquote(name) if linked else name
