"""Where copies of objects lie on this machine, and the addresses that they are copies of.

An object ``s3://bucket/parts/1.png`` has its place at ``FOLDER/s3/bucket/parts/1.png``, so that
readers of folders read addresses as well, and each place tells its address.
"""

# Errors need it, and so the first moment of the command line: no more is loaded than is there.
from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

#: Names the folder of the cache, and how large it may become, in gigabytes.
CACHE, CACHE_GB = "ANOMALIST_CACHE", "ANOMALIST_CACHE_GB"


def cache_folder() -> Path:
    """Return the folder of what may be deleted at any time, as it can be had again."""
    from pathlib import Path

    return Path(_cache_folder())


def objects_folder() -> Path:
    """Return the folder of the places of objects."""
    return cache_folder() / _OBJECTS


def place_of(scheme: str, name: str) -> Path:
    """Return the place of an object or a folder, by what stands before and after ``://``."""
    return objects_folder() / scheme / name


def origin_of(path: str | os.PathLike[str]) -> str | None:
    """Return the address whose place a path is; None if it is a path like any other.

    Names are as they are in the storage: those of links aren't quoted.

    Examples
    --------
    >>> origin_of(place_of("s3", "bucket/parts/1.png"))
    's3://bucket/parts/1.png'
    >>> origin_of("parts/1.png")
    """
    text = os.fspath(path)
    start = _start()
    if not text.startswith(start):
        return None
    scheme, _, rest = text[len(start) :].replace(os.sep, "/").partition("/")
    return f"{scheme}://{rest}" if rest else None


def named(text: str) -> str:
    """Return a text for people, with addresses where it has places of objects.

    Examples
    --------
    >>> named(f"{place_of('s3', 'bucket/1.png')} is empty")
    's3://bucket/1.png is empty'
    >>> named("parts/1.png is empty")
    'parts/1.png is empty'
    """
    start = _start()
    if start not in text:
        return text
    import re

    pattern = f"{re.escape(start)}([a-z0-9+.-]+){re.escape(os.sep)}"
    return re.sub(pattern, r"\1://", text)


def _start() -> str:
    return os.path.join(_cache_folder(), _OBJECTS, "")  # noqa: PTH118


def _cache_folder() -> str:
    given = os.environ.get(CACHE)
    if not given:
        caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
        given = os.path.join(caches, "anomalist")  # noqa: PTH118
    # Real, as whoever resolves a place must still find that it is one.
    if given not in _real:
        _real[given] = os.path.realpath(given)
    return _real[given]


_OBJECTS = "objects"
_real: dict[str, str] = {}
