"""Maps and scores find the images that they are of, by the names that their authors gave them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from anomalist.data.images import IMAGE_SUFFIXES
from anomalist.data.maps import MAP_SUFFIXES
from anomalist.data.names import common_end, composed, first_of
from anomalist.data.roles import meaning_of, split_of
from anomalist.data.words import Role
from anomalist.errors import DataError

# What is added to the stem of an image to name its map.
_SUFFIX = re.compile(
    r"(?i)(?:[_\-. ]+(?:anomaly|anomalymap|map|maps|amap|heatmap|heat|scoremap|score|scores|pred"
    r"|prediction|raw|float|float32|out|output|result))+$"
)
_PREFIX = re.compile(r"(?i)^(?:anomaly[_\-. ]?map|amap|heat[_\-. ]?map|map|pred)[_\-. ]+")
_ENDINGS = {*IMAGE_SUFFIXES, *MAP_SUFFIXES}
_TOLD = 3
# Of so many folders above an image, names may be grown into that of its map.
_GROWN = 4


@dataclass(frozen=True)
class Belonging:
    """Which of some names is of which image.

    Parameters
    ----------
    of : dict of int to int
        The place of a name, by the place of its image.
    strays : tuple of str
        Names that are of no image.
    doubles : tuple of (str, str)
        Names that were passed over, each with one for the same image that was taken.
    """

    of: dict[int, int]
    strays: tuple[str, ...]
    doubles: tuple[tuple[str, str], ...] = ()


def belong(
    names: Sequence[str],
    images: Sequence[Path],
    what: str = "map",
    *,
    elsewhere: Iterable[str] = (),
) -> Belonging:
    """Find the images that names of files are of.

    1. The stem is the image's; else it is so without a suffix such as ``_map``, ``_heatmap`` or
       ``_anomaly_map`` or such a prefix; else it is the image's with the names of its folders
       before it (``broken_large_000``).
    2. Folders don't contradict: one that is called as a kind of defect, or for training or tests,
       means images in such a folder.
    3. Of several images that are left, it is that with which it has the most folders in common,
       counted from the file.

    Of several names for one image the kind of file with the most exact values counts: ``.npy``,
    then ``.npz``, TIFF, PNG.

    Parameters
    ----------
    names : sequence of str
        Paths of files, from anywhere; slashes of Windows will do.
    images : sequence of Path
        Of the images.
    what : str
        What errors call that which has the names.
    elsewhere : iterable of str
        Folders, such as other categories, whose files are none of these images'; names that lie
        in one are passed over.

    Raises
    ------
    DataError
        If a name fits several images alike, or two names of one kind fit one image.

    Examples
    --------
    >>> images = [Path("test/cut/000.png"), Path("test/good/000.png"), Path("test/good/001.png")]
    >>> belong(["cut/000_map.tiff", "good_000.npy", "001.npy", "002.npy"], images)
    Belonging(of={0: 0, 1: 1, 2: 2}, strays=('002.npy',), doubles=())
    """
    finder = _Finder(images, what, elsewhere)
    found: dict[int, int] = {}
    strays, doubles = [], []
    for place, name in enumerate(names):
        if finder.is_elsewhere(name):
            continue
        image = finder.image_of(name)
        if image is None:
            strays.append(name)
            continue
        other = found.get(image)
        if other is None:
            found[image] = place
            continue
        better, worse = sorted((place, other), key=lambda p: _rank(names[p]))
        if _rank(names[better]) == _rank(names[worse]):
            raise DataError(
                f"{names[other]} and {name} are both a {what} of {images[image]}: keep one"
            )
        found[image] = better
        doubles.append((names[worse], names[better]))
    return Belonging(dict(sorted(found.items())), tuple(strays), tuple(doubles))


class _Finder:
    def __init__(self, images: Sequence[Path], what: str, elsewhere: Iterable[str]) -> None:
        self._images, self._what = images, what
        self._folders = [_folded(path.parts[:-1]) for path in images]
        self._kinds = {folders[-1] for folders in self._folders if folders}
        self._splits = [_split(folders) for folders in self._folders]
        self._by_stem: dict[str, list[int]] = defaultdict(list)
        self._grown: dict[str, list[int]] = defaultdict(list)
        for i, path in enumerate(images):
            stem = _folded([path.stem])[0]
            self._by_stem[stem].append(i)
            for count in range(1, _GROWN + 1):
                above = self._folders[i][-count:]
                if len(above) == count:
                    self._grown[_joined([*above, stem])].append(i)

        mine = {folder for folders in self._folders for folder in folders}
        self._elsewhere = frozenset(_folded(elsewhere)) - mine

    def is_elsewhere(self, name: str) -> bool:
        return not self._elsewhere.isdisjoint(_folded(_parts(name)[:-1]))

    def image_of(self, name: str) -> int | None:
        parts = _parts(name)
        if not parts:
            return None
        stem = _stem(_folded([parts[-1]])[0])
        folders = _folded(parts[:-1])
        bare = _SUFFIX.sub("", stem) or stem
        for index, keys in (
            (self._by_stem, (stem, bare, _PREFIX.sub("", stem), _PREFIX.sub("", bare))),
            (self._grown, (_joined([stem]), _joined([bare]))),
        ):
            for key in dict.fromkeys(keys):
                possible = [i for i in index.get(key, ()) if self._agrees(i, folders)]
                if possible:
                    return self._nearest(possible, folders, name)
        return None

    def _agrees(self, image: int, folders: tuple[str, ...]) -> bool:
        kinds = [folder for folder in folders if folder in self._kinds]
        if kinds and kinds[-1] not in self._folders[image]:
            return False
        split = _split(folders)
        return split is None or self._splits[image] in (None, split)

    def _nearest(self, possible: list[int], folders: tuple[str, ...], name: str) -> int:
        if len(possible) == 1:
            return possible[0]
        common = [common_end(self._folders[i], folders) for i in possible]
        best = [i for i, n in zip(possible, common, strict=True) if n == max(common)]
        if len(best) > 1:
            shown = first_of([str(self._images[i]) for i in best], _TOLD)
            raise DataError(
                f"the {self._what} {name} fits {len(best)} images ({shown}): put each in a folder"
                " that is called as that of its image, such as good/000.npy"
            )
        return best[0]


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _folded(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(composed(part).casefold() for part in parts)


def _joined(parts: Iterable[str]) -> str:
    return re.sub(r"[_\-. ]+", "_", "_".join(parts))


def _stem(name: str) -> str:
    """A name without what says that it is a file of a picture, a map or both: ``000.png.npy``."""
    while True:
        stem, dot, ending = name.rpartition(".")
        if not stem or dot + ending not in _ENDINGS:
            return name
        name = stem


def _split(folders: Sequence[str]) -> Role | None:
    """For what the innermost folder that says it says that images are."""
    splits = (split_of([meaning_of(folder).split]) for folder in reversed(folders))
    return next((split for split in splits if split is not None), None)


def _rank(name: str) -> int:
    ending = Path(name).suffix.lower()
    return MAP_SUFFIXES.index(ending) if ending in MAP_SUFFIXES else len(MAP_SUFFIXES)
