"""Photographs of parts to learn from: what is in a folder, and what is left out of it."""

from __future__ import annotations

import os.path
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anomalist.data import (
    Category,
    Dataset,
    ImageSet,
    Sample,
    Transform,
    list_images,
    load_masks,
    open_dataset,
)
from anomalist.data.folder import GOOD_FOLDERS, MASK_FOLDERS
from anomalist.data.layout import existing_folder, sub_folders
from anomalist.data.mvtec_ad import is_category
from anomalist.errors import DataError, ParameterError

# Names of folders whose images can't be taken for good ones because nobody said otherwise.
_NOT_GOOD = (
    *MASK_FOLDERS,
    *("anomalies", "anomalous", "anomaly", "bad", "broken", "damaged", "defect", "defective"),
    *("defects", "fail", "faulty", "ng", "nok", "reject", "rejects", "scrap"),
    *("test", "train", "val", "validation"),
)
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
    """

    name: str
    root: Path
    train: ImageSet
    test: ImageSet
    excluded: tuple[Path, ...]
    sizes: dict[tuple[int, int], int]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return what is there as JSON values."""
        return {
            "name": self.name,
            "root": str(self.root),
            "train": len(self.train),
            "test": dict(Counter(self.test.defects)) if len(self.test) else {},
            "excluded": len(self.excluded),
            "sizes": [[width, height, n] for (height, width), n in self.sizes.items()],
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """Return what is there, as a sentence."""
        sizes = ", ".join(
            f"{width} x {height}" + (f" ({count})" if len(self.sizes) > 1 else "")
            for (height, width), count in list(self.sizes.items())[:_TOLD]
        )
        more = f" and {len(self.sizes) - _TOLD} more sizes" if len(self.sizes) > _TOLD else ""
        text = f"{self.name}: {plural(len(self.train), 'good image')} to learn from"
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


def open_parts(
    root: str | Path, category: str | None = None, exclude: Iterable[str | Path] = ()
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
        Images to leave out: paths, or paths below the folder. An entry ``@FILE`` names a text file
        with one a line; empty lines and those that begin with ``#`` don't count.

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
    root = existing_folder(root)
    found, notes = _category(root, category)
    train, test, excluded = _without(found, root, _listed(exclude))
    if len(train) == 0:
        raise DataError(f"{root} has no good image left to learn from: all were left out")
    sizes = _checked(train, test)
    if len(sizes) > 1:
        notes.append(
            f"the images have {len(sizes)} sizes; all are brought to one, so parts must fill them"
            " alike"
        )
    notes += _repeated(train, test)
    return Parts(found.name, root, train, test, excluded, sizes, tuple(notes))


def check_outside(out: Path, root: Path) -> None:
    """Refuse to write among the images of a folder.

    Raises
    ------
    ParameterError
        If ``out`` lies in it.
    """
    if Path(_absolute(out)).is_relative_to(_absolute(root)):
        raise ParameterError(
            f"{out} lies in the folder of images {root}, where pictures that are written would be"
            " taken for parts: choose another place"
        )


def known_images(parts: Parts) -> list[str]:
    """Return short hashes of the images that were learnt from or left out, sorted."""
    images = [*parts.train, *map(Sample, parts.excluded)]
    return sorted({image.sha256()[:_SHORT_HASH] for image in images})


def unseen(images: ImageSet, known: Iterable[str]) -> ImageSet:
    """Return the images whose bytes aren't among `known_images`."""
    hashes = set(known)
    new = [image.sha256()[:_SHORT_HASH] not in hashes for image in images]
    return images[np.array(new, np.bool_)]


def plural(count: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> plural(1, "image"), plural(2, "image")
    ('1 image', '2 images')
    """
    return f"{count} {noun}{'s' * (count != 1)}"


def find_category(dataset: Dataset, category: str | None) -> Category:
    """Return the category of a data set, which must be named where there are several.

    Raises
    ------
    ParameterError
        If it isn't.
    DataError
        If there is none of that name.
    """
    if category is None:
        if len(dataset.categories) > 1:
            raise ParameterError(
                f"{dataset.root} holds {len(dataset.categories)} categories: choose one with"
                f" --category ({', '.join(dataset.categories)})"
            )
        category = dataset.categories[0]
    return dataset.category(category)


def _category(root: Path, category: str | None) -> tuple[Category, list[str]]:
    folders = [f for f in sub_folders(root) if list_images(f, recursive=True)]
    names = {f.name.lower() for f in folders}
    known_layout = (
        (root / "split_csv").is_dir()
        or any(is_category(folder) for folder in (root, *folders))
        or names & {*GOOD_FOLDERS, *_NOT_GOOD}
    )
    if known_layout or not folders or list_images(root):
        return find_category(open_dataset(root), category), []
    name = root.resolve().name
    if category not in (None, name):
        raise ParameterError(f"{root} holds no categories, so there is no --category {category}")
    paths = list_images(root, recursive=True)
    train = ImageSet((Sample(path, False, "good") for path in paths), f"{name}/train")
    note = (
        f"no folder in {root} is called good: all images in"
        f" {', '.join(f.name for f in folders[:_TOLD])}{', ...' * (len(folders) > _TOLD)}"
        " are taken for good ones"
    )
    return Category(name, train, ImageSet([], f"{name}/test")), [note]


def _listed(exclude: Iterable[str | Path]) -> list[str]:
    """What is to be left out, with lists read."""
    wanted = []
    for entry in map(str, exclude):
        if not entry.startswith("@"):
            wanted.append(entry)
            continue
        try:
            lines = Path(entry[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it isn't a text file in UTF-8"
            raise DataError(f"the list {entry[1:]} can't be read: {reason}") from error
        wanted += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return wanted


def _without(
    found: Category, root: Path, exclude: list[str]
) -> tuple[ImageSet, ImageSet, tuple[Path, ...]]:
    there = {_absolute(s.path): s.path for images in (found.train, found.test) for s in images}
    out = set()
    for entry in exclude:
        match = [p for p in (_absolute(entry), _absolute(root / entry)) if p in there]
        if not match:
            raise DataError(
                f"{entry} is to be left out, but {root} has no such image: give its path, or its"
                " path below that folder"
            )
        out.add(match[0])
    train, test = (
        images[np.array([_absolute(path) not in out for path in images.paths], np.bool_)]
        for images in (found.train, found.test)
    )
    return train, test, tuple(there[path] for path in sorted(out))


def _absolute(path: str | Path) -> str:
    # Not resolved: links are what their owner calls them.
    return os.path.abspath(path)  # noqa: PTH100


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
