"""What data sets share of which a list, or a rule of their own, says what each image is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anomalist.data.excluding import excluded
from anomalist.data.imageset import Category, ImageSet
from anomalist.data.layout import check_category, existing_folder
from anomalist.data.names import images
from anomalist.data.sample import Sample
from anomalist.data.tree import is_below
from anomalist.data.understanding import Understanding
from anomalist.data.walking import walk
from anomalist.errors import DataError

#: Why defects of a list of images to train on are left out of them.
NOT_GOOD = "they lie among those to train on, but aren't good"


@dataclass
class Listed:
    """A category as its list has it.

    Parameters
    ----------
    folder : Path
        Of its images.
    source : str
        What says so, for messages: ``"split_csv/1cls.csv"``.
    train, test : list of Sample
        Images to learn from and to test on.
    left_out : dict of str to list of Path
        Images that are neither, by the reason.
    notes : list of str
        What was assumed.
    is_split : bool
        Whether the list, and not a choice made here, says which are for tests.
    named : set of Path
        All files that it names, masks of images that are left out among them.
    """

    folder: Path
    source: str
    train: list[Sample] = field(default_factory=list)
    test: list[Sample] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_split: bool = True
    named: set[Path] = field(default_factory=set)

    def leave(self, why: str, paths: Iterable[Path]) -> None:
        """Leave images out, for a reason that a note tells."""
        if paths := list(paths):
            self.left_out.setdefault(why, []).extend(paths)


class ListedDataset:
    """A data set whose images a list names.

    Parameters
    ----------
    root : str or Path
        Its folder.
    exclude : iterable of str or Path
        Images to leave out, as `~anomalist.data.open_dataset` takes them.

    Raises
    ------
    DataError
        If there is no such folder, or one to leave out isn't there.
    """

    name: str

    def __init__(self, root: str | Path, *, exclude: Iterable[str | Path] = ()) -> None:
        self.root = existing_folder(root)
        self.listing = walk(self.root)
        self.excluded = excluded(self.listing, exclude)
        self._known: dict[str, Listed] = {}

    @property
    def categories(self) -> list[str]:
        """The names of the categories that are there, sorted."""
        raise NotImplementedError

    def _list(self, name: str) -> Listed:
        """Read a category that is there."""
        raise NotImplementedError

    def category(self, name: str) -> Category:
        """Return a category.

        Raises
        ------
        DataError
            If there is no category of that name, a file of it is missing, or there is no good image
            to learn from.
        """
        found = self._sets(name)
        if not self._listed(name).train:
            raise DataError(f"{self._listed(name).source} lists no {name} image to learn from")
        return found

    def _sets(self, name: str) -> Category:
        listed = self._listed(name)
        train, test = (
            ImageSet(
                (
                    sample
                    for sample in sorted(samples, key=lambda s: s.path.as_posix())
                    if sample.path not in self.excluded.files
                ),
                f"{name}/{part}",
            )
            for part, samples in (("train", listed.train), ("test", listed.test))
        )
        return Category(name, train, test)

    def understand(self, name: str) -> Understanding:
        """Return what the images of a category are taken for, also if none is to learn from."""
        listed, found = self._listed(name), self._sets(name)
        masks = tuple(dict.fromkeys(file for sample in found.test for file in sample.mask_files))
        known = {*found.train.paths, *found.test.paths, *masks, *self.excluded.files, *listed.named}
        known |= {path for paths in listed.left_out.values() for path in paths}
        gone = tuple(p for p in sorted(self.excluded.files) if is_below(p, listed.folder))
        left = {why: tuple(paths) for why, paths in listed.left_out.items()}
        unlisted = tuple(self._unlisted(listed.folder, known))
        if unlisted:
            left[f"{listed.source} doesn't list them"] = unlisted
        notes = [*listed.notes]
        notes += [
            f"left out {images(len(paths))}, such as {paths[0]}: {why}"
            for why, paths in left.items()
        ]
        return Understanding(
            name,
            listed.folder,
            listed.is_split,
            found.train,
            found.test,
            masks,
            left,
            gone,
            (*notes, *self.listing.notes()),
        )

    def _unlisted(self, folder: Path, known: set[Path]) -> Iterator[Path]:
        return (p for p in self.listing.files if p not in known and is_below(p, folder))

    def _listed(self, name: str) -> Listed:
        check_category(name, self.categories, self.root)
        if name not in self._known:
            self._known[name] = self._list(name)
        return self._known[name]


def check_there(paths: Sequence[Path], source: Any) -> None:
    """Refuse a list that names files that aren't there.

    Raises
    ------
    DataError
        It tells the first, and how many there are.
    """
    gone = [path for path in paths if not path.is_file()]
    if gone:
        more = f" (nor {len(gone) - 1} more of its {len(paths)} files)" if len(gone) > 1 else ""
        raise DataError(f"there is no file {gone[0]}, which {source} lists{more}")
