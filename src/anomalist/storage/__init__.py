"""Object storage: what lies at addresses such as ``s3://bucket/folder``."""

from anomalist.storage.addresses import is_address
from anomalist.storage.objects import Object, Objects
from anomalist.storage.opening import find_objects, open_storage
from anomalist.storage.storage import Storage

__all__ = ["Object", "Objects", "Storage", "find_objects", "is_address", "open_storage"]
