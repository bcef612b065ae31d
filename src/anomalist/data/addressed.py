"""A data set at an address, which each machine opens there for itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalist.data.imageset import Category, Dataset

if TYPE_CHECKING:
    from anomalist.data.understanding import Understanding


class Addressed:
    """A data set that is pickled as its address and how it was asked for.

    Parameters
    ----------
    address : str
        Where it is.
    opening : callable
        Opens it; called with the address and ``options``.
    options : dict
        How it was asked for.
    """

    def __init__(
        self, address: str, opening: Callable[..., Dataset], options: dict[str, Any]
    ) -> None:
        self.address = address
        self._asked = opening, options
        self._opened: Dataset | None = opening(address, **options)

    @property
    def _dataset(self) -> Dataset:
        if self._opened is None:  # it came from another machine, or process
            opening, options = self._asked
            self._opened = opening(self.address, **options)
        return self._opened

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self._dataset.name

    @property
    def root(self) -> Path:
        """The place of the address in the cache."""
        return self._dataset.root

    @property
    def categories(self) -> list[str]:
        """The names of its categories."""
        return self._dataset.categories

    def category(self, name: str) -> Category:
        """Return the category of that name."""
        return self._dataset.category(name)

    def understand(self, name: str) -> Understanding:
        """Return what the images of a category are taken for."""
        return self._dataset.understand(name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __repr__(self) -> str:
        return f"Addressed({self.address!r}, {self._dataset.name!r})"
