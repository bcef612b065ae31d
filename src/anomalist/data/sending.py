"""Paths that go to other machines: the place of an object there is another than here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalist.origins import origin_of, place_of


@dataclass(frozen=True)
class Sent:
    """The place of an object, on its way.

    Parameters
    ----------
    address : str
        Of the object, with names as they are in the storage.
    size, stamp : int
        Of its place, which tell its version.
    """

    address: str
    size: int
    stamp: int


def portable(value: Any) -> Any:
    """Return what another machine can make a path of its own of; other values as they are.

    Examples
    --------
    >>> portable(Path("parts/1.png")).name, portable(0.5)
    ('1.png', 0.5)
    """
    if isinstance(value, tuple) and any(isinstance(entry, Path) for entry in value):
        return tuple(map(portable, value))
    if not isinstance(value, Path) or (address := origin_of(value)) is None:
        return value
    try:
        state = value.stat()
    except OSError:  # told by whoever opens it
        return Sent(address, 0, 0)
    return Sent(address, state.st_size, state.st_mtime_ns)


def local(value: Any) -> Any:
    """Return what was made `portable`, on the machine that it came to."""
    if isinstance(value, tuple) and any(isinstance(entry, Sent) for entry in value):
        return tuple(map(local, value))
    if not isinstance(value, Sent):
        return value
    path = place_of(*value.address.split("://", 1))
    if not path.exists():
        from anomalist.storage.copies import put_stamped

        put_stamped(path, value.size, value.stamp)
    return path
