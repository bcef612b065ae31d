"""Photographs of parts to learn from: what is in a folder, and what is left out of it."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anomalist.data import (
    Dataset,
    ImageSet,
    Sample,
    Transform,
    Understanding,
    load_masks,
    open_dataset,
)
from anomalist.data.names import plural
from anomalist.errors import DataError, ParameterError
from anomalist.files import absolute

_SHORT_HASH = 16
_SMALL = Transform(8)
_TOLD = 3


@dataclass(frozen=True, eq=False)
class Parts:
    """Good images to learn from, others to test on, and what a person should know of them.

    Parameters
    ----------
    name : str
        What the parts are called, after their folder.
    root : Path
        The folder.
    train, test : ImageSet
        Good images to learn from; good and defective ones held out, may be empty.
    excluded : tuple of Path
        Images that were left out on request.
    sizes : dict of (int, int) to int
        How many images to learn from have which height and width.
    notes : tuple of str
        What was assumed, and what looks odd.
    understanding : Understanding
        What the images of the folder are taken for, masks and what is left out included.
    added : int
        How many of the images to learn from, the last ones, were added from another folder.
    added_root : Path or None
        That folder.
    """

    name: str
    root: Path
    train: ImageSet
    test: ImageSet
    excluded: tuple[Path, ...]
    sizes: dict[tuple[int, int], int]
    notes: tuple[str, ...]
    understanding: Understanding
    added: int = 0
    added_root: Path | None = None

    def describe(self) -> str:
        """Return what is there, as a sentence."""
        sizes = ", ".join(
            f"{width} x {height}" + (f" ({count})" if len(self.sizes) > 1 else "")
            for (height, width), count in list(self.sizes.items())[:_TOLD]
        )
        more = f" and {len(self.sizes) - _TOLD} more sizes" if len(self.sizes) > _TOLD else ""
        text = f"{self.name}: {plural(len(self.train), 'good image')} to learn from"
        if self.added:
            text += f", {self.added} of them added"
        if self.sizes:
            text += f", {sizes}{more} pixels"
        if len(self.test):
            kinds = Counter(self.test.defects)
            held_out = [f"{kinds.pop('good')} good"] if kinds["good"] else []
            kinds.pop("good", None)
            held_out += [f"{kind} {count}" for kind, count in kinds.items()]
            text += f"; held out to test on: {', '.join(held_out)}"
        if self.excluded:
            text += f"; left out: {len(self.excluded)}"
        return text

    def as_dict(self) -> dict[str, Any]:
        """Return what is there as JSON values."""
        return {
            **self.understanding.as_dict(),
            "train": len(self.train),
            "added": self.added,
            "test": dict(Counter(self.test.defects)),
            "excluded": [str(path) for path in self.excluded],
            "sizes": [
                {"height": height, "width": width, "images": count}
                for (height, width), count in self.sizes.items()
            ],
            "notes": list(self.notes),
        }


def open_parts(
    root: str | Path,
    category: str | None = None,
    exclude: Iterable[str | Path] = (),
    *,
    format: str | None = None,
    good: Iterable[str | Path] = (),
    bad: Iterable[str | Path] = (),
    masks: Iterable[str | Path] = (),
    read: bool = True,
) -> Parts:
    """Find the images to learn from in a folder, and those that can test what was learnt.

    The folder may have any layout that `~anomalist.data.open_dataset` knows. Beyond these, where no
    folder in it says which images are good, and none says that some aren't, all images at any
    depth are taken for good, and the notes say so.

    Parameters
    ----------
    root : str or Path
        The folder.
    category : str, optional
        Which, where the folder holds several.
    exclude : iterable of str or Path
        Images to leave out: paths, or paths below the folder, of images or folders, or patterns.
        An entry ``@FILE`` names a text file with one a line; empty lines and those that begin with
        ``#`` don't count.
    format : str, optional
        One of `~anomalist.data.FORMATS`, to insist on it.
    good, bad, masks : iterable of str or Path
        Folders of good images, of ones that aren't, and of masks, whatever their names say.
    read : bool
        Whether all files are read, to tell at once which can't be and which are the same, and what
        sizes there are. Of very many it is left to those who learn from them.

    Raises
    ------
    DataError
        If there is no good image, it isn't clear which they are, an image can't be opened, or one
        to leave out isn't there.
    ParameterError
        If there are several categories and none is named.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp()) / "bolts"
    >>> names = ("good/a.png", "good/b.png", "good/c.png", "bent/d.png")
    >>> for grey, name in enumerate(names):
    ...     (root / name).parent.mkdir(parents=True, exist_ok=True)
    ...     Image.new("L", (60, 40), grey).save(root / name)
    >>> open_parts(root, exclude=["bent/d.png"]).describe()
    'bolts: 2 good images to learn from, 60 x 40 pixels; held out to test on: 1 good; left out: 1'
    """
    dataset = open_dataset(
        root,
        format=format,
        good=good,
        bad=bad,
        masks=masks,
        exclude=exclude,
        unnamed_good=True,
    )
    found = understand(dataset, category)
    train, test, notes = found.train, found.test, list(found.notes)
    if len(train) == 0:
        left = "left to learn from: all were left out" if found.excluded else "to learn from"
        raise DataError(f"{root} has no good image {left}")
    sizes: dict[tuple[int, int], int] = {}
    if read:
        sizes = _checked(train, test)
        notes += [*sizes_note(sizes), *_repeated(train, test)]
    return Parts(found.name, dataset.root, train, test, found.excluded, sizes, tuple(notes), found)


def add_parts(parts: Parts, more: Parts) -> Parts:
    """Return parts with the good images of another folder after their own.

    Images that are there already are left out, with a note. Where the other folder has images held
    out to test on, those are tested on, as what comes next is like them.

    Parameters
    ----------
    parts, more : Parts
        What `open_parts` found in either.

    Raises
    ------
    DataError
        If the other folder has no image that is new.
    """
    there = {sample.sha256() for sample in parts.train}
    new = [sample for sample in more.train if sample.sha256() not in there]
    if not new:
        raise DataError(f"{more.root} has no good image to add that isn't in {parts.root}")
    notes = [*parts.notes, *more.notes]
    if left := len(more.train) - len(new):
        notes.append(f"not added: {plural(left, 'image')} of {more.root} that {parts.root} has too")
    train = ImageSet([*parts.train, *new], parts.name)
    return dataclasses.replace(
        parts,
        train=train,
        test=more.test if len(more.test) else parts.test,
        excluded=(*parts.excluded, *more.excluded),
        sizes=dict(Counter(sample.size() for sample in train).most_common()),
        notes=tuple(notes),
        added=len(new),
        added_root=more.root,
    )


def check_outside(out: Path, root: Path) -> None:
    """Refuse to write among the images of a folder.

    Raises
    ------
    ParameterError
        If ``out`` lies in it.
    """
    if Path(absolute(out)).is_relative_to(absolute(root)):
        raise ParameterError(
            f"{out} lies in the folder of images {root}, where pictures that are written would be"
            " taken for parts: choose another place"
        )


def known_images(parts: Parts) -> list[str]:
    """Return short hashes of the images that were learnt from or left out, sorted."""
    return short_hashes([*parts.train, *map(Sample, parts.excluded)])


def short_hash(digest: str) -> str:
    """Return what model files keep of an image's SHA-256."""
    return digest[:_SHORT_HASH]


def short_hashes(images: Iterable[Sample]) -> list[str]:
    """Return the beginnings of the hashes of images, each once, sorted."""
    return sorted({short_hash(image.sha256()) for image in images})


def unseen(images: ImageSet, known: Iterable[str]) -> ImageSet:
    """Return the images whose bytes aren't among `known_images`."""
    hashes = set(known)
    new = [short_hash(image.sha256()) not in hashes for image in images]
    return images[np.array(new, np.bool_)]


def understand(dataset: Dataset, category: str | None) -> Understanding:
    """Return what the images of a category are taken for, which must be named if it is of several.

    Raises
    ------
    ParameterError
        If it isn't.
    DataError
        If there is none of that name, or it isn't clear which of its images are good.
    """
    return dataset.understand(_named(dataset, category))


def _named(dataset: Dataset, category: str | None) -> str:
    if category is not None:
        return category
    if len(dataset.categories) > 1:
        raise ParameterError(
            f"{dataset.root} holds {len(dataset.categories)} categories: choose one with"
            f" --category ({', '.join(dataset.categories)})"
        )
    return dataset.categories[0]


def _checked(train: ImageSet, test: ImageSet) -> dict[tuple[int, int], int]:
    """The sizes of images to learn from, most frequent first.

    All files that can't be opened are named at once, masks that don't fit their image included.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    problems = []
    for sample in train:
        try:
            sizes[sample.size()] += 1
        except DataError as error:
            problems.append(str(error))
    for sample in test:
        try:
            sample.size()
            load_masks(ImageSet([sample]), _SMALL)
        except DataError as error:
            problems.append(str(error))
    if problems:
        shown = "; ".join(problems[:_TOLD])
        more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        raise DataError(f"{shown}{more} (or leave them out with --exclude)")
    return dict(sizes.most_common())


def sizes_note(sizes: Collection[tuple[int, int]]) -> list[str]:
    """Say that images have several sizes, where they have."""
    if len(sizes) < 2:
        return []
    return [
        f"the images have {len(sizes)} sizes; all are brought to one, so parts must fill them alike"
    ]


def _repeated(train: ImageSet, test: ImageSet) -> list[str]:
    """Warn of files that are the same, byte for byte."""
    learnt = defaultdict(list)
    for sample in train:
        learnt[sample.sha256()].append(sample.path)
    notes = []
    copies = [paths for paths in learnt.values() if len(paths) > 1]
    if copies:
        extra = sum(len(paths) - 1 for paths in copies)
        notes.append(
            f"{plural(extra, 'image')} to learn from {'is' if extra == 1 else 'are'} the same as"
            f" another, such as {copies[0][0]} and {copies[0][1]}: copies make thresholds too low,"
            " leave them out"
        )
    if seen := test.shared_with(train):
        notes.append(
            f"{plural(len(seen), 'image')} to test on {'is' if len(seen) == 1 else 'are'} among"
            f" those to learn from, such as {seen[0]}: what is measured on them says nothing"
        )
    return notes
