"""VisA, the Visual Anomaly data set, by its official splits."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from anomalist.data.excluding import excluded
from anomalist.data.imageset import Category, ImageSet, Sample
from anomalist.data.layout import check_category, existing_folder
from anomalist.data.tree import is_below
from anomalist.data.understanding import Understanding
from anomalist.data.walking import walk
from anomalist.errors import DataError

_COLUMNS = ("object", "split", "label", "image", "mask")


class VisA:
    """VisA as it is downloaded: 12 categories, and lists of which image serves for what.

    The list ``split_csv/1cls.csv`` has the columns ``object,split,label,image,mask``: the category,
    ``train`` or ``test``, ``normal`` or ``anomaly``, and the files below ``root``. The list doesn't
    tell kinds of defects apart, so all are called ``"anomaly"``.

    Zou et al., "SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and
    Segmentation", ECCV 2022.

    Parameters
    ----------
    root : str or Path
        The folder of the data set; it may hold some of the categories only.
    split : str
        The list to use, ``1cls`` for detectors that learn from good images only.

    exclude : sequence of str or Path
        Images to leave out, as `~anomalist.data.open_dataset` takes them.

    Raises
    ------
    DataError
        If there is no such folder, list or column, or no category of the list.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for file in ("split_csv/1cls.csv", "candle/0.JPG", "candle/1.JPG", "candle/1.png"):
    ...     (root / file).parent.mkdir(exist_ok=True)
    ...     (root / file).touch()
    >>> _ = (root / "split_csv/1cls.csv").write_text('''object,split,label,image,mask
    ... candle,train,normal,candle/0.JPG,
    ... candle,test,anomaly,candle/1.JPG,candle/1.png
    ... ''')
    >>> data = VisA(root)
    >>> data.categories, data.category("candle").test.defects
    (['candle'], ['anomaly'])
    """

    name = "visa"

    def __init__(
        self, root: str | Path, split: str = "1cls", *, exclude: Iterable[str | Path] = ()
    ) -> None:
        self.root = existing_folder(root)
        self.listing = walk(self.root)
        self.excluded = excluded(self.listing, exclude)
        self.split = split
        lists = {path.stem: path for path in sorted(self.root.glob("split_csv/*.csv"))}
        if split not in lists:
            there = f"it has {', '.join(lists)}" if lists else "VisA comes with that file"
            raise DataError(f"{self.root} has no split_csv/{split}.csv; {there}")
        listed = _rows(lists[split])
        self._rows = {n: rows for n, rows in sorted(listed.items()) if (self.root / n).is_dir()}
        if not self._rows:
            raise DataError(
                f"{self.root} has none of the categories that {lists[split]} lists: "
                f"{', '.join(sorted(listed)) or 'it is empty'}"
            )

    def __repr__(self) -> str:
        return f"VisA({str(self.root)!r}, {self.split!r})"

    @property
    def categories(self) -> list[str]:
        """The names of the categories that are there, sorted."""
        return list(self._rows)

    def category(self, name: str) -> Category:
        """Return a category.

        Raises
        ------
        DataError
            If there is no category of that name, a file of it is missing, or the split has no good
            image to learn from, or an anomalous one.
        """
        check_category(name, self.categories, self.root)
        sets: dict[str, list[Sample]] = {"train": [], "test": []}
        for row in self._rows[name]:
            image = self.root / row["image"]
            mask = self.root / row["mask"] if row["mask"] else None
            for file in (image, mask):
                if file is not None and not file.is_file():
                    raise DataError(f"there is no file {file}, which split {self.split} lists")
            anomalous = row["label"] == "anomaly"
            sets[row["split"]].append(
                Sample(image, anomalous, "anomaly" if anomalous else "good", mask)
            )
        if any(sample.label for sample in sets["train"]):
            raise DataError(
                f"split {self.split} trains on anomalous images; detectors here learn from good "
                "ones only: use split 1cls"
            )
        if not sets["train"]:
            raise DataError(f"split {self.split} lists no {name} image to learn from")
        train, test = (
            ImageSet(
                (
                    sample
                    for sample in sorted(samples, key=lambda s: s.path.as_posix())
                    if sample.path not in self.excluded.files
                ),
                f"{name}/{part}",
            )
            for part, samples in sets.items()
        )
        return Category(name, train, test)

    def understand(self, name: str) -> Understanding:
        """Return what the images of a category are taken for."""
        found = self.category(name)
        folder = self.root / name
        masks = tuple(sample.mask for sample in found.test if isinstance(sample.mask, Path))
        known = {*found.train.paths, *found.test.paths, *masks}
        gone = tuple(path for path in sorted(self.excluded.files) if is_below(path, folder))
        unlisted = tuple(
            path
            for path in self.listing.files
            if is_below(path, folder) and path not in known and path not in self.excluded.files
        )
        why = f"split_csv/{self.split}.csv doesn't list them"
        left = {why: unlisted} if unlisted else {}
        notes = self.listing.notes()
        return Understanding(name, folder, True, found.train, found.test, masks, left, gone, notes)


def _rows(file: Path) -> dict[str, list[dict[str, str]]]:
    """Read a split, checked, by category."""
    found = defaultdict(list)
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{file} has no column {missing[0]!r}; it needs {','.join(_COLUMNS)}"
                )
            for row in reader:
                if row["split"] not in {"train", "test"} or row["label"] not in {
                    "normal",
                    "anomaly",
                }:
                    raise DataError(
                        f"{file}, line {reader.line_num}: split must be train or test and label "
                        f"normal or anomaly, not {row['split']!r} and {row['label']!r}"
                    )
                if not row["object"] or not row["image"]:
                    raise DataError(f"{file}, line {reader.line_num}: object or image is empty")
                found[row["object"]].append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} can't be read: {error}") from error
    return found
