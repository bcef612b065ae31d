"""VisA, the Visual Anomaly data set, by its official splits or, without them, by one made here."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from anomalist.data.holdout import hold_out
from anomalist.data.listed import Listed, ListedDataset, check_there
from anomalist.data.sample import Sample
from anomalist.errors import DataError

CATEGORIES = (
    "candle",
    "capsules",
    "cashew",
    "chewinggum",
    "fryum",
    "macaroni1",
    "macaroni2",
    "pcb1",
    "pcb2",
    "pcb3",
    "pcb4",
    "pipe_fryum",
)

_COLUMNS = ("object", "split", "label", "image", "mask")
_NORMAL, _ANOMALY, _MASKS = "Data/Images/Normal", "Data/Images/Anomaly", "Data/Masks/Anomaly"
_TEST_SHARE = 0.2


class VisA(ListedDataset):
    """VisA as it is downloaded: 12 categories, and lists of which image serves for what.

    The list ``split_csv/1cls.csv`` has the columns ``object,split,label,image,mask``: the category,
    ``train`` or ``test``, ``normal`` or ``anomaly``, and the files below ``root``. The list doesn't
    tell kinds of defects apart, so all are called ``"anomaly"``.

    Without the folder ``split_csv``, a fifth of the good images in ``CATEGORY/Data/Images/Normal``
    is held out to test on, as of a plain `Folder`, beside those in ``Anomaly``, and a note says so:
    what is measured then isn't what the official split gives.

    Zou et al., "SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and
    Segmentation", ECCV 2022.

    Parameters
    ----------
    root : str or Path
        The folder of the data set; it may hold some of the categories only.
    split : str, optional
        The list to use; by default ``1cls``, for detectors that learn from good images only, where
        there are lists.
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
        self,
        root: str | Path,
        split: str | None = None,
        *,
        exclude: Iterable[str | Path] = (),
    ) -> None:
        super().__init__(root, exclude=exclude)
        self._rows: dict[str, list[dict[str, str]]] = {}
        self._folders = [] if split is not None else self._without_lists()
        self.split = split if split is not None or self._folders else "1cls"
        if self.split is not None:
            self._read_split(self.split)

    def __repr__(self) -> str:
        return f"VisA({str(self.root)!r}, {self.split!r})"

    def _without_lists(self) -> list[str]:
        """The categories of a tree that has no list."""
        if (self.root / "split_csv").is_dir():
            return []
        return sorted(folder.name for folder in visa_folders(self.root))

    def _read_split(self, split: str) -> None:
        lists = {path.stem: path for path in sorted(self.root.glob("split_csv/*.csv"))}
        if split not in lists:
            there = f"it has {', '.join(lists)}" if lists else "VisA comes with that file"
            more = "" if lists else f". Nor has a folder in it {_NORMAL}"
            raise DataError(f"{self.root} has no split_csv/{split}.csv; {there}{more}")
        listed = _rows(lists[split])
        self._rows = {n: rows for n, rows in sorted(listed.items()) if (self.root / n).is_dir()}
        if not self._rows:
            raise DataError(
                f"{self.root} has none of the categories that {lists[split]} lists: "
                f"{', '.join(sorted(listed)) or 'it is empty'}"
            )

    @property
    def categories(self) -> list[str]:
        """The names of the categories that are there, sorted."""
        return list(self._rows) or self._folders

    def _list(self, name: str) -> Listed:
        return self._of_split(name) if self._rows else self._held_out(name)

    def _of_split(self, name: str) -> Listed:
        found = Listed(self.root / name, f"split {self.split}")
        files = []
        for row in self._rows[name]:
            image = self.root / row["image"]
            mask = self.root / row["mask"] if row["mask"] else None
            files += [image] if mask is None else [image, mask]
            anomalous = row["label"] == "anomaly"
            sample = Sample(image, anomalous, "anomaly" if anomalous else "good", mask)
            (found.train if row["split"] == "train" else found.test).append(sample)
        check_there(files, found.source)
        found.named.update(files)
        if any(sample.label for sample in found.train):
            raise DataError(
                f"split {self.split} trains on anomalous images; detectors here learn from good "
                "ones only: use split 1cls"
            )
        return found

    def _held_out(self, name: str) -> Listed:
        folder = self.root / name
        found = Listed(folder, f"{_NORMAL} of {folder}", is_split=False)
        normal, anomalous = self._images(folder / _NORMAL), self._images(folder / _ANOMALY)
        masks = {path.stem: path for path in self._images(folder / _MASKS)}
        if anomalous:
            held = hold_out(
                {path: path.relative_to(folder).as_posix() for path in normal}, _TEST_SHARE, 0
            )
            found.notes.append(
                f"there is no split_csv/1cls.csv, the official split: {len(held)} of"
                f" {len(normal)} good images, chosen by their names, are held out to test on"
            )
        else:
            held = set()
        found.train = [Sample(path, False, "good") for path in normal if path not in held]
        found.test = [Sample(path, False, "good") for path in normal if path in held]
        found.test += [Sample(p, True, "anomaly", masks.get(p.stem)) for p in anomalous]
        return found

    def _images(self, folder: Path) -> list[Path]:
        return [path for path in self.listing.files if path.parent == folder]


def visa_folders(root: Path) -> list[Path]:
    """Return the folders of categories as VisA is downloaded, whether or not there is a list."""
    return [path.parents[2] for path in root.glob(f"*/{_NORMAL}") if path.is_dir()]


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
