"""What can be done with a place that holds objects, be it a bucket or a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anomalist.storage.objects import Object, Objects


@dataclass(frozen=True)
class Storage(ABC):
    """Objects below an address, by keys: names with slashes, relative to the address.

    It holds its address and nothing else, so that it can be pickled and used by threads; each
    process that uses it has the credentials of its own environment.

    Attributes
    ----------
    address : str
        The address or the folder, with no slash at its end.
    """

    address: str

    @abstractmethod
    def pages(self, prefix: str = "") -> Iterator[list[Object]]:
        """Yield all objects whose keys begin with ``prefix``, some at a time, in any order."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the bytes of an object.

        Raises
        ------
        ObjectNotFoundError
            If it isn't there.
        StorageError
            If the storage doesn't answer, or refuses.
        """

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Write an object, whole or not at all; one of that key is replaced.

        Raises
        ------
        StorageError
            If the storage doesn't answer, or refuses.
        """

    @abstractmethod
    def stat(self, key: str) -> Object | None:
        """Return what a listing says of one object; None if there is none of that key.

        Raises
        ------
        StorageError
            If that can't be known.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object; that there is none is well.

        Raises
        ------
        StorageError
            If the storage doesn't answer, or refuses.
        """

    @property
    @abstractmethod
    def local(self) -> Path | None:
        """The folder, if it is one on this machine."""

    def exists(self, key: str) -> bool:
        """Tell whether there is an object of a key."""
        return self.stat(key) is not None

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with ``prefix``, in order: of few objects."""
        return [each.key for each in self.list(prefix=prefix)]

    def list(self, suffixes: tuple[str, ...] = (), prefix: str = "") -> Objects:
        """Return all objects, but not the empty ones that stand for folders.

        A folder that isn't there holds nothing: a bucket knows no other.

        Parameters
        ----------
        suffixes : tuple of str
            How names may end, such as ``".png"``, in small letters; whichever with none.
        prefix : str
            How keys begin.

        Raises
        ------
        StorageError
            If the storage doesn't answer or refuses.
        """
        return Objects.of(
            each
            for page in self.pages(prefix)
            for each in page
            if not each.key.endswith("/") and (not suffixes or each.key.lower().endswith(suffixes))
        )

    def address_of(self, key: str) -> str:
        """Return the address of an object, as people read it and as it can be opened."""
        return f"{self.address}/{key}" if key else self.address
