"""A plain folder of photos as a data set, and `open_dataset`, which recognises any layout."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from anomalist.data.imageset import Category, Dataset, ImageSet, Sample
from anomalist.data.layout import (
    check_category,
    existing_folder,
    list_images,
    match_masks,
    sub_folders,
)
from anomalist.data.mvtec_ad import MVTecAD, is_category
from anomalist.data.visa import VisA
from anomalist.errors import DataError, ParameterError

GOOD_FOLDERS = ("good", "normal", "ok")
MASK_FOLDERS = ("ground_truth", "masks")
_SPLIT_FOLDERS = ("test", "train", "val", "validation")


class Folder:
    """A folder of photos as a data set of one category, named as the folder.

    Photos right in the folder, with no sub-folder of images, are all good. Otherwise each
    sub-folder is a kind of defect, but for these (in any mix of upper and lower case)::

        parts/good/any/depth/1.png              good images; normal or ok will do for a name
        parts/scratch/any/depth/7.jpg           defects of any number of kinds
        parts/ground_truth/scratch/any/depth/7_mask.png     their masks, where there are any;
                                                            masks/... or 7.png will do

    An image without a mask has an unknown one (None). A mask without an image is left out, unless
    there is an image without a mask that may be its own: that is an error. Files of other kinds,
    hidden ones and folders without an image are left out.

    With no defects, all good images are for training and none for testing. With some, a share of
    the good images is held out for testing, for a detector must never be tested on images that it
    was fitted on. Which ones follows from their names and the seed alone, so that new photos
    hardly change the choice. A single good image is learnt from, and the defects alone are tested.

    Parameters
    ----------
    root : str or Path
        The folder.
    test_share : float
        The share of the good images held out, between 0 and 1; of two or more, at least one
        is, and one stays.
    seed : int
        Another seed holds out others.

    Raises
    ------
    DataError
        If there is no such folder, or no good images in it, or it isn't clear which they are.
    ParameterError
        If ``test_share`` isn't between 0 and 1.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp()) / "parts"
    >>> for file in ("good/1.png", "good/2.png", "scratch/7.png", "masks/scratch/7.png"):
    ...     (root / file).parent.mkdir(parents=True, exist_ok=True)
    ...     (root / file).touch()
    >>> parts = Folder(root).category("parts")
    >>> parts.train.defects, parts.test.defects
    (['good'], ['good', 'scratch'])
    """

    name = "folder"

    def __init__(self, root: str | Path, *, test_share: float = 0.2, seed: int = 0) -> None:
        if not 0 < test_share < 1:
            raise ParameterError(f"test_share must be between 0 and 1, not {test_share}")
        self.root = existing_folder(root)
        self.test_share = test_share
        self.seed = seed
        folders = sub_folders(self.root)
        loose = list_images(self.root)
        if not loose and not any(_is_named(GOOD_FOLDERS, f) for f in folders):
            raise self._no_good_images(folders)
        images = {f: list_images(f, recursive=True) for f in folders}
        images = {f: files for f, files in images.items() if files}
        self._good = [p for f in images if _is_named(GOOD_FOLDERS, f) for p in images[f]]
        if not images:
            self._good, loose = loose, []
        if loose:
            raise self._loose(loose, list(images))
        if not self._good:
            raise self._no_good_images(list(images))
        split = [f for f in images if _is_named(_SPLIT_FOLDERS, f)]
        if split:
            raise DataError(
                f"{split[0]} lies beside a folder of good images, but isn't a kind of defect: for "
                "a split of your own, use train/good, test/good and test/<defect>"
            )
        mask_folders = [f for f in images if _is_named(MASK_FOLDERS, f)]
        if len(mask_folders) > 1:
            raise DataError(f"both {mask_folders[0]} and {mask_folders[1]} hold masks: keep one")
        self._mask_folder = mask_folders[0] if mask_folders else self.root / MASK_FOLDERS[0]
        self._defects = {
            p: f.name
            for f in images
            if not _is_named(GOOD_FOLDERS + MASK_FOLDERS, f)
            for p in images[f]
        }

    def _no_good_images(self, folders: list[Path]) -> DataError:
        there = f"it has {', '.join(f.name for f in folders)}" if folders else "it has no image"
        if folders and all(_is_named(MASK_FOLDERS, f) for f in folders):
            there = f"it has nothing but masks, in {folders[0].name}"
        return DataError(
            f"{self.root} has no good images; {there}. Put them right into it, or into "
            f"{self.root / 'good'} with each kind of defect in a folder beside it"
        )

    def _loose(self, loose: list[Path], folders: list[Path]) -> DataError:
        count, first = len(loose), loose[0].name
        lie = f"the image {first} lies" if count == 1 else f"{count} images, such as {first}, lie"
        good = next((f for f in folders if _is_named(GOOD_FOLDERS, f)), self.root / "good")
        return DataError(
            f"in {self.root}, {lie} beside folders of images ({', '.join(f.name for f in folders)})"
            f", so it isn't clear what they show: move good ones into {good}, and others into the "
            "folder of their kind of defect"
        )

    def __repr__(self) -> str:
        return f"Folder({str(self.root)!r}, test_share={self.test_share}, seed={self.seed})"

    @property
    def categories(self) -> list[str]:
        """The name of the folder, alone."""
        return [self.root.resolve().name or "folder"]

    def category(self, name: str) -> Category:
        """Return the category.

        Raises
        ------
        DataError
            If that isn't its name, or masks can't be matched.
        """
        check_category(name, self.categories, self.root)
        held_out = self._held_out() if self._defects else set()
        masks = match_masks(list(self._defects), self.root, self._mask_folder, recursive=True)
        test = [Sample(path, False, "good") for path in self._good if path in held_out]
        test += [Sample(p, True, kind, masks.get(p)) for p, kind in self._defects.items()]
        train = (Sample(path, False, "good") for path in self._good if path not in held_out)
        return Category(name, ImageSet(train, f"{name}/train"), ImageSet(test, f"{name}/test"))

    def _held_out(self) -> set[Path]:
        def lot(path: Path) -> bytes:
            name = path.relative_to(self.root).as_posix()
            return hashlib.sha256(os.fsencode(f"{self.seed}/{name}")).digest()

        most = len(self._good) - 1
        count = min(max(round(self.test_share * len(self._good)), 1), most)
        return set(sorted(self._good, key=lot)[:count])


def list_photographs(folder: str | Path) -> list[Path]:
    """List the images at any depth in a folder, without those that its folders of masks hold.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for file in ("test/cut/1.png", "ground_truth/cut/1_mask.png"):
    ...     (root / file).parent.mkdir(parents=True)
    ...     (root / file).touch()
    >>> [path.name for path in list_photographs(root)]
    ['1.png']
    """
    folder = Path(folder)
    return [
        path
        for path in list_images(folder, recursive=True)
        if not any(_is_named(MASK_FOLDERS, parent) for parent in _between(path, folder))
    ]


def _between(path: Path, folder: Path) -> list[Path]:
    """The folders that hold a file, below another one."""
    return list(path.relative_to(folder).parents)[:-1]


def _is_named(names: tuple[str, ...], folder: Path) -> bool:
    return folder.name.lower() in names


def open_dataset(root: str | Path) -> Dataset:
    """Open a data set in whatever layout it is.

    VisA is recognised by ``split_csv``, MVTec AD and its like, or a single category of it, by
    ``train/good``, and all else must be a plain `Folder`.

    Parameters
    ----------
    root : str or Path
        The folder of the data set.

    Raises
    ------
    DataError
        If there is no such folder, or its layout is none of these.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "1.png").touch()
    >>> open_dataset(root)
    Folder(...)
    """
    root = existing_folder(root)
    if (root / "split_csv").is_dir():
        return VisA(root)
    if is_category(root) or any(is_category(folder) for folder in sub_folders(root)):
        return MVTecAD(root)
    try:
        return Folder(root)
    except DataError as error:
        raise DataError(
            f"{error}. (Nor is it VisA, with split_csv, or in the layout of MVTec AD, with "
            "train/good in it or in a folder of each category.)"
        ) from None
