"""Data sets that a manifest describes: an image a line, with its label, mask, split and group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anomalist.data.holdout import hold_out
from anomalist.data.listed import NOT_GOOD, Listed, ListedDataset
from anomalist.data.manifest_files import ManifestFiles
from anomalist.data.manifest_rows import SUFFIXES, Row, is_manifest, read_rows
from anomalist.data.names import existing, first_of, images, plural
from anomalist.data.roles import meaning_of
from anomalist.data.sample import Sample
from anomalist.data.words import Role
from anomalist.errors import DataError

_TEST_SHARE = 0.2
_TOLD = 3
_YES = frozenset({"1", "1.0", "true", "yes", "y", "t"})
_NO = frozenset({"0", "0.0", "false", "no", "n", "f"})
_NOTHING = frozenset({"", "none", "null", "nan", "na", "n/a", "-", "?"})
_KIND = "anomaly"
_NOBODY = "no label says whether they are good"
_NO_SPLIT = "no split is said of them, as it is of others"
_BOTH = "they are for tests, too"


@dataclass(eq=False)
class _Item:
    """An image, and what one or more rows say of it."""

    path: Path
    row: Row
    good: bool | None
    kind: str
    split: Role | None
    masks: list[Path] = field(default_factory=list)


class Manifest(ListedDataset):
    r"""A data set whose manifest says what each image is.

    A manifest is a CSV file, JSON lines or a JSON list. Columns are found by what people call them,
    such as ``image``, ``path`` or ``filename``; ``label``, ``is_anomaly`` or ``good``; ``mask``,
    ``split``, ``group`` and ``category``. Lookout for Vision's and Ground Truth's are read as they
    are. Labels are 0 and 1, where 1 is defective, or words, as names of folders are; beside one
    that means good, others are kinds of defects. Several rows of an image join their masks.

    What a split calls for training is learnt from where it is good, and left out where it isn't.
    An image that is for training and for tests isn't learnt from. Where no row names a split, a
    fifth of the good images, or of the groups where there are such, is held out to test on.

    Parameters
    ----------
    root : str or Path
        The manifest, or the folder that holds it.
    file : str, optional
        Which one in the folder; by default the one called so, or the ones of train and test.
    good, bad : sequence of str
        Labels that mean good, or defective, whatever they say.
    exclude : sequence of str or Path
        Images to leave out, as `~anomalist.data.open_dataset` takes them.

    Raises
    ------
    DataError
        If there is no manifest, it can't be read, files that it names aren't there, or two rows
        contradict each other.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("1.png", "2.png", "3.png"):
    ...     (root / name).touch()
    >>> _ = (root / "manifest.csv").write_text(
    ...     "path,label,split,part\n1.png,ok,train,7\n2.png,ok,test,8\n3.png,dent,test,9\n"
    ... )
    >>> found = Manifest(root).category(root.name)
    >>> [sample.group for sample in found.train], found.test.defects
    (['7'], ['good', 'dent'])
    """

    name = "manifest"

    def __init__(
        self,
        root: str | Path,
        file: str | None = None,
        *,
        good: Iterable[str | Path] = (),
        bad: Iterable[str | Path] = (),
        exclude: Iterable[str | Path] = (),
    ) -> None:
        place = existing(root)
        self.files = [place] if place.is_file() else []
        super().__init__(place.parent if self.files else place, exclude=exclude)
        if not self.files:
            self.files = _chosen(self.root, file)
        self._said = {str(label).casefold(): True for label in good}
        self._said |= {str(label).casefold(): False for label in bad}
        self._notes: list[str] = []
        self._rows: dict[str, list[tuple[Path, Row]]] = defaultdict(list)
        whole = self.root.resolve().name or "manifest"
        for path in self.files:
            for row in read_rows(path):
                self._rows[row.category or whole].append((path, row))
        self._found: dict[Path, ManifestFiles] = {}

    def __repr__(self) -> str:
        return f"Manifest({str(self.files[0])!r})"

    @property
    def categories(self) -> list[str]:
        """The names of the categories, sorted."""
        return sorted(self._rows)

    def _list(self, name: str) -> Listed:
        rows = self._rows[name]
        shown = " and ".join(path.name for path in self.files)
        found = Listed(self.root, shown)
        items = self._items(rows, found)
        found.leave(_NOBODY, (i.path for i in items if i.good is None))
        items = [item for item in items if item.good is not None]
        found.is_split = any(item.split is not None for item in items)
        if found.is_split:
            found.leave(_NO_SPLIT, (i.path for i in items if i.split is None))
        else:
            _hold_out(items, found.notes)
        for item in items:
            if item.split in (Role.TRAIN, Role.VALIDATION) and item.good:
                found.train.append(_sample(item))
            elif item.split is Role.TRAIN:
                found.leave(NOT_GOOD, [item.path])
            elif item.split is not None:
                found.test.append(_sample(item))
        if len(self._rows) > 1:  # others list them
            found.folder = self.root / name
        return found

    def _items(self, rows: Sequence[tuple[Path, Row]], found: Listed) -> list[_Item]:
        """The images of rows, each once."""
        labels = _Labels([row for _, row in rows], self._said, self.files[0])
        items: dict[Path, _Item] = {}
        gone: list[tuple[Path, Row, str]] = []
        ends: list[str] = []
        again, both = [], []
        for file, row in rows:
            files = self._files_of(file)
            before = len(files.by_end)
            path = files.find(row.image)
            mask = files.find(row.mask) if row.mask.casefold() not in _NOTHING else None
            ends += files.by_end[before:]
            if path is None:
                gone.append((file, row, row.image))
                continue
            if mask is None and row.mask.casefold() not in _NOTHING:
                gone.append((file, row, row.mask))
                continue
            found.named.update(filter(None, (path, mask)))
            good, kind = labels.of(row)
            split = _split(file, row)
            item = items.setdefault(path, _Item(path, row, good, kind, split))
            if item.row is not row:
                if item.good is not good:
                    raise DataError(
                        f"{file}, line {row.line}: {row.image} is good in one line and not in"
                        f" another, {item.row.line}: keep one of them"
                    )
                if item.split is not split and Role.TEST in (item.split, split):
                    item.split = Role.TEST
                    both.append(path)
                again.append(path)
            if mask is not None and mask not in item.masks:
                item.masks.append(mask)
        if gone:
            raise self._gone(gone, len(rows))
        if both:
            found.notes.append(
                f"{images(len(both))}, such as {both[0]}, not learnt from: {_BOTH}, by other lines"
            )
        elif again:
            found.notes.append(
                f"{plural(len(again), 'line')} more of images that others name, such as"
                f" {again[0]}: each is taken once, with all its masks"
            )
        if ends:
            found.notes.append(
                f"{plural(len(ends), 'path')} such as {ends[0]} found by how the paths of files"
                f" here end: {self._files_of(rows[0][0]).find(ends[0])}"
            )
        return list(items.values())

    def _files_of(self, file: Path) -> ManifestFiles:
        if file.parent not in self._found:
            self._found[file.parent] = ManifestFiles(self.listing, file.parent)
        return self._found[file.parent]

    def _gone(self, gone: Sequence[tuple[Path, Row, str]], rows: int) -> DataError:
        file, row, name = gone[0]
        more = f" (nor {len(gone) - 1} more of its {rows} lines)" if len(gone) > 1 else ""
        return DataError(
            f"{file}, line {row.line} names {name}, which isn't there{more}: paths are taken below"
            f" {file.parent}, and otherwise looked for by how they end in {self.root}"
        )

    def _unlisted(self, folder: Path, known: set[Path]) -> Iterator[Path]:
        # Of one category of several, nobody says where its images lie.
        return super()._unlisted(folder, known) if len(self._rows) == 1 else iter(())


class _Labels:
    """What the labels of a manifest mean."""

    def __init__(self, rows: Sequence[Row], said: Mapping[str, bool], file: Path) -> None:
        self._said, self._file = said, file
        self._known: dict[tuple[str, str, str], tuple[bool | None, str]] = {}
        # Beside a word for good ones, any other is a kind of defect.
        self._has_good = any(self._word(text) is True for r in rows for text in (r.label, r.kind))

    def of(self, row: Row) -> tuple[bool | None, str]:
        """Return whether a row's image is good, None where it doesn't say, and the kind."""
        key = row.label, row.good, row.kind
        if key not in self._known:
            self._known[key] = self._of(row)
        return self._known[key]

    def _of(self, row: Row) -> tuple[bool | None, str]:
        good = self._verdict(row, row.label)
        kind = row.label if good is False and not _is_number(row.label) else ""
        if row.label.casefold() in _NOTHING and row.good.casefold() not in _NOTHING:
            good = self._verdict(row, row.good, one_is_good=True)
        of_kind = None
        if row.kind.casefold() not in _NOTHING:
            of_kind = self._verdict(row, row.kind)
            kind = kind if _is_number(row.kind) else row.kind
        if good is None:
            good = of_kind
        elif of_kind is not None and of_kind is not good:
            raise DataError(
                f"{self._file}, line {row.line}: {row.image} is called both {row.label or row.good}"
                f" and {row.kind}: one of them says that it is good"
            )
        return good, "good" if good else (kind or _KIND)

    def _verdict(self, row: Row, text: str, *, one_is_good: bool = False) -> bool | None:
        if text.casefold() in _NOTHING:
            return None
        number = text.casefold()
        if number not in self._said and (number in _YES or number in _NO):
            return (number in _YES) is one_is_good
        good = self._word(text)
        if good is not None:
            return good
        if meaning_of(text).what is Role.UNSURE:
            return None
        if not self._has_good or _is_number(text):
            raise DataError(
                f"{self._file}, line {row.line}: the label {text!r} isn't known, nor that any"
                " other means good: say so with --good LABEL or --bad LABEL, or use 0 and 1"
            )
        return False

    def _word(self, text: str) -> bool | None:
        """Whether a word means good or not; None if it says neither."""
        said = self._said.get(text.casefold())
        if said is not None:
            return said
        what = meaning_of(text).what
        return what is Role.GOOD if what in (Role.GOOD, Role.DEFECTIVE) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.casefold() in _YES | _NO
    return True


def _split(file: Path, row: Row) -> Role | None:
    """For what a row, or the name of its file, says that an image is."""
    if row.split.casefold() in _NOTHING:
        return meaning_of(file.stem).split
    split = meaning_of(row.split).split
    if split is None:
        raise DataError(
            f"{file}, line {row.line}: the split {row.split!r} isn't known: use train, test or val"
        )
    return split


def _hold_out(items: list[_Item], notes: list[str]) -> None:
    """Choose which good images are for tests, by groups where there are such."""
    good = [item for item in items if item.good]
    defects = [item for item in items if not item.good]
    units = {item.row.group or item.path.as_posix(): item.row.group for item in good}
    named = {unit: group or Path(unit).name for unit, group in units.items()}
    held = hold_out(named, _TEST_SHARE, 0) if defects else set()
    for item in items:
        unit = item.row.group or item.path.as_posix()
        item.split = Role.TEST if not item.good or unit in held else Role.TRAIN
    if defects:
        count = sum(item.split is Role.TEST for item in good)
        whole = " in whole groups" if any(units.values()) else ""
        notes.append(
            f"no split is said: {count} of {len(good)} good images, chosen by their names{whole},"
            " are held out to test on"
        )


def _sample(item: _Item) -> Sample:
    group = item.row.group or None
    if item.good:
        return Sample(item.path, False, "good", group=group)
    masks = tuple(item.masks)
    mask = masks[0] if len(masks) == 1 else masks or None
    return Sample(item.path, True, item.kind, mask, group=group)


def manifests_in(folder: Path) -> list[Path]:
    """Return the files right in a folder that are called manifests, and are such of images."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES
        and (path.suffix.lower() == ".manifest" or "manifest" in path.stem.casefold())
        and path.is_file()
        and (path.suffix.lower() == ".manifest" or is_manifest(path))
    ]


def _chosen(root: Path, name: str | None) -> list[Path]:
    """The manifest of a folder, or the two of train and test."""
    if name is not None:
        path = existing(root / name)
        if not path.is_file():
            raise DataError(f"there is no manifest {path}")
        return [path]
    named = manifests_in(root)
    files = named or [
        path
        for path in sorted(root.iterdir())
        if path.suffix.lower() in SUFFIXES and path.suffix.lower() != ".txt" and path.is_file()
    ]
    if not files:
        raise DataError(
            f"{root} has no manifest: a file such as manifest.csv, with the columns image and label"
        )
    splits = [meaning_of(path.stem).split for path in files]
    if len(files) > 1 and (None in splits or len(set(splits)) < len(files)):
        raise DataError(
            f"{root} has several manifests, {first_of([f.name for f in files], _TOLD)}: choose one"
            " with --format manifest:NAME"
        )
    return files
