"""The one reader of folders: which images are good, which are for tests, and which are masks."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anomalist.data.imageset import Category, ImageSet, Sample
from anomalist.data.layout import check_category, existing_folder
from anomalist.data.names import (
    cleaned,
    composed,
    difference,
    existing,
    Pattern,
    is_pattern,
    read_names,
)
from anomalist.data.pairing import Matched, key_of, masks_beside, match, read_annotations
from anomalist.data.roles import Meaning, Role, is_kind, is_neutral, is_place, meaning_of
from anomalist.data.walking import Listing, walk
from anomalist.errors import DataError

#: What an image that its mask alone calls defective is called.
MASKED = "defect"
# A mask that marks fewer pixels is black but for slips: nobody draws a defect of 2 x 2 pixels.
FEWEST_PIXELS = 4
_TOLD = 3
_LISTED = 12

_SPLITS = (None, Role.TRAIN, Role.VALIDATION, Role.TEST)


@dataclass(eq=False)
class _Node:
    """A folder, with what was listed in it."""

    path: Path
    name: str
    parts: tuple[str, ...]
    files: list[Path] = field(default_factory=list)
    folders: dict[str, _Node] = field(default_factory=dict)

    def walk(self) -> Iterator[_Node]:
        yield self
        for folder in self.folders.values():
            yield from folder.walk()

    @functools.cached_property
    def count(self) -> int:
        return len(self.files) + sum(folder.count for folder in self.folders.values())


@dataclass(eq=False)
class _Item:
    """An image and what names say of it."""

    path: Path
    parts: tuple[str, ...]
    split: Role | None
    what: Role | None
    kind: str
    why: str = ""
    # The folder that nobody has said anything of.
    unnamed: str = ""


@dataclass(frozen=True, eq=False)
class Understanding:
    """What the images of a category are taken for.

    Parameters
    ----------
    name : str
        Of the category.
    folder : Path
        Its folder.
    is_split : bool
        Whether its folders say which images are for training and which for tests.
    train, test : ImageSet
        Good images to learn from; good and defective ones to test on.
    masks : tuple of Path
        Files of masks and outlines.
    left_out : dict of str to tuple of Path
        Images that are neither learnt from nor tested on, by the reason.
    excluded : tuple of Path
        Images that were left out on request.
    notes : tuple of str
        What was assumed, and what a person should know of the listing.
    """

    name: str
    folder: Path
    is_split: bool
    train: ImageSet
    test: ImageSet
    masks: tuple[Path, ...]
    left_out: dict[str, tuple[Path, ...]]
    excluded: tuple[Path, ...]
    notes: tuple[str, ...]

    def groups(self) -> list[tuple[str, list[Path]]]:
        """Return what images are taken for, each with its files."""
        tested: dict[str, list[Path]] = defaultdict(list)
        for sample in self.test:
            tested[sample.defect].append(sample.path)
        found = [("good, to learn from", self.train.paths)]
        found += [(f"{kind}, to test on", paths) for kind, paths in _good_first(tested)]
        found += [("masks", list(self.masks))] if self.masks else []
        found += [("left out on request", list(self.excluded))] if self.excluded else []
        found += [(f"left out: {why}", list(paths)) for why, paths in self.left_out.items()]
        return found

    def describe(self) -> str:
        """Return what images are taken for, a line each: how many, with examples."""
        rows = [
            (what, str(len(paths)), ", ".join(self._shown(path) for path in _spread(paths)))
            for what, paths in self.groups()
        ]
        wide, long = (max(len(row[i]) for row in rows) for i in (0, 1))
        lines = [f"{self.name}, in {self.folder}:"]
        lines += [f"  {count:>{long}}  {what:<{wide}}  {shown}" for what, count, shown in rows]
        return "\n".join(line.rstrip() for line in (*lines, *self.notes))

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "groups": [
                {"what": what, "images": len(paths), "examples": [str(p) for p in _spread(paths)]}
                for what, paths in self.groups()
            ],
            "notes": list(self.notes),
        }

    def _shown(self, path: Path) -> str:
        return (
            path.relative_to(self.folder).as_posix() if _is_below(path, self.folder) else str(path)
        )


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
        self._tree = _tree(self.listing)
        self._flags = _Flags(self._tree, good, bad, masks)
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
        self._known: dict[str, Understanding] = {}

    @property
    def categories(self) -> list[str]:
        """The names of the categories, sorted."""
        return list(self._nodes)

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
            self._known[name] = _Reader(self, name, self._nodes[name]).read()
        return self._known[name]

    def meaning(self, node: _Node) -> Meaning:
        """What the name of a folder says, or a flag that names it."""
        return self._flags.meaning(node)

    @property
    def flagged(self) -> _Flags:
        """The flags."""
        return self._flags

    def _splits(self, node: _Node) -> bool:
        return any(self.meaning(folder).split is not None for folder in node.folders.values())

    def _labels(self, node: _Node) -> bool:
        return any(
            self.meaning(folder).what in (Role.GOOD, Role.DEFECTIVE)
            for folder in node.folders.values()
        )

    def _categories(self) -> dict[str, _Node]:
        top = self._tree
        name = self.root.resolve().name or "folder"
        while not top.files and len(top.folders) == 1 and not self._tells(top):
            (top,) = top.folders.values()
            if self._trains(top):
                return {top.name: top}
        if self._trains(top) or self._splits(top) or self._labels(top) or self._flags.good:
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

    def _tells(self, node: _Node) -> bool:
        """Whether a folder in one has a name that says something."""
        return any(self.meaning(f).what or self.meaning(f).split for f in node.folders.values())

    def _trains(self, node: _Node) -> bool:
        """Whether it is a category in the layout of MVTec AD: with a folder to train on."""
        return any(
            self.meaning(folder) == Meaning(None, Role.TRAIN, whole=True)
            for folder in node.folders.values()
        )


class _Flags:
    """Folders that a person has said something of."""

    def __init__(
        self,
        tree: _Node,
        good: Iterable[str | Path],
        bad: Iterable[str | Path],
        masks: Iterable[str | Path],
    ) -> None:
        self.said: dict[tuple[str, ...], Role] = {}
        self.files: list[Path] = []
        self.mask_folders: list[Path] = []
        given = ((Role.GOOD, good), (Role.DEFECTIVE, bad), (Role.MASK, masks))
        for role, flag in zip((r for r, _ in given), ("good", "bad", "masks"), strict=True):
            entries = dict(given)[role]
            for entry in _apart_at_commas(tree, entries):
                found = list(_named(tree, str(entry)))
                if not found and role is Role.MASK and existing(tree.path / str(entry)).is_file():
                    self.files.append(existing(tree.path / str(entry)))
                    continue
                if not found:
                    raise DataError(_no_folder(tree, flag, str(entry)))
                self.mask_folders += [node.path for node in found if role is Role.MASK]
                for node in found:
                    if self.said.setdefault(node.parts, role) is not role:
                        raise DataError(
                            f"{node.path} can't be both {self.said[node.parts].value} and"
                            f" {role.value}: name it in one of --good, --bad and --masks"
                        )
        roles = set(self.said.values())
        self.good, self.bad, self.masks = (
            role in roles for role in (Role.GOOD, Role.DEFECTIVE, Role.MASK)
        )

    def meaning(self, node: _Node) -> Meaning:
        meaning = meaning_of(node.name)
        role = self.said.get(node.parts)
        return meaning if role is None else Meaning(role, meaning.split, whole=True)

    def is_said(self, node: _Node) -> bool:
        return node.parts in self.said


def _apart_at_commas(tree: _Node, entries: Iterable[str | Path]) -> Iterator[str]:
    """Entries, and those that are lists, unless a folder is called so."""
    for entry in map(str, [entries] if isinstance(entries, str | Path) else entries):
        if "," in entry and next(_named(tree, entry), None) is None:
            yield from filter(None, (part.strip() for part in entry.split(",")))
        else:
            yield entry


def _named(tree: _Node, entry: str) -> Iterator[_Node]:
    wanted = composed(cleaned(entry)).replace(os.sep, "/").rstrip("/")
    wanted = wanted.removeprefix("./").casefold()
    place = os.path.abspath(entry)  # noqa: PTH100
    for node in tree.walk():
        if not node.parts:
            continue
        below = composed("/".join(node.parts)).casefold()
        if wanted in (composed(node.name).casefold(), below):
            yield node
        elif os.path.abspath(node.path) == place:  # noqa: PTH100
            yield node


def _no_folder(tree: _Node, flag: str, entry: str) -> str:
    names = list(dict.fromkeys(node.name for node in tree.walk() if node.parts))
    told = difference(entry, names)
    there = f"it has {', '.join(names[:_LISTED])}{', ...' * (len(names) > _LISTED)}"
    return (
        f"{tree.path} has no folder {entry!r}, which --{flag} names:"
        f" {told or (there if names else 'it has no folder')}"
    )


def _tree(listing: Listing) -> _Node:
    start = len(listing.root.parts)
    tree = _Node(listing.root, listing.root.name, ())
    nodes: dict[tuple[str, ...], _Node] = {(): tree}
    for path in listing.folders:
        parts = path.parts[start:]
        nodes[parts] = node = _Node(path, parts[-1], parts)
        nodes[parts[:-1]].folders[node.name] = node
    # A folder by its text: quicker than by its parts for each of its files.
    by_folder: dict[str, _Node] = {}
    for path in listing.files:
        folder = str(path)[: -len(path.name)]
        node_ = by_folder.get(folder)
        if node_ is None:
            node_ = by_folder[folder] = nodes[path.parts[start:-1]]
        node_.files.append(path)
    return tree


class _Reader:
    """Reads one category."""

    def __init__(self, reading: Reading, name: str, node: _Node) -> None:
        self.reading = reading
        self.name = name
        self.node = node
        self.items: list[_Item] = []
        self.masks: dict[Path, tuple[str, ...]] = {}
        self.notes: list[str] = []
        self.left_out: dict[str, list[Path]] = defaultdict(list)

    def read(self) -> Understanding:
        self._visit(self.node, _State())
        self._links()
        self._beside()
        matched = self._match()
        self._by_masks(matched)
        self._check_strays(matched)
        is_split = any(item.split is not None for item in self.items)
        self._settle(is_split)
        train, test = self._split(matched) if is_split else self._hold_out(matched)
        out = self.reading.excluded
        gone = [p for p in sorted(out.files, key=str) if any(p == i.path for i in self._sorted_out)]
        kept_train = [s for s in train if s.path not in out.files]
        kept_test = [s for s in test if s.path not in out.files]
        left = {why: tuple(paths) for why, paths in self.left_out.items() if paths}
        notes = [*self.notes, *self._left_notes(left), *self.reading.listing.notes()]
        return Understanding(
            self.name,
            self.node.path,
            is_split,
            ImageSet(kept_train, f"{self.name}/train"),
            ImageSet(kept_test, f"{self.name}/test"),
            tuple(self.masks),
            left,
            tuple(gone),
            tuple(notes),
        )

    # What names say.

    def _visit(self, node: _Node, state: _State) -> None:
        for path in node.files:
            self._put(path, node, state)
        labels = self._has_good(node)
        for child in node.folders.values():
            meaning = self.reading.meaning(child)
            self._visit(child, self._next(child, meaning, state, labels))

    def _put(self, path: Path, node: _Node, state: _State) -> None:
        parts = (*node.parts[len(self.node.parts) :], path.name)
        if state.what is Role.MASK:
            self.masks[path] = parts
        else:
            self.items.append(
                _Item(path, parts, state.split, state.what, state.kind, state.why, state.unnamed)
            )

    def _has_good(self, node: _Node) -> bool:
        return any(
            self.reading.meaning(f).what is Role.GOOD and f.count for f in node.folders.values()
        )

    def _next(self, child: _Node, meaning: Meaning, state: _State, labels: bool) -> _State:
        """What is known of a folder in one of which a state is known."""
        said = self.reading.flagged.is_said(child)
        split = max(state.split, meaning.split, key=_SPLITS.index)
        state = state.but(split=split)
        if state.what is Role.MASK or meaning.what is Role.MASK:
            return state.but(what=Role.MASK)
        if said and meaning.what is not None:
            kind = "good" if meaning.what is Role.GOOD else child.name
            return state.but(what=meaning.what, kind=kind, generic=True, unnamed="")
        if state.what is Role.UNSURE:
            return state
        if meaning.what is Role.UNSURE:
            return state.but(
                what=Role.UNSURE, why=f"{child.name!r} doesn't say whether they are good"
            )
        if meaning.what is Role.GOOD:
            if state.what is Role.DEFECTIVE:
                why = f"{child.name!r} lies below a folder of what isn't good"
                return state.but(what=Role.UNSURE, why=why)
            return state.but(what=Role.GOOD, kind="good", unnamed="")
        if meaning.what is Role.DEFECTIVE:
            if state.what is Role.DEFECTIVE:
                return self._refined(child, state)
            generic = meaning.whole
            return state.but(what=Role.DEFECTIVE, kind=child.name, generic=generic, unnamed="")
        if state.what is Role.DEFECTIVE:
            return self._refined(child, state)
        if state.what is Role.GOOD:
            return state
        if meaning.split is not None:
            return state
        return self._unnamed(child, state, labels)

    def _refined(self, child: _Node, state: _State) -> _State:
        """Below ``NG``, a folder names a kind of defect, unless it tells cameras or days apart."""
        if not state.generic or is_place(child.name) or is_neutral(child.name):
            return state
        return state.but(kind=child.name, generic=False)

    def _unnamed(self, child: _Node, state: _State, labels: bool) -> _State:
        """What a folder is whose name says nothing: it depends on what is beside and below it."""
        if self._tells_below(child) or (is_neutral(child.name) and not child.name.isdigit()):
            return state
        if labels:
            return state.but(what=Role.DEFECTIVE, kind=child.name)
        if state.split is Role.TEST and not is_place(child.name):
            return state.but(what=Role.DEFECTIVE, kind=child.name)
        if is_kind(child.name):
            return state.but(what=Role.DEFECTIVE, kind=child.name)
        return state.but(unnamed=state.unnamed or child.name)

    def _tells_below(self, node: _Node) -> bool:
        return any(
            (meaning := self.reading.meaning(below)).what
            in (Role.GOOD, Role.DEFECTIVE, Role.UNSURE)
            or meaning.split is not None
            for below in node.walk()
            if below is not node
        )

    # What other paths to the same files say.

    def _links(self) -> None:
        """A file that is reached by another name, too, isn't learnt from if that one says so."""
        start = len(self.reading.root.parts)
        for other, first in self.reading.listing.repeated:
            if _is_below(other, first):  # a loop
                continue
            names = other.parts[start:] if other.is_dir() else other.parts[start:-1]
            said = [meaning_of(name) for name in names]
            whats = {meaning.what for meaning in said}
            splits = {meaning.split for meaning in said}
            for item in self.items:
                if _is_below(item.path, first):
                    self._also(item, other, whats, splits)

    def _also(
        self, item: _Item, other: Path, whats: set[Role | None], splits: set[Role | None]
    ) -> None:
        if splits & {Role.TEST, Role.VALIDATION} and item.split in (None, Role.TRAIN):
            item.what, item.why = Role.UNSURE, f"they are for tests, too, as {other}"
        if whats & {Role.DEFECTIVE, Role.MASK, Role.UNSURE}:
            if item.what is not Role.DEFECTIVE:
                item.what, item.why = Role.UNSURE, f"they aren't good by another name, as {other}"
        elif Role.GOOD in whats:
            if item.what is None:
                item.what, item.kind = Role.GOOD, "good"
            elif item.what is Role.DEFECTIVE:
                item.what, item.why = Role.UNSURE, f"they are good by another name, as {other}"

    # What masks say.

    def _beside(self) -> None:
        beside = masks_beside([item.path for item in self.items])
        places = {item.path: item.parts for item in self.items} if beside else {}
        for mask, photo in beside.items():
            # Its place is its photograph's.
            self.masks[mask] = (*places[photo][:-1], mask.name)
        self.items = [item for item in self.items if item.path not in beside]

    def _match(self) -> Matched:
        """Masks by their images: first of those that aren't good, then of good ones."""
        masks = {p: parts for p, parts in self.masks.items() if self._counts(p)}
        files = [*self._annotations(), *self.reading.flagged.files]
        drawn: dict[Path, tuple[str, ...]] = {}
        listed: dict[str, Path] = {}
        for path, names in read_annotations(files):
            self.masks[path] = self._below(path)
            if names is None:
                drawn[path] = self._below(path)
            else:
                listed.update(dict.fromkeys(names, path))
        found: dict[Path, tuple[Path, ...]] = {}
        stray: tuple[Path, ...] = ()
        first = {i.path: i.parts for i in self.items if i.what is not Role.GOOD}
        rest = {i.path: i.parts for i in self.items if i.what is Role.GOOD}
        for images in (first, rest):
            pictures = match(images, masks)
            outlines = match({p: q for p, q in images.items() if p not in pictures.masks}, drawn)
            found |= outlines.masks | pictures.masks
            masks = {path: masks[path] for path in pictures.stray}
            drawn = {path: drawn[path] for path in outlines.stray}
            stray = pictures.stray
        for item in self.items:
            path = listed.get(composed(item.path.name))
            if path is not None:
                found.setdefault(item.path, (path,))
        return Matched(found, stray)

    def _counts(self, mask: Path) -> bool:
        """Whether a mask counts where a person has named those that do."""
        said = self.reading.flagged.mask_folders
        return not said or any(_is_below(mask, folder) for folder in said)

    def _annotations(self) -> list[Path]:
        return [p for p in self.reading.listing.annotations if _is_below(p, self.node.path)]

    def _below(self, path: Path) -> tuple[str, ...]:
        return (
            path.parts[len(self.node.path.parts) :]
            if _is_below(path, self.node.path)
            else path.parts
        )

    def _by_masks(self, matched: Matched) -> None:
        """An image that no name speaks for is what its mask says."""
        counts: Counter[str] = Counter()
        marked_good = []
        for item in self.items:
            mask = matched.masks.get(item.path)
            if mask is None:
                continue
            if item.what is None:
                marked = _marked(item.path, mask)
                if marked < FEWEST_PIXELS:
                    item.what, item.kind = Role.GOOD, "good"
                    counts["specks" if marked else "black"] += 1
                else:
                    item.what, item.kind = Role.DEFECTIVE, MASKED
                    counts["marked"] += 1
            elif item.what is Role.GOOD and item.split is not Role.TEST:
                if _marked(item.path, mask) >= FEWEST_PIXELS:
                    marked_good.append(item.path)
        if counts:
            good = counts["black"] + counts["specks"]
            text = f"by their masks, {_images(good)} {_is(good)} good"
            text += f" and {counts['marked']} defective" if counts["marked"] else ""
            if counts["specks"]:
                text += (
                    f"; masks that mark fewer than {FEWEST_PIXELS} pixels, as {counts['specks']} of"
                    " them do, count as black"
                )
            self.notes.append(text)
        if marked_good:
            self.notes.append(
                f"{_images(len(marked_good))} in folders of good ones {_have(len(marked_good))} a"
                f" mask that marks something, such as {marked_good[0]}: leave out those that"
                " aren't good"
            )

    def _check_strays(self, matched: Matched) -> None:
        """A mask without an image beside an image without a mask smells of a slip in a name."""
        bare = [i for i in self.items if i.what is Role.DEFECTIVE and i.path not in matched.masks]
        folders = {key_of(item.parts)[0] for item in self.items}
        for mask in matched.stray:
            if mask not in self.masks or mask in self.reading.excluded.files:
                continue
            place = key_of(self.masks[mask])[0]
            for item in bare:
                where, stem = key_of(item.parts)
                if (place == where or place not in folders) and item.path not in (
                    self.reading.excluded.files
                ):
                    wanted = mask.parent / f"{stem}_mask.png"
                    if place != where:
                        top = self._mask_folder(mask)
                        wanted = top.joinpath(*where) / f"{stem}_mask.png"
                    raise DataError(
                        f"the mask {mask} belongs to no image, while {item.path} has no mask:"
                        f" rename it as the image it belongs to ({wanted}, for one), or remove it"
                    )

    def _mask_folder(self, mask: Path) -> Path:
        for folder in mask.parents:
            if meaning_of(folder.name).what is Role.MASK or folder == self.node.path:
                return folder
        return mask.parent

    # What is still open.

    def _settle(self, is_split: bool) -> None:
        self._sorted_out = list(self.items)
        out = self.reading.excluded.files
        self.open = [i for i in self.items if i.what is None and i.path not in out]
        splits = {split: [i for i in self.items if i.split is split] for split in _SPLITS}
        if is_split:
            self._settle_split(splits)
        else:
            self._settle_plain()
        if not any(i.what is Role.GOOD for i in self.items):
            raise self._no_good()

    def _settle_split(self, splits: dict[Role | None, list[_Item]]) -> None:
        for split in (Role.TEST, Role.VALIDATION):
            self._leave([i for i in splits[split] if i.what is None], _NOBODY)
        train = splits[Role.TRAIN]
        loose = [i for i in train if i.what is None]
        learnt = [i for i in train if i.what is Role.GOOD]
        named = [i for i in train if i.what is not None and i.kind != MASKED]
        beside = [i for i in splits[None] if i.what is Role.GOOD]
        if loose and not learnt and not (beside and not self.reading.flagged.good):
            if any(i.what in (Role.DEFECTIVE, Role.UNSURE) for i in named):
                raise self._doubt()
            self._take(loose, f"no folder in {self._folder_of(loose[0])} is called good")
            learnt = loose
        elif learnt:
            self._leave(loose, "they lie beside folders that say which are good")
        if beside and not learnt and not self.reading.flagged.good:
            other = next(i for s in _SPLITS[1:] for i in splits[s])
            raise DataError(
                f"{self._folder_of(other)} lies beside a folder of good images, but isn't a kind of"
                " defect: for a split of your own, use train/good, test/good and test/<defect>"
            )
        if not beside or learnt:
            self._leave(splits[None], "they lie beside the folders to train and to test on")

    def _settle_plain(self) -> None:
        named = [i for i in self.items if i.what is not None and i.kind != MASKED]
        masked = [i for i in self.items if i.kind == MASKED or i.path in self.masks]
        if not self.open:
            return
        loose = [i for i in self.open if not i.unnamed]
        folders = list(dict.fromkeys(i.unnamed for i in self.open if i.unnamed))
        if named and not self._only_flagged_bad(named):
            if any(i.what is Role.GOOD for i in named) or loose:
                raise self._loose(loose or self.open)
            raise self._doubt()
        if loose and folders and not self.reading.loose_good:
            raise self._loose(loose)
        if folders and (not self.reading.unnamed_good or set(folders) == {"0", "1"}):
            raise self._no_good()
        if folders:
            shown = f"{', '.join(folders[:_TOLD])}{', ...' * (len(folders) > _TOLD)}"
            self._take(
                self.open,
                f"no folder in {self.node.path} is called good: all images in {shown} are taken for"
                " good ones",
            )
        elif masked or any(i.kind == MASKED for i in self.items):
            count = len(self.open)
            self._take(self.open, f"{_images(count)} without a mask {_is(count)} taken for good")
        else:
            self._take(self.open, "")

    def _only_flagged_bad(self, named: list[_Item]) -> bool:
        """Whether a person has named what isn't good, and so the rest is."""
        return (
            self.reading.flagged.bad
            and not self.reading.flagged.good
            and all(item.what is Role.DEFECTIVE for item in named)
        )

    def _take(self, items: list[_Item], note: str) -> None:
        for item in items:
            item.what, item.kind = Role.GOOD, "good"
        if note and items:
            more = "" if "taken for" in note else ": all images in it are taken for good ones"
            self.notes.append(note + more)

    def _leave(self, items: list[_Item], why: str) -> None:
        for item in items:
            item.what, item.why = Role.UNSURE, why

    def _folder_of(self, item: _Item) -> Path:
        """The folder of the split in which an image lies."""
        path = self.node.path
        for part in item.parts[:-1]:
            path /= part
            if meaning_of(part).split is not None:
                break
        return path

    # What becomes of it.

    def _sample(self, item: _Item, matched: Matched) -> Sample:
        if item.what is Role.GOOD:
            return Sample(item.path, False, "good")
        masks = matched.masks.get(item.path)
        mask: Any = masks[0] if masks is not None and len(masks) == 1 else masks
        return Sample(item.path, True, item.kind, mask)

    def _split(self, matched: Matched) -> tuple[list[Sample], list[Sample]]:
        train, test = [], []
        for item in self.items:
            good = item.what is Role.GOOD
            if item.what is Role.UNSURE:
                self._left(item, item.why)
            elif item.split in (Role.TRAIN, Role.VALIDATION, None) and good:
                train.append(item)
            elif item.split is Role.TRAIN:
                self._left(item, "they lie among those to train on, but aren't good")
            else:
                test.append(item)
        if not train and self.node.path:
            raise self._no_good()
        return (
            [self._sample(item, matched) for item in sorted(train, key=self._order)],
            [self._sample(item, matched) for item in sorted(test, key=self._order)],
        )

    def _order(self, item: _Item) -> tuple[int, str, str]:
        """Training images first, then validation; folder by folder, in the order of paths."""
        parts = item.parts
        if len(parts) > 1 and meaning_of(parts[0]).split is not None:
            parts = parts[1:]
        return _SPLITS.index(item.split), parts[0] if len(parts) > 1 else "", "/".join(item.parts)

    def _hold_out(self, matched: Matched) -> tuple[list[Sample], list[Sample]]:
        good = [i for i in self.items if i.what is Role.GOOD]
        defects = [i for i in self.items if i.what is Role.DEFECTIVE]
        for item in self.items:
            if item.what is Role.UNSURE:
                self._left(item, item.why)
        good.sort(key=self._order)
        defects.sort(key=self._order)
        held = self._lots(good) if defects else set()
        train = [i for i in good if i.path not in held]
        test = [i for i in good if i.path in held] + defects
        return [self._sample(i, matched) for i in train], [self._sample(i, matched) for i in test]

    def _lots(self, good: list[_Item]) -> set[Path]:
        def lot(item: _Item) -> bytes:
            name = "/".join(item.parts)
            return hashlib.sha256(os.fsencode(f"{self.reading.seed}/{name}")).digest()

        most = len(good) - 1
        count = min(max(round(self.reading.test_share * len(good)), 1), most)
        return {item.path for item in sorted(good, key=lot)[:count]}

    def _left(self, item: _Item, why: str) -> None:
        if item.path not in self.reading.excluded.files:
            self.left_out[why].append(item.path)

    def _left_notes(self, left: dict[str, tuple[Path, ...]]) -> Iterator[str]:
        for why, paths in left.items():
            yield f"left out {_images(len(paths))}, such as {paths[0]}: {why}"

    # What can't be read.

    def _shown_folders(self) -> str:
        """The folders that hold images, with their number and what their names say."""
        counts: Counter[str] = Counter()
        said: dict[str, str] = {}
        for item in self.items:
            place = "/".join(item.parts[:-1][:2]) or "."
            counts[place] += 1
            what = {Role.GOOD: "good", Role.DEFECTIVE: "not good"}.get(item.what)  # type: ignore[arg-type]
            said[place] = f", {what}" if what else ""
        shown = [f"{p} ({_images(n)}{said[p]})" for p, n in list(counts.items())[:_LISTED]]
        return ", ".join(shown) + ", ..." * (len(counts) > _LISTED)

    def _doubt(self) -> DataError:
        return DataError(
            f"in {self.node.path}, it isn't clear which images are good: it has"
            f" {self._shown_folders()}. Say so with --good NAME, and name others with --bad NAME or"
            " --masks NAME"
        )

    def _no_good(self) -> DataError:
        root = self.node.path
        trains = [f for f in self.node.folders.values() if self.reading.meaning(f).split]
        if trains and not self.items:
            return DataError(f"{root / 'train' / 'good'} has no image to learn from")
        if any(item.split is not None for item in self.items):
            train = next((f for f in trains if self.reading.meaning(f).split is Role.TRAIN), None)
            place = root / "train" / "good"
            if train is not None:
                good = [
                    f for f in train.folders.values() if self.reading.meaning(f).what is Role.GOOD
                ]
                place = good[0].path if good else train.path
            return DataError(
                f"{place} has no image to learn from; {root} has {self._shown_folders()}: put good"
                " ones there, or name their folder with --good NAME"
            )
        if self.items:
            there = f"it has {self._shown_folders()}"
        elif self.masks:
            first = next(iter(self.masks))
            there = f"it has nothing but masks, in {self._mask_folder(first).name}"
        else:
            there = "it has no image"
        text = (
            f"{root} has no good images; {there}. Put them right into it, or into {root / 'good'}"
            " with each kind of defect in a folder beside it"
        )
        return DataError(f"{text}, or name their folder with --good NAME" if self.items else text)

    def _loose(self, loose: list[_Item]) -> DataError:
        count, first = len(loose), loose[0].path.relative_to(self.node.path).as_posix()
        lie = f"the image {first} lies" if count == 1 else f"{count} images, such as {first}, lie"
        folders = [f for f in self.node.folders.values() if f.count]
        names = ", ".join(f"{f.name} ({_images(f.count)})" for f in folders)
        good = next((f.path for f in folders if self.reading.meaning(f).what is Role.GOOD), None)
        return DataError(
            f"in {self.node.path}, {lie} beside folders of images ({names}), so it isn't clear what"
            f" they show: move good ones into {good or self.node.path / 'good'}, and others into"
            " the folder of their kind of defect, or leave them out with --exclude"
        )


_NOBODY = "no folder and no mask says whether they are good"


@dataclass(frozen=True)
class _State:
    """What the folders above say."""

    split: Role | None = None
    what: Role | None = None
    kind: str = ""
    generic: bool = False
    unnamed: str = ""
    why: str = ""

    def but(self, **changed: Any) -> _State:
        return _State(**{**vars(self), **changed})


# Images that are left out on request.


@dataclass(frozen=True, eq=False)
class Excluded:
    """Images to leave out, and the folders that were named for it."""

    files: frozenset[Path] = frozenset()
    folders: tuple[str, ...] = ()

    def covers(self, path: Path) -> bool:
        """Say whether a folder is left out whole."""
        place = os.path.abspath(path)  # noqa: PTH100
        return any(place == f or place.startswith(f + os.sep) for f in self.folders)


def excluded(listing: Listing, entries: Iterable[str | Path]) -> Excluded:
    """Find the images that entries mean: paths, below a folder or not, folders and patterns.

    Parameters
    ----------
    listing : Listing
        Of the folder.
    entries : iterable of str or Path
        ``@FILE`` names a file with one a line.

    Raises
    ------
    DataError
        If one means no image.
    """
    wanted = list(_entries(entries))
    if not wanted:
        return Excluded()
    root = listing.root
    start = len(root.parts)
    files = {os.path.abspath(path): path for path in listing.files}  # noqa: PTH100
    found: set[Path] = set()
    folders: list[str] = []
    for entry in wanted:
        match: list[Path] = []
        for candidate in (existing(entry), existing(root / cleaned(entry))):
            place = os.path.abspath(candidate)  # noqa: PTH100
            if place in files:
                match = [files[place]]
            elif candidate.is_dir() and os.path.abspath(root) != place:  # noqa: PTH100
                match = [p for q, p in files.items() if q.startswith(place + os.sep)]
                folders += [place] if _is_below(Path(place), Path(os.path.abspath(root))) else []  # noqa: PTH100
                if place in folders:
                    break
            if match:
                break
        else:
            if is_pattern(entry):
                below = Pattern(Path(cleaned(entry)).parts)
                whole = Pattern(Path(os.path.abspath(cleaned(entry))).parts)  # noqa: PTH100
                match = [
                    p
                    for q, p in files.items()
                    if below.matches(p.parts[start:]) or whole.matches(Path(q).parts)
                ]
            if not match:
                raise DataError(_no_image(entry, listing))
        found.update(match)
    return Excluded(frozenset(found), tuple(folders))


def _entries(entries: Iterable[str | Path]) -> Iterator[str]:
    for entry in map(str, [entries] if isinstance(entries, str | Path) else entries):
        if entry.startswith("@"):
            yield from read_names(existing(entry[1:]))
        else:
            yield entry


def _no_image(entry: str, listing: Listing) -> str:
    names = [p.relative_to(listing.root).as_posix() for p in listing.files]
    told = difference(cleaned(entry), names)
    return f"{entry} is to be left out, but {listing.root} has no such image: " + (
        told or "give its path, or its path below that folder, or a pattern"
    )


# Photographs, whatever they show.


def photographs(listing: Listing) -> tuple[list[Path], dict[Path, str]]:
    """Return the images of a listing without masks, and the masks with the reason.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for file in ("test/cut/1.png", "ground_truth/cut/1_mask.png"):
    ...     (root / file).parent.mkdir(parents=True)
    ...     (root / file).touch()
    >>> photos, masks = photographs(walk(root))
    >>> [path.name for path in photos], [path.name for path in masks]
    (['1.png'], ['1_mask.png'])
    """
    start = len(listing.root.parts)
    folders: dict[str, bool] = {}
    masks: dict[Path, str] = {}
    rest = []
    for path in listing.files:
        folder = str(path)[: -len(path.name)]
        is_mask = folders.get(folder)
        if is_mask is None:
            parts = path.parts[start:-1]
            is_mask = folders[folder] = any(meaning_of(p).what is Role.MASK for p in parts)
        if is_mask:
            masks[path] = path.parent.name
        else:
            rest.append(path)
    beside = masks_beside(rest)
    masks |= {mask: photo.name for mask, photo in beside.items()}
    return [path for path in rest if path not in beside], masks


def _marked(image: Path, masks: Sequence[Path]) -> int:
    """How many pixels a mask marks; many where that can't be read, which is told when it is used."""
    try:
        mask = Sample(image, mask=masks[0] if len(masks) == 1 else tuple(masks)).read_mask()  # type: ignore[arg-type]
    except DataError:
        return FEWEST_PIXELS
    return 0 if mask is None else int(mask.sum())


def _good_first(kinds: dict[str, list[Path]]) -> list[tuple[str, list[Path]]]:
    return sorted(kinds.items(), key=lambda item: (item[0] != "good", item[0]))


def _spread(paths: Sequence[Path]) -> list[Path]:
    """The first, and others from the middle and the end."""
    if len(paths) <= _TOLD:
        return list(paths)
    return [paths[0], paths[len(paths) // 2], paths[-1]]


def _is_below(path: Path, folder: Path) -> bool:
    # Quicker than Path's own, for tens of thousands.
    name, start = str(path), str(folder).rstrip(os.sep)
    return name == start or name.startswith(start + os.sep) or (start == "." and name[0] != os.sep)


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
