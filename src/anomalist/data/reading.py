"""The one reader of folders: what is a category, and what is learnt from and tested on in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from anomalist.data.excluding import excluded
from anomalist.data.flags import Flags
from anomalist.data.imageset import Category
from anomalist.data.layout import check_category, existing_folder
from anomalist.data.names import composed
from anomalist.data.roles import Meaning, is_place
from anomalist.data.sorting import Sorter
from anomalist.data.tree import Node, tree_of
from anomalist.data.understanding import Understanding
from anomalist.data.walking import walk
from anomalist.data.words import Role
from anomalist.errors import DataError


class Reading:
    """What a folder holds: categories, and of each which images are good, defective and masks.

    Names of folders say it, at any depth; see `~anomalist.data.roles.meaning_of`. What lies below
    a name of masks, of tests or of what isn't good is never learnt from. Where names leave it
    open, a mask says whether its image is good. What is still open is an error that shows the
    folders and the flag that settles it.

    Parameters
    ----------
    root : str or Path
        The folder.
    good, bad, masks : sequence of str
        Names of folders at any depth, or paths below the root, that hold good images, ones that
        aren't, and masks, whatever their names say.
    exclude : iterable of str or Path
        Images to leave out: paths or patterns, below the folder or not, of images or folders;
        ``@FILE`` names a file with one a line.
    unnamed_good : bool
        Whether images in folders none of which says anything are taken for good ones.
    loose_good : bool
        Whether they are so also where others lie right in the folder, beside these folders.
    test_share : float
        Of the good images of a category that isn't split, the share that is held out to test on,
        if there are defects.
    seed : int
        Another seed holds out others.

    Raises
    ------
    DataError
        If there is no such folder, it can't be read whole, or a flag means none of its folders.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        good: Iterable[str | Path] = (),
        bad: Iterable[str | Path] = (),
        masks: Iterable[str | Path] = (),
        exclude: Iterable[str | Path] = (),
        unnamed_good: bool = False,
        loose_good: bool = False,
        test_share: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.root = existing_folder(root)
        self.unnamed_good = unnamed_good
        self.loose_good = loose_good
        self.test_share = test_share
        self.seed = seed
        self.listing = walk(self.root)
        self._tree = tree_of(self.listing)
        self.flagged = Flags(self._tree, good, bad, masks)
        self.excluded = excluded(self.listing, exclude)
        unread = [(p, why) for p, why in self.listing.unreadable if not self.excluded.covers(p)]
        if unread:
            path, reason = unread[0]
            more = f" ({len(unread) - 1} more can't, either)" if len(unread) > 1 else ""
            raise DataError(
                f"{path} can't be read: {reason}{more}; so it isn't known what to learn from: give"
                " the right to read it, or leave it out with --exclude"
            )
        self._nodes = self._categories()
        self.beside = self._beside()
        self._known: dict[str, Understanding] = {}

    @property
    def categories(self) -> list[str]:
        """The names of the categories, sorted."""
        return list(self._nodes)

    @property
    def folders(self) -> dict[str, Path]:
        """The folders of the categories."""
        return {name: node.path for name, node in self._nodes.items()}

    @property
    def is_split(self) -> bool:
        """Whether folders of a category say which images are for training and which for tests."""
        return any(self._splits(node) for node in self._nodes.values())

    def category(self, name: str) -> Category:
        """Return a category; see `understand`."""
        found = self.understand(name)
        return Category(found.name, found.train, found.test)

    def understand(self, name: str) -> Understanding:
        """Return what the images of a category are taken for.

        Raises
        ------
        DataError
            If there is no category of that name, no image to learn from, masks can't be matched,
            or it isn't clear which images are good.
        """
        alike = [known for known in self._nodes if composed(known) == composed(name)]
        if len(alike) == 1:
            name = alike[0]
        check_category(name, self.categories, self.root)
        if name not in self._known:
            self._known[name] = Sorter(self, name, self._nodes[name]).read()
        return self._known[name]

    def meaning(self, node: Node) -> Meaning:
        """Return what the name of a folder says, or a flag that names it."""
        meaning = self.flagged.meaning(node)
        if meaning.split is None or meaning.whole or not self._trains(node):
            return meaning
        # Of a category that is called so: a test tube.
        return Meaning(meaning.what, None, meaning.whole)

    def _splits(self, node: Node) -> bool:
        return any(self.meaning(folder).split is not None for folder in node.folders.values())

    def _labels(self, node: Node) -> bool:
        return any(
            self.meaning(folder).what in (Role.GOOD, Role.DEFECTIVE)
            for folder in node.folders.values()
        )

    def _categories(self) -> dict[str, Node]:
        top = self._tree
        name = self.root.resolve().name or "folder"
        while not top.files and len(top.folders) == 1 and not self._tells(top):
            (top,) = top.folders.values()
            if self._trains(top):
                return {top.name: top}
        if self._trains(top) or self._splits(top) or self._labels(top) or self.flagged.good:
            return {name: self._tree}
        split = {n: node for n, node in top.folders.items() if self._trains(node)}
        sorted_ = {
            n: node
            for n, node in top.folders.items()
            if n not in split
            and self.meaning(node).what is None
            and self._labels(node)
            and not is_place(n)
        }
        if split or len(sorted_) > 1:
            return dict(sorted({**split, **sorted_}.items()))
        if len(sorted_) == 1 and len(top.folders) == 1:
            return sorted_
        return {name: self._tree}

    def _beside(self) -> list[Path]:
        """The images that lie in none of several categories."""
        if any(node is self._tree for node in self._nodes.values()):
            return []
        inside = {node.parts for node in self._nodes.values()}
        return [
            path
            for node in self._tree.walk()
            if not any(node.parts[: len(parts)] == parts for parts in inside)
            for path in node.files
            if path not in self.excluded.files
        ]

    def _tells(self, node: Node) -> bool:
        """Whether a folder in one has a name that says something."""
        return any(self.meaning(f).what or self.meaning(f).split for f in node.folders.values())

    def _trains(self, node: Node) -> bool:
        """Whether it is a category in the layout of MVTec AD: with a folder to train on."""
        return any(
            self.meaning(folder) == Meaning(None, Role.TRAIN, whole=True)
            for folder in node.folders.values()
        )


class FolderDataset:
    """What data sets share that are read from names of folders."""

    root: Path
    _reading: Reading

    @classmethod
    def of(cls, reading: Reading) -> Self:
        """Return the data set that was read."""
        data = cls.__new__(cls)
        data._read(reading)
        return data

    def _read(self, reading: Reading) -> None:
        self._reading = reading
        self.root = reading.root

    @property
    def categories(self) -> list[str]:
        """The names of the categories, sorted: folders below the root, or the root itself."""
        return self._reading.categories

    def category(self, name: str) -> Category:
        """Return a category.

        Raises
        ------
        DataError
            If there is no category of that name, it has no good image, or masks can't be matched.
        """
        return self._reading.category(name)

    def understand(self, name: str) -> Understanding:
        """Return what the images of a category are taken for, those that are left out included."""
        return self._reading.understand(name)
