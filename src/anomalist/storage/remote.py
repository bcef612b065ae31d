"""A bucket, or whatever else fsspec reaches, as a place that holds objects."""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from anomalist.errors import ObjectNotFoundError, StorageError
from anomalist.storage.addresses import split_address
from anomalist.storage.faults import fault
from anomalist.storage.objects import Object
from anomalist.storage.storage import Storage

T = TypeVar("T")

_S3, _LINKS = ("s3", "s3a"), ("http", "https")
# These show an object only when all of it has come; elsewhere it is written aside and moved.
_WHOLE = (*_S3, "gs", "gcs", "az", "abfs", "abfss", "hf", "memory")
# What a listing calls that which changes with the content, the surest first.
_VERSIONS = ("ETag", "etag", "content_md5", "md5Hash", "blob_id", "Last-Modified", "LastModified",
             "last_modified", "updated", "mtime", "created")  # fmt: skip


@dataclass(frozen=True)
class Remote(Storage):
    """Objects below an address, by the package of fsspec for its scheme.

    Credentials, endpoints and the like are what that package finds in the environment and in its
    own files.
    """

    @property
    def local(self) -> None:
        """None: it is on no folder of this machine."""

    @property
    def scheme(self) -> str:
        """What stands before ``://``."""
        return split_address(self.address)[0]

    def pages(self, prefix: str = "") -> Iterator[list[Object]]:
        """Yield objects page by page from S3, elsewhere folder by folder."""
        if self.scheme in _S3:
            yield from self._s3_pages(prefix)
        elif self.scheme in _LINKS:
            yield from self._linked("", prefix)
        else:
            yield from self._walked(prefix)

    def read(self, key: str) -> bytes:
        """Return the bytes of an object, by one request."""
        # s3fs would ask for the size first, and then for ranges: two answers for a small object,
        # and two contents in one for an object that changes meanwhile.
        more = {"max_concurrency": 1} if self.scheme in _S3 else {}
        data = self._do(key, lambda files: files.cat_file(self._path(key), **more))
        return bytes(data)

    def write(self, key: str, data: bytes) -> None:
        """Write an object by one request, or by parts that show when all have come."""
        if self.scheme in _LINKS:
            raise StorageError(f"{self.address_of(key)}: links can be read, but not written to")

        def whole(files: Any) -> None:
            files.pipe_file(self._path(key), data)

        def aside(files: Any) -> None:
            path = self._path(key)
            folder, _, name = path.rpartition("/")
            temporary = f"{folder}/.partial-{secrets.token_hex(8)}-{name}"
            files.makedirs(folder, exist_ok=True)
            files.pipe_file(temporary, data)
            files.mv(temporary, path)

        self._do(key, whole if self.scheme in _WHOLE else aside)

    def stat(self, key: str) -> Object | None:
        """Return what the storage says of an object; None if it says that there is none."""

        def ask(files: Any) -> Object | None:
            files.invalidate_cache()
            found = files.info(self._path(key))
            # What a server answers for a folder looks like a page.
            page = self.scheme in _LINKS and found.get("mimetype") == "text/html"
            if found.get("type") == "directory" or (page and not key.endswith((".html", ".htm"))):
                return None
            return self._object(key, found)

        return self._do_if_there(key, ask, None)

    def delete(self, key: str) -> None:
        """Delete an object."""
        if self.scheme in _LINKS:
            raise StorageError(f"{self.address_of(key)}: links can be read, but not deleted")
        self._do_if_there(key, lambda files: files.rm_file(self._path(key)), None)

    def address_of(self, key: str) -> str:
        """Return the address of an object; in a link, names are quoted."""
        return super().address_of(quote(key) if self.scheme in _LINKS else key)

    def _s3_pages(self, prefix: str) -> Iterator[list[Object]]:
        bucket, _, folder = self._path("").partition("/")
        start = f"{folder}/" if folder else ""
        asked = {"Bucket": bucket, "Prefix": start + prefix}
        while True:
            answer = self._do("", lambda files: files.call_s3("list_objects_v2", **asked.copy()))
            yield [
                self._object(entry["Key"][len(start) :], {**entry, "size": entry["Size"]})
                for entry in answer.get("Contents", ())
                if len(entry["Key"]) > len(start)
            ]
            if not answer.get("IsTruncated"):
                return
            asked["ContinuationToken"] = answer["NextContinuationToken"]

    def _walked(self, prefix: str) -> Iterator[list[Object]]:
        start = self._path("") + "/"
        waiting = [start + prefix.rpartition("/")[0]]
        while waiting:
            folder = waiting.pop()

            page = []
            for entry in self._do_if_there("", partial(_children, folder), list[dict[str, Any]]()):
                path = entry["name"].lstrip("/") if not start.startswith("/") else entry["name"]
                if not path.startswith(start):
                    continue
                if entry["type"] == "directory":
                    waiting.append(path)
                elif path[len(start) :].startswith(prefix):
                    page.append(self._object(path[len(start) :], entry))
            yield page

    def _linked(self, folder: str, prefix: str) -> Iterator[list[Object]]:
        """Yield what index pages link to, below the address."""
        url, seen, waiting = self._path("") + "/", {""}, [folder]
        while waiting:
            folder = waiting.pop()

            page = []
            ask = partial(_links, url + quote(folder))
            for link in map(html.unescape, self._do_if_there(folder, ask, list[str]())):
                if "?" in link or "#" in link or not link.startswith(url):
                    continue
                key = unquote(link[len(url) :])
                if ".." in key.split("/") or "//" in key or key in seen:
                    continue
                seen.add(key)
                if not key.endswith("/"):
                    page.append(Object(key, None, None))
                elif key.startswith(prefix) or prefix.startswith(key):
                    waiting.append(key)
            yield [each for each in page if each.key.startswith(prefix)]

    def _path(self, key: str) -> str:
        """Return what fsspec calls an object of this storage."""
        scheme, rest = split_address(self.address)
        if scheme in _LINKS:
            place = quote(rest, safe="/%:@&=+$,;~?!*'()[]")  # what is quoted already, stays
            return f"{scheme}://{place}" + (f"/{quote(key)}" if key else "")
        # Not _strip_protocol, which takes more than that away from some names.
        start = "/" + rest.lstrip("/") if scheme == "memory" else rest
        return f"{start}/{key}" if key else start

    def _object(self, key: str, found: dict[str, Any]) -> Object:
        version = next((found[name] for name in _VERSIONS if found.get(name)), None)
        text = None if version is None else str(version).strip('"')
        return Object(key, found.get("size"), text)

    def _do_if_there(self, key: str, work: Callable[[Any], T], absent: T) -> T:
        try:
            return self._do(key, work)
        except ObjectNotFoundError:
            return absent

    def _do(self, key: str, work: Callable[[Any], T]) -> T:
        """Do something with the file system; what fails is told of the object's address."""
        address, scheme = self.address_of(key), self.scheme
        try:
            return work(_file_system(scheme, self.address))
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except Exception as error:
            raise fault(error, address, scheme) from error


def _children(folder: str, files: Any) -> list[dict[str, Any]]:
    files.invalidate_cache()
    found: list[dict[str, Any]] = files.ls(folder.rstrip("/"), detail=True)
    return found


def _links(url: str, files: Any) -> list[str]:
    found: list[str] = files.ls(url, detail=False)
    return found


def _file_system(scheme: str, address: str) -> Any:
    """Return fsspec's object for a scheme; it keeps one a process, and knows of forks."""
    try:
        import fsspec  # type: ignore[import-untyped]
    except ImportError as error:
        raise StorageError(
            f"{address} takes fsspec, which isn't installed: pip install 'anomalist[cluster]'"
        ) from error
    if scheme not in fsspec.available_protocols():
        raise StorageError(
            f"{address}: nothing is known of {scheme}://: use s3://, gs://, az://, https:// or "
            "hf://datasets/"
        )
    # Links come quoted from here: what a name has of #, ? and % is of the name.
    return fsspec.filesystem(scheme, **({"encoded": True} if scheme in _LINKS else {}))
