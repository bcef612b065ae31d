"""Object storage: what lies at addresses such as ``s3://bucket/folder``."""

from anomalist.storage.addresses import is_address

__all__ = ["is_address"]
