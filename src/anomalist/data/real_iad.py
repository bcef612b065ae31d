"""Real-IAD: 30 kinds of parts, five views of each, and lists of several tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from anomalist.data.listed import NOT_GOOD, Listed, ListedDataset, check_there
from anomalist.data.names import images, plural
from anomalist.data.sample import Sample
from anomalist.errors import DataError, ParameterError

_LISTS = re.compile(r"(?i)real_?iad(?:variety)?_jsons(?:_(?P<name>.+))?$")
_IMAGES = re.compile(r"(?i)real_?iad(?:variety)?_(?P<size>\d+|raw)$")
_MULTI = "multi"
_CONTAMINATED = "+contaminated"
_LARGEST = 200_000_000


class RealIAD(ListedDataset):
    """Real-IAD as it is downloaded: images in one or more sizes, and JSON files that list them.

    ::

        realiad_1024/audiojack/OK/S0001/audiojack_0001_OK_C1_20231021153340.jpg
        realiad_1024/audiojack/NG/HS/S0064/audiojack_0064_NG_HS_C1_20231023092610.jpg
        realiad_1024/audiojack/NG/HS/S0064/audiojack_0064_NG_HS_C1_20231023092610.png   its mask
        realiad_jsons/realiad_jsons/audiojack.json              all views
        realiad_jsons/realiad_jsons_sv/audiojack.json           a single one
        realiad_jsons/realiad_jsons_fuiad_0.1/audiojack.json    defects among those to train on

    The folders of lists may also lie beside those of images. The views of a part are one group.
    Kinds of defects are called as in the lists: AK pit, BX deformation, CH abrasion, HS scratch,
    PS damage, QS missing part, YW foreign object, ZW contamination.

    The lists ``fuiad_...`` name defects among the images to train on, for methods that are to bear
    them. These are left out, which a note tells, unless ``contaminated`` asks for them: then all
    images to train on count as of unknown label.

    Wang et al., "Real-IAD: A Real-World Multi-View Dataset for Benchmarking Versatile Industrial
    Anomaly Detection", CVPR 2024.

    Parameters
    ----------
    root : str or Path
        The folder that holds those of lists and of images.
    lists : str, optional
        Which lists: ``multi``, ``sv`` or, for one, ``fuiad_0.1``; by default ``multi``, or the only
        ones that are there.
    size : str or int, optional
        Which images, such as 512; by default those that are there.
    contaminated : bool
        Whether defects that a list names for training are learnt from.
    exclude : sequence of str or Path
        Images to leave out, as `~anomalist.data.open_dataset` takes them.

    Raises
    ------
    DataError
        If there is no such folder, list or size, or it isn't clear which one is meant.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> part, scratched = "OK/S0001/audiojack_0001_OK_C1.jpg", "NG/HS/S0064/audiojack_0064_C1.jpg"
    >>> for name in (part, scratched):
    ...     (root / "realiad_256/audiojack" / name).parent.mkdir(parents=True)
    ...     (root / "realiad_256/audiojack" / name).touch()
    >>> (root / "realiad_jsons").mkdir()
    >>> _ = (root / "realiad_jsons/audiojack.json").write_text(json.dumps({
    ...     "meta": {"normal_class": "OK", "prefix": "audiojack/"},
    ...     "train": [{"image_path": part, "anomaly_class": "OK", "mask_path": None}],
    ...     "test": [{"image_path": scratched, "anomaly_class": "HS", "mask_path": None}],
    ... }))
    >>> found = RealIAD(root).category("audiojack")
    >>> found.train[0].group, found.test.defects
    ('OK/S0001', ['HS'])
    """

    name = "real_iad"

    def __init__(
        self,
        root: str | Path,
        lists: str | None = None,
        size: str | int | None = None,
        *,
        contaminated: bool = False,
        exclude: Iterable[str | Path] = (),
    ) -> None:
        super().__init__(root, exclude=exclude)
        self.contaminated = contaminated
        there = real_iad_lists(self.root)
        if not there:
            raise DataError(
                f"{self.root} isn't Real-IAD: it has no folder realiad_jsons with a JSON file of"
                " each category"
            )
        if lists is None and _MULTI in there:
            lists = _MULTI
        self.lists, self._folder = self._one(there, lists, "lists", "real_iad:NAME")
        sizes = {
            found["size"]: path
            for path in sorted(self.root.iterdir())
            if (found := _IMAGES.match(path.name)) and path.is_dir()
        }
        if not sizes:
            raise DataError(
                f"{self.root} has no folder of images beside its lists, such as realiad_1024"
            )
        wanted = None if size is None else str(size)
        self.size, self._images = self._one(sizes, wanted, "images", "real_iad:NAME@SIZE")
        self._files = {
            path.stem: path
            for path in sorted(self._folder.glob("*.json"))
            if (self._images / path.stem).is_dir()
        }
        if not self._files:
            raise DataError(
                f"{self._images} has none of the categories that {self._folder} lists:"
                f" {', '.join(sorted(path.stem for path in self._folder.glob('*.json')))}"
            )

    @classmethod
    def of(cls, root: Path, variant: str, exclude: Iterable[str | Path]) -> RealIAD:
        """Open it as ``real_iad:LISTS@SIZE+contaminated`` says, any part of which may be missing.

        Raises
        ------
        ParameterError
            If the text makes no sense.
        """
        found = re.fullmatch(r"([^@+]*)(?:@([^@+]+))?(\+contaminated)?", variant)
        if found is None:
            raise ParameterError(
                f"the format 'real_iad:{variant}' makes no sense: give, for one, real_iad:sv,"
                f" real_iad:sv@512 or real_iad:fuiad_0.1{_CONTAMINATED}"
            )
        lists, size, contaminated = found.groups()
        return cls(
            root, lists or None, size, contaminated=contaminated is not None, exclude=exclude
        )

    def __repr__(self) -> str:
        return f"RealIAD({str(self.root)!r}, {self.lists!r}, {self.size!r})"

    def _one(
        self, there: dict[str, Path], name: str | None, what: str, flag: str
    ) -> tuple[str, Path]:
        if name is None and len(there) == 1:
            (name,) = there
        if name is None:
            raise DataError(
                f"{self.root} has {what} {', '.join(there)}: choose with --format {flag}"
            )
        if name not in there:
            raise DataError(f"{self.root} has no {what} {name}; it has {', '.join(there)}")
        return name, there[name]

    @property
    def categories(self) -> list[str]:
        """The names of the categories that are there, sorted."""
        return list(self._files)

    def _list(self, name: str) -> Listed:
        file = self._files[name]
        meta, splits = _read(file)
        folder = self._images / str(meta.get("prefix") or name)
        normal = meta.get("normal_class", "OK")
        found = Listed(self._images / name, str(file))
        files, defects = [], []
        for split, into in (("train", found.train), ("test", found.test)):
            for place, entry in enumerate(splits[split]):
                try:
                    image, kind = folder / entry["image_path"], str(entry["anomaly_class"])
                    mask = folder / entry["mask_path"] if entry.get("mask_path") else None
                except (TypeError, KeyError) as error:
                    raise DataError(
                        f"{file}: entry {place} of {split!r} has no {error}, or it is no text"
                    ) from error
                files += [image] if mask is None else [image, mask]
                group = Path(entry["image_path"]).parent.as_posix()
                good = kind == normal
                if split == "train" and self.contaminated:
                    defects += [image] * (not good)
                    into.append(Sample(image, group=group))
                elif split == "train" and not good:
                    defects.append(image)
                elif good:
                    into.append(Sample(image, False, "good", group=group))
                else:
                    into.append(Sample(image, True, kind, mask, group=group))
        check_there(files, file)
        found.named.update(files)
        if defects and self.contaminated:
            found.notes.append(
                f"{len(defects)} of {images(len(found.train))} to learn from"
                f" {'is a defect' if len(defects) == 1 else 'are defects'}, as {self.lists} has it:"
                " all are learnt from, without labels"
            )
        elif defects:
            found.notes.append(
                f"{self.lists} names {plural(len(defects), 'defect')} among"
                f" {images(len(found.train) + len(defects))} to train on, on purpose; --format"
                f" real_iad:{self.lists}{_CONTAMINATED} learns from them, too"
            )
            found.leave(NOT_GOOD, defects)
        return found


def real_iad_lists(root: Path) -> dict[str, Path]:
    """Return the folders of lists in that of Real-IAD, by what they are for."""
    found: dict[str, Path] = {}
    for folder in sorted(root.iterdir()):
        if not _LISTS.match(folder.name) or not folder.is_dir():
            continue
        for path in (folder, *sorted(folder.glob("*"))):
            named = _LISTS.match(path.name)
            if named and path.is_dir() and next(path.glob("*.json"), None) is not None:
                found.setdefault(named["name"] or _MULTI, path)
    return found


def _read(file: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The settings of a list, and its entries by split."""
    try:
        if file.stat().st_size > _LARGEST:
            raise DataError(f"{file} can't be a list of Real-IAD: it is too large")
        values = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} can't be read: {error}") from error
    splits = {}
    for split in ("train", "test"):
        entries = values.get(split) if isinstance(values, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{file} isn't a list of Real-IAD: it has no {split!r}")
        splits[split] = entries
    meta = values.get("meta")
    return meta if isinstance(meta, dict) else {}, splits
