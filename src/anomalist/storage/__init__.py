"""Object storage: what lies at addresses such as ``s3://bucket/folder``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from anomalist.storage.addresses import is_address, on_disk

if TYPE_CHECKING:
    from anomalist.storage.copies import open_copy
    from anomalist.storage.mirroring import mirrored
    from anomalist.storage.objects import Object, Objects
    from anomalist.storage.opening import find_objects, open_storage
    from anomalist.storage.storage import Storage

__all__ = [
    "Object",
    "Objects",
    "Storage",
    "find_objects",
    "is_address",
    "mirrored",
    "on_disk",
    "open_copy",
    "open_storage",
]

# Imported when asked for: whoever has no address needs no columns.
_WHERE = {
    "Object": "objects",
    "Objects": "objects",
    "Storage": "storage",
    "find_objects": "opening",
    "mirrored": "mirroring",
    "open_copy": "copies",
    "open_storage": "opening",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
