"""Several data folders as one data set, whose categories have names of their own."""

from __future__ import annotations

import dataclasses
import os.path
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalist.data.formats import open_dataset
from anomalist.data.imageset import Category, Dataset
from anomalist.data.layout import check_category
from anomalist.errors import ParameterError
from anomalist.storage import is_address

if TYPE_CHECKING:
    from anomalist.data.understanding import Understanding


class Several:
    """Several data sets as one.

    Categories keep their names. Those that several of the data sets have are called after the
    folder, too, and so is the one category of a plain folder: ``new-bottle`` and ``old-bottle``.

    Parameters
    ----------
    datasets : mapping of str to Dataset
        By the folder or address that each was opened from; two or more.

    Raises
    ------
    ParameterError
        If two categories would have one name all the same.
    """

    name = "several"

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        self.datasets = list(datasets.values())
        times = Counter(c for dataset in self.datasets for c in dataset.categories)
        self._parts: dict[str, tuple[Dataset, str]] = {}
        for (folder, label), dataset in zip(
            _labels(list(datasets)), datasets.values(), strict=True
        ):
            for category in dataset.categories:
                name = category
                if times[category] > 1:
                    name = label if category == folder else f"{label}-{category}"
                if name in self._parts:
                    raise ParameterError(
                        f"two categories would be called {name}: benchmark their folders apart, or"
                        " link one under another name"
                    )
                self._parts[name] = dataset, category

    @property
    def root(self) -> Path:
        """The folder that all of them lie in."""
        return Path(os.path.commonpath([dataset.root.absolute() for dataset in self.datasets]))

    @property
    def categories(self) -> list[str]:
        """The names of the categories."""
        return list(self._parts)

    def part(self, name: str) -> tuple[Dataset, str]:
        """Return the data set that has a category, and what it calls it."""
        check_category(name, self.categories, self.root)
        return self._parts[name]

    def category(self, name: str) -> Category:
        """Return the category of that name."""
        dataset, own = self.part(name)
        return dataclasses.replace(dataset.category(own), name=name)

    def understand(self, name: str) -> Understanding:
        """Return what the images of a category are taken for."""
        dataset, own = self.part(name)
        return dataset.understand(own)

    def __repr__(self) -> str:
        return f"Several({self.datasets!r})"


def open_datasets(roots: Sequence[str | Path], **options: Any) -> Dataset:
    """Open one data set, or several as one.

    Parameters
    ----------
    roots : sequence of str or Path
        Folders or addresses.
    **options
        What `open_dataset` takes, for each of them.

    Returns
    -------
    Dataset
        That of a single root as it is.

    Raises
    ------
    DataError
        As `open_dataset` does.
    ParameterError
        If there is no root, one comes twice, or two categories would have one name.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("new/bottle/good", "old/bottle/good", "old/cork/good"):
    ...     (root / name).mkdir(parents=True)
    ...     (root / name / "1.png").touch()
    >>> open_datasets([root / "new/bottle", root / "old/bottle", root / "old/cork"]).categories
    ['new-bottle', 'old-bottle', 'cork']
    """
    if not roots:
        raise ParameterError("there is no data folder")
    opened: dict[str, Dataset] = {}
    for root in roots:
        place = str(root) if is_address(root) else _absolute(Path(root))
        if place in opened:
            raise ParameterError(f"{root} is given twice")
        opened[place] = open_dataset(root, **options)
    return Several(opened) if len(opened) > 1 else next(iter(opened.values()))


def part_of(dataset: Dataset, category: str) -> tuple[Dataset, str]:
    """Return the data set that has a category, of several or itself, and what it calls it."""
    return dataset.part(category) if isinstance(dataset, Several) else (dataset, category)


def _absolute(path: Path) -> str:
    """A folder as it is called, also where that is a link."""
    return str(path.resolve() if ".." in path.parts else path.absolute())


def _labels(places: Sequence[str]) -> list[tuple[str, str]]:
    """The folder of each place, and as many parts of its path as tell all of them apart."""
    parts = [[part for part in place.replace("\\", "/").split("/") if part] for place in places]
    for count in range(1, max(map(len, parts)) + 1):
        labels = ["-".join(of[-count:]) for of in parts]
        if len(set(labels)) == len(labels):
            break
    return [(of[-1], label.replace(":", "")) for of, label in zip(parts, labels, strict=True)]
