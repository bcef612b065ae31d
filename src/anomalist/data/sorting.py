"""What the images of a category are: by names of folders, then by masks, then by where they lie."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalist.data.holdout import hold_out
from anomalist.data.imageset import ImageSet
from anomalist.data.names import common_end, composed, first_of, images
from anomalist.data.pairing import Matched, key_of, masks_beside, match, read_annotations
from anomalist.data.paths import Paths
from anomalist.data.roles import Meaning, is_kind, is_neutral, is_place, meaning_of
from anomalist.data.sample import Sample
from anomalist.data.saturation import ANOMALIES, SATURATION_FILE
from anomalist.data.tree import Node, is_below
from anomalist.data.understanding import Understanding
from anomalist.data.words import Role
from anomalist.errors import DataError

if TYPE_CHECKING:
    from anomalist.data.reading import Reading

#: What an image that its mask alone calls defective is called.
MASKED = "defect"
# A mask that marks fewer pixels is black but for slips: nobody draws a defect of 2 x 2 pixels.
FEWEST_PIXELS = 4
_TOLD = 3
_LISTED = 12

_SPLITS = (None, Role.TRAIN, Role.VALIDATION, Role.TEST)


@dataclass(eq=False, slots=True)
class _Item:
    """An image and what names say of it; there may be millions at once."""

    folder: Path
    # Of the folder, below that of the category.
    above: tuple[str, ...]
    name: str
    split: Role | None
    what: Role | None
    kind: str
    why: str = ""
    # The folder that nobody has said anything of.
    unnamed: str = ""
    by_mask: bool = False

    @property
    def path(self) -> Path:
        return self.folder / self.name

    @property
    def parts(self) -> tuple[str, ...]:
        return (*self.above, self.name)


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


class Sorter:
    """Finds out what each image of a category is.

    Parameters
    ----------
    reading : Reading
        Of the whole folder.
    name : str
        Of the category.
    node : Node
        Its folder.
    """

    def __init__(self, reading: Reading, name: str, node: Node) -> None:
        self.reading = reading
        self.name = name
        self.node = node
        self.items: list[_Item] = []
        self.masks: dict[Path, tuple[str, ...]] = {}
        self.notes: list[str] = []
        self.left_out: dict[str, list[Path]] = defaultdict(list)

    def read(self) -> Understanding:
        """Return it, or raise a DataError that says what is missing or open."""
        self._visit(self.node, _State())
        self._links()
        self._beside()
        matched = self._match()
        self._by_masks(matched)
        self._check_strays(matched)
        is_split = any(item.split is not None for item in self.items)
        self._settle(is_split)
        train, test = self._split() if is_split else self._hold_out()
        out = self.reading.excluded.files
        gone = sorted({item.path for item in self.items if item.path in out}) if out else []
        self.left_out["they lie in none of the categories"] += self.reading.beside
        left = {why: tuple(paths) for why, paths in self.left_out.items() if paths}
        notes = [*self.notes, *self._left_notes(left), *self.reading.listing.notes()]
        return Understanding(
            self.name,
            self.node.path,
            is_split,
            self._images("train", train, matched),
            self._images("test", test, matched),
            tuple(self.masks),
            left,
            tuple(gone),
            tuple(notes),
        )

    # What names say.

    def _visit(self, node: Node, state: _State) -> None:
        above = node.parts[len(self.node.parts) :]
        for path in node.files:
            if state.what is Role.MASK:
                self.masks[path] = (*above, path.name)
            else:
                said = state.split, state.what, state.kind, state.why, state.unnamed
                self.items.append(_Item(node.path, above, path.name, *said))
        labels = self._has_good(node)
        for child in node.folders.values():
            meaning = self.reading.meaning(child)
            self._visit(child, self._next(child, meaning, state, labels))

    def _has_good(self, node: Node) -> bool:
        return any(
            self.reading.meaning(f).what is Role.GOOD and f.count for f in node.folders.values()
        )

    def _next(self, child: Node, meaning: Meaning, state: _State, labels: bool) -> _State:
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

    def _refined(self, child: Node, state: _State) -> _State:
        """Below ``NG``, a folder names a kind of defect, unless it tells cameras or days apart."""
        if not state.generic or is_place(child.name) or is_neutral(child.name):
            return state
        return state.but(kind=child.name, generic=False)

    def _unnamed(self, child: Node, state: _State, labels: bool) -> _State:
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

    def _tells_below(self, node: Node) -> bool:
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
        in_folder: dict[Path, list[_Item]] = defaultdict(list)
        if self.reading.listing.repeated:
            for item in self.items:
                in_folder[item.path.parent].append(item)
        for other, first in self.reading.listing.repeated:
            if is_below(other, first):  # a loop
                continue
            names = other.parts[start:] if other.is_dir() else other.parts[start:-1]
            said = [meaning_of(name) for name in names]
            whats = {meaning.what for meaning in said}
            splits = {meaning.split for meaning in said}
            if whats | splits <= {None}:
                continue
            folders = [folder for folder in in_folder if is_below(folder, first)]
            for item in in_folder.get(first.parent, []):
                if item.path == first:
                    self._also(item, other, whats, splits)
            for folder in folders:
                for item in in_folder[folder]:
                    self._also(item, other, whats, splits)

    def _also(
        self, item: _Item, other: Path, whats: set[Role | None], splits: set[Role | None]
    ) -> None:
        if Role.TEST in splits and item.split in (None, Role.TRAIN):
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
        beside = masks_beside(Paths(item.path for item in self.items))
        if not beside:
            return
        places = {item.path: item.parts for item in self.items}
        for mask, photo in beside.items():
            # Its place is its photograph's.
            self.masks[mask] = (*places[photo][:-1], mask.name)
        self.items = [item for item in self.items if item.path not in beside]

    def _match(self) -> Matched:
        """Masks by their images: first of those that aren't good, then of good ones."""
        masks = {p: parts for p, parts in self.masks.items() if self._counts(p)}
        files = [*self._annotations(), *self.reading.flagged.files]
        drawn: dict[Path, tuple[str, ...]] = {}
        listed: dict[tuple[str, ...], Path] = {}
        for path, names in read_annotations(files):
            self.masks[path] = self._below(path)
            if names is None:
                drawn[path] = self._below(path)
            else:
                listed.update({tuple(Path(name).parts): path for name in names})
        found: dict[Path, tuple[Path, ...]] = {}
        stray: tuple[Path, ...] = ()
        if not (masks or drawn or listed):
            return Matched(found, stray)
        first = {i.path: i.parts for i in self.items if i.what is not Role.GOOD}
        rest = {i.path: i.parts for i in self.items if i.what is Role.GOOD}
        for photos in (first, rest):
            pictures = match(photos, masks)
            outlines = match({p: q for p, q in photos.items() if p not in pictures.masks}, drawn)
            found |= outlines.masks | pictures.masks
            masks = {path: masks[path] for path in pictures.stray}
            drawn = {path: drawn[path] for path in outlines.stray}
            stray = pictures.stray
        for name, path in listed.items():
            for item in self._called(name):
                found.setdefault(item.path, (path,))
        return Matched(found, stray)

    @functools.cached_property
    def _by_name(self) -> dict[str, list[_Item]]:
        found = defaultdict(list)
        for item in self.items:
            found[composed(item.path.name)].append(item)
        return found

    def _called(self, names: tuple[str, ...]) -> list[_Item]:
        """The images that a list of outlines means: of one name, those nearest to its folders."""
        items = self._by_name.get(names[-1] if names else "", [])
        alike = [common_end(tuple(map(composed, item.parts)), names) for item in items]
        best = max(alike, default=0)
        items = [item for item, common in zip(items, alike, strict=True) if common == best]
        return [item for item in items if item.what is not Role.GOOD] or items

    def _counts(self, mask: Path) -> bool:
        """Whether a mask counts where a person has named those that do."""
        said = self.reading.flagged.mask_folders
        return not said or any(is_below(mask, folder) for folder in said)

    def _annotations(self) -> list[Path]:
        return [p for p in self.reading.listing.annotations if is_below(p, self.node.path)]

    def _below(self, path: Path) -> tuple[str, ...]:
        return (
            path.parts[len(self.node.path.parts) :]
            if is_below(path, self.node.path)
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
                item.by_mask = True
                marked = _marked(item.path, mask)
                if marked < FEWEST_PIXELS:
                    item.what, item.kind = Role.GOOD, "good"
                    counts["specks" if marked else "black"] += 1
                else:
                    item.what, item.kind = Role.DEFECTIVE, MASKED
                    counts["marked"] += 1
            elif (
                item.what is Role.GOOD
                and item.split is not Role.TEST
                and _marked(item.path, mask) >= FEWEST_PIXELS
            ):
                marked_good.append(item.path)
        if counts:
            good = counts["black"] + counts["specks"]
            said = [f"{images(good)} {_is(good)} good"] if good else []
            if counts["marked"]:
                said.append(f"{images(counts['marked'])} {_is(counts['marked'])} defective")
            text = f"by their masks, {' and '.join(said)}"
            if counts["specks"]:
                text += (
                    f"; masks that mark fewer than {FEWEST_PIXELS} pixels, as {counts['specks']} of"
                    " them do, count as black"
                )
            self.notes.append(text)
        if marked_good:
            self.notes.append(
                f"{images(len(marked_good))} in folders of good ones {_have(len(marked_good))} a"
                f" mask that marks something, such as {marked_good[0]}: leave out those that"
                " aren't good"
            )

    def _check_strays(self, matched: Matched) -> None:
        """A mask without an image beside an image without a mask smells of a slip in a name."""
        bare = [i for i in self.items if i.what is Role.DEFECTIVE and i.path not in matched.masks]
        folders = {key_of(item.parts)[0] for item in self.items} if matched.stray else set()
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
        named = [i for i in train if i.what is not None and not i.by_mask]
        learnt = [i for i in named if i.what is Role.GOOD]
        beside = [i for i in splits[None] if i.what is Role.GOOD]
        if loose and not learnt and not (beside and not self.reading.flagged.good):
            if any(i.what in (Role.DEFECTIVE, Role.UNSURE) for i in named):
                raise self._doubt()
            if any(i.by_mask for i in train):
                self._take(loose, self._without_masks(loose))
            else:
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
        named = [i for i in self.items if i.what is not None and not i.by_mask]
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
            shown = first_of(folders, _TOLD)
            self._take(
                self.open,
                f"no folder in {self.node.path} is called good: all images in {shown} are taken for"
                " good ones",
            )
        elif any(i.by_mask for i in self.items):
            self._take(self.open, self._without_masks(self.open))
        else:
            self._take(self.open, "")

    def _only_flagged_bad(self, named: list[_Item]) -> bool:
        """Whether a person has named what isn't good, and so the rest is."""
        return (
            self.reading.flagged.bad
            and not self.reading.flagged.good
            and all(item.what is Role.DEFECTIVE for item in named)
        )

    def _without_masks(self, items: list[_Item]) -> str:
        count = len(items)
        return f"{images(count)} without a mask, beside ones with one, {_is(count)} taken for good"

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

    def _images(self, part: str, items: list[_Item], matched: Matched) -> ImageSet:
        out = self.reading.excluded.files
        kept = (item for item in items if not out or item.path not in out)
        return ImageSet((self._sample(item, matched) for item in kept), f"{self.name}/{part}")

    def _sample(self, item: _Item, matched: Matched) -> Sample:
        if item.what is Role.GOOD:
            return Sample(item.path, False, "good")
        masks = matched.masks.get(item.path)
        mask: Any = masks[0] if masks is not None and len(masks) == 1 else masks
        told = self.node.path / SATURATION_FILE if item.kind in ANOMALIES else None
        return Sample(item.path, True, item.kind, mask, saturation=told)

    def _split(self) -> tuple[list[_Item], list[_Item]]:
        train, test = list[_Item](), list[_Item]()
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
        if not train:
            raise self._no_good()
        train.sort(key=self._order)
        test.sort(key=self._order)
        return train, test

    def _order(self, item: _Item) -> tuple[int, str, str]:
        """Training images first, then validation; folder by folder, in the order of paths."""
        parts = item.parts
        if len(parts) > 1 and meaning_of(parts[0]).split is not None:
            parts = parts[1:]
        return _SPLITS.index(item.split), parts[0] if len(parts) > 1 else "", "/".join(item.parts)

    def _hold_out(self) -> tuple[list[_Item], list[_Item]]:
        good = [i for i in self.items if i.what is Role.GOOD]
        defects = [i for i in self.items if i.what is Role.DEFECTIVE]
        for item in self.items:
            if item.what is Role.UNSURE:
                self._left(item, item.why)
        good.sort(key=self._order)
        defects.sort(key=self._order)
        if not defects:
            return good, []
        held = self._lots(good)
        train = [i for i in good if i.path not in held]
        test = [i for i in good if i.path in held] + defects
        return train, test

    def _lots(self, good: list[_Item]) -> set[Path]:
        names = {item.path: "/".join(item.parts) for item in good}
        return hold_out(names, self.reading.test_share, self.reading.seed)

    def _left(self, item: _Item, why: str) -> None:
        if item.path not in self.reading.excluded.files:
            self.left_out[why].append(item.path)

    def _left_notes(self, left: dict[str, tuple[Path, ...]]) -> Iterator[str]:
        for why, paths in left.items():
            yield f"left out {images(len(paths))}, such as {paths[0]}: {why}"

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
        return first_of([f"{p} ({images(n)}{said[p]})" for p, n in counts.items()], _LISTED)

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
        names = ", ".join(f"{f.name} ({images(f.count)})" for f in folders)
        good = next((f.path for f in folders if self.reading.meaning(f).what is Role.GOOD), None)
        return DataError(
            f"in {self.node.path}, {lie} beside folders of images ({names}), so it isn't clear what"
            f" they show: move good ones into {good or self.node.path / 'good'}, and others into"
            " the folder of their kind of defect, or leave them out with --exclude"
        )


def _marked(image: Path, masks: Sequence[Path]) -> int:
    """How many pixels a mask marks; enough if it can't be read, which is told when it is used."""
    try:
        mask = Sample(image, mask=masks[0] if len(masks) == 1 else tuple(masks)).read_mask()
    except DataError:
        return FEWEST_PIXELS
    return 0 if mask is None else int(mask.sum())


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
