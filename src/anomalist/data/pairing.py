"""Masks and polygons find the photographs that they are of, by their names."""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anomalist.data.images import read_image
from anomalist.data.names import composed
from anomalist.data.roles import is_neutral, meaning_of, split_of
from anomalist.data.source import file_state
from anomalist.data.words import Role
from anomalist.errors import DataError

# What is added to the stem of a photograph to name its mask, with a number where there are several.
_SUFFIX = re.compile(
    r"(?i)[_\-. ]+(?:mask|masks|gt|ground[_\-. ]?truth|label|labels|seg|segmentation|annotation"
    r"|maske|masque|mascara|maschera|maska|masker|掩码|掩膜|标注|マスク|마스크)"
    r"(?P<number>[_\-. ]?\d+)?$"
)
_PREFIX = re.compile(r"(?i)^(?:mask|gt|label|seg)[_\-. ]+")
_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")
# A mask that once was a JPEG is nearly two-valued: so many of its pixels, so near to its ends.
_NEARLY = 0.97
_NEAR = 40
_FEW_VALUES = 32
_PEEKED = 3
_LARGEST_JSON = 200_000_000


def mask_stem(name: str) -> tuple[str, bool, bool]:
    """Return the stem of a mask's photograph, and whether a suffix and a number tell it.

    Examples
    --------
    >>> mask_stem("000_mask"), mask_stem("10000_GT"), mask_stem("7 label-2"), mask_stem("7")
    (('000', True, False), ('10000', True, False), ('7', True, True), ('7', False, False))
    """
    found = _SUFFIX.search(name)
    if found is not None and found.start() > 0:
        return name[: found.start()], True, found["number"] is not None
    found = _PREFIX.search(name)
    if found is not None and found.end() < len(name):
        return name[found.end() :], True, False
    return name, False, False


def masks_beside(files: Sequence[Path]) -> dict[Path, Path]:
    """Find the images that are masks of others, whatever folder they lie in.

    Such a mask has the stem of a photograph with a suffix such as ``_mask`` or ``_GT``, or the
    same stem but another kind of file, and two values, one of them black, or is all black. Only
    images with such names are opened.

    Parameters
    ----------
    files : sequence of Path
        Image files.

    Returns
    -------
    dict of Path to Path
        The photograph by its mask, the nearest one if several have the stem.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> from PIL import Image
    >>> Image.radial_gradient("L").save(folder / "a.png")
    >>> Image.new("1", (8, 8)).save(folder / "a_GT.png")
    >>> {mask.name: photo.name for mask, photo in masks_beside(sorted(folder.iterdir())).items()}
    {'a_GT.png': 'a.png'}
    """
    by_stem: dict[str, list[Path]] = defaultdict(list)
    alike = _alike(files)
    for path in alike:
        by_stem[composed(path.stem)].append(path)
    found: dict[Path, Path] = {}
    unlikely: dict[tuple[Path, Path], int] = defaultdict(int)
    for path in alike:
        stem, named, _ = mask_stem(composed(path.stem))
        others = by_stem.get(stem, ()) if named else ()
        if not others:
            if len(by_stem[composed(path.stem)]) < 2 or path.suffix.lower() in _LOSSY:
                continue
            named = False
            kind = path.suffix.lower()
            others = [p for p in by_stem[composed(path.stem)] if p.suffix.lower() != kind]
        if not others:
            continue
        photo = next((p for p in others if p.parent == path.parent), others[0])
        # Two folders that number their photographs alike need not be opened file by file.
        pair = path.parent, photo.parent
        if pair[0] != pair[1] and unlikely[pair] >= _PEEKED:
            continue
        if looks_like_mask(path, named=named):
            found[path] = photo
            unlikely[pair] = -len(files)
        else:
            unlikely[pair] += 1
    # Of two that are masks by their pixels, each with the stem of the other, neither has a photo.
    return {m: photo for m, photo in found.items() if photo not in found}


def _alike(files: Sequence[Path]) -> list[Path]:
    """Return the files that share a stem with another, or are a mask's by name or its photograph.

    Of a million others nothing but a number is held.
    """
    own = np.empty(len(files), np.int64)
    meant = np.empty(len(files), np.int64)
    for place, path in enumerate(files):
        stem = composed(path.stem)
        own[place], meant[place] = hash(stem), hash(mask_stem(stem)[0])
    _, place_of, counts = np.unique(own, return_inverse=True, return_counts=True)
    named = (meant != own) & np.isin(meant, own)
    alike = (counts[place_of] > 1) | named | np.isin(own, meant[named])
    return [files[place] for place in np.flatnonzero(alike).tolist()]


def looks_like_mask(path: Path, *, named: bool = False) -> bool:
    """Say whether an image has the pixels of a mask.

    Parameters
    ----------
    path : Path
        The file. One that can't be read isn't a mask.
    named : bool
        Whether its name says so: then soft edges and numbered defects are fine.
    """
    state = file_state(path)
    return state is not None and _looks_like_mask(path, named, state)


@functools.lru_cache(maxsize=65536)
def _looks_like_mask(path: Path, named: bool, _state: tuple[int, ...]) -> bool:
    try:
        image = read_image(path)
    except DataError:
        return False
    histogram = image.convert("L").histogram()
    if histogram[0] == 0:
        return False
    if image.getcolors(_FEW_VALUES if named else 2) is not None:
        return True
    if not named:
        return False
    top = max(value for value, count in enumerate(histogram) if count)
    ends = sum(histogram[:_NEAR]) + sum(histogram[max(top - _NEAR, _NEAR) :])
    return top > 2 * _NEAR and ends >= _NEARLY * sum(histogram)


Key = tuple[tuple[str, ...], str]


def key_of(parts: Sequence[str], *, neutral: bool = False, labels: bool = True) -> Key:
    """Return what a photograph and its mask have in common: their folders and stem.

    Parameters
    ----------
    parts : sequence of str
        Of a path below the folder of a category.
    neutral, labels : bool
        Whether folders that say nothing, such as ``images``, and that say good or defective count.

    Examples
    --------
    >>> key_of(("test", "cut", "0.png")) == key_of(("ground_truth", "cut", "0_mask.png"))
    True
    >>> key_of(("NG", "0.png"), labels=False) == key_of(("MASK", "0.png"))
    True
    """
    name = parts[-1]
    stem, _, _ = mask_stem(composed(name[: name.rfind(".")] if "." in name[1:] else name))
    return _common(tuple(parts[:-1]), neutral, labels), stem


@functools.lru_cache(maxsize=65536)
def _common(parts: tuple[str, ...], neutral: bool, labels: bool) -> tuple[str, ...]:
    folders = []
    for part in parts:
        meaning = meaning_of(part)
        if meaning.what is Role.MASK:
            rest, _, _ = mask_stem(part)
            if rest != part and not meaning.whole:
                folders.append(composed(rest))
        elif not (
            (meaning.split is not None and meaning.whole and meaning.what is None)
            or (not neutral and is_neutral(part) and not any(c.isdigit() for c in part))
            or (not labels and meaning.what is not None)
        ):
            folders.append(composed(part))
    return tuple(folders)


@dataclass(frozen=True)
class Matched:
    """Masks by the photographs that they are of.

    Parameters
    ----------
    masks : dict of Path to tuple of Path
        The files of a photograph's mask, more than one if they are to be joined.
    stray : tuple of Path
        Masks that belong to no photograph.
    """

    masks: dict[Path, tuple[Path, ...]]
    stray: tuple[Path, ...]


def match(
    photographs: Mapping[Path, Sequence[str]], masks: Mapping[Path, Sequence[str]]
) -> Matched:
    """Find the masks of photographs: by their folders and stems, then by what these have in common.

    Several masks of one photograph lie in a folder of its name, or are numbered.

    Parameters
    ----------
    photographs, masks : dict of Path to sequence of str
        Files, and the parts of their paths below the folder of the category.

    Raises
    ------
    DataError
        If a photograph has two masks that aren't to be joined, or a mask fits two photographs.
    """
    found: dict[Path, list[tuple[Path, bool]]] = defaultdict(list)
    left = dict(masks)
    if not left:
        return Matched({}, ())
    for neutral, labels in ((True, True), (False, True), (False, False)):
        index: dict[Key, list[Path]] = defaultdict(list)
        for photo, parts in photographs.items():
            key = key_of(parts, neutral=neutral, labels=labels)
            index[_photo_key(key, parts)].append(photo)
        taken = set(found)
        for mask, parts in list(left.items()):
            # One that lies below ``good`` is of no image below ``bad``.
            key = key_of(parts, neutral=neutral)
            numbered = mask_stem(composed(mask.stem))[2]
            owners = index.get(_photo_key(key, parts)) or index.get(key, [])
            inside = False
            if not owners and key[0]:  # in a folder of the photograph's name
                owners, inside = index.get((key[0][:-1], key[0][-1]), []), True
            split = _split_of(tuple(parts[:-1]))
            owners = [
                photo
                for photo in owners
                if photo not in taken
                and (split is None or split is _split_of(tuple(photographs[photo][:-1])))
            ]
            if len(owners) > 1:
                raise DataError(
                    f"the mask {mask} fits both {owners[0]} and {owners[1]}: rename one of them"
                )
            if owners:
                found[owners[0]].append((mask, inside or numbered))
                del left[mask]
    for photo, files in found.items():
        if len(files) > 1 and not all(joined for _, joined in files):
            raise _two_masks(photo, files[0][0], files[1][0])
    return Matched({p: tuple(f for f, _ in files) for p, files in found.items()}, tuple(left))


@functools.lru_cache(maxsize=65536)
def _split_of(parts: tuple[str, ...]) -> Role | None:
    """For what folders say that images are: the mask of a test image is of none to train on."""
    return split_of([meaning_of(part).split for part in parts])


def _photo_key(key: Key, parts: Sequence[str]) -> Key:
    # Of a photograph, what looks like a mask's suffix is part of its name.
    return key[0], composed(Path(parts[-1]).stem)


def _two_masks(photo: Path, first: Path, second: Path) -> DataError:
    if first.parent != second.parent:
        one, two = _apart(first, second)
        if one.parent == two.parent:
            return DataError(
                f"both {one} and {two} hold masks, such as of {photo}: keep one, or name the one"
                " that counts with --masks NAME"
            )
    if mask_stem(second.stem)[1]:
        first, second = second, first
    return DataError(f"{photo} has two masks, {first} and {second}: rename or remove one")


def _apart(first: Path, second: Path) -> tuple[Path, Path]:
    """The folders above two files at which their paths part."""
    for one, two in zip(reversed(first.parents), reversed(second.parents), strict=False):
        if one != two:
            return one, two
    return first, second


def read_annotations(files: Iterable[Path]) -> Iterator[tuple[Path, set[str] | None]]:
    """Yield the files that hold outlines: with None for one image's, or the names of many's.

    Parameters
    ----------
    files : iterable of Path
        JSON files, of which those of LabelMe and COCO are meant.
    """
    for path in files:
        state = file_state(path)
        found = False if state is None else _annotated(path, state)
        if found is not False:
            yield path, None if found is True else set(found)


@functools.lru_cache(maxsize=1024)
def _annotated(path: Path, _state: tuple[int, ...]) -> frozenset[str] | bool:
    try:
        if path.stat().st_size > _LARGEST_JSON:
            return False
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(values, dict):
        return False
    if isinstance(values.get("shapes"), list):
        return True
    images, annotations = values.get("images"), values.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        return False
    drawn = {entry.get("image_id") for entry in annotations if isinstance(entry, dict)}
    return frozenset(
        composed(str(entry["file_name"]).replace("\\", "/"))
        for entry in images
        if isinstance(entry, dict) and "file_name" in entry and entry.get("id") in drawn
    )
