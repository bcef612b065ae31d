"""MVTec AD, and any data set in its layout."""

from __future__ import annotations

from pathlib import Path

from anomalist.data.imageset import Category, ImageSet, Sample
from anomalist.data.layout import (
    check_category,
    existing_folder,
    list_images,
    match_masks,
    sub_folders,
)
from anomalist.errors import DataError

CATEGORIES = (
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "metal_nut",
    "pill",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
)


class MVTecAD:
    """A data set in the layout of MVTec AD.

    Every folder that holds ``train/good`` is a category::

        bottle/train/good/000.png                       good images to fit
        bottle/test/good/000.png                        good images to test
        bottle/test/broken_large/000.png                a folder for each kind of defect
        bottle/ground_truth/broken_large/000_mask.png   its masks

    Where a mask is missing, it is unknown (None), and pixel metrics can't be had. ``000.png`` is as
    good a name for a mask; a mask without an image is left out, unless there is an image without
    a mask that may be its own: that is an error. Of ``train`` only ``good`` is used; ``test`` may
    be missing.

    Bergmann et al., "MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly
    Detection", CVPR 2019.

    Parameters
    ----------
    root : str or Path
        The folder of the categories, all 15 of MVTec AD or any others, or that of a single one.

    Raises
    ------
    DataError
        If there is no such folder, or no category in it.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("train/good/0.png", "test/good/0.png", "test/cut/0.png"):
    ...     (root / "bolt" / name).parent.mkdir(parents=True)
    ...     Image.new("RGB", (8, 8)).save(root / "bolt" / name)
    >>> data = MVTecAD(root)
    >>> data.categories, data.category("bolt").test.defects
    (['bolt'], ['cut', 'good'])
    """

    name = "mvtec_ad"

    def __init__(self, root: str | Path) -> None:
        self.root = existing_folder(root)
        if is_category(self.root):
            self._folders = {self.root.resolve().name: self.root}
        else:
            self._folders = {f.name: f for f in sub_folders(self.root) if is_category(f)}
        if not self._folders:
            raise DataError(
                f"{self.root} has no category in the layout of MVTec AD: neither it nor a folder "
                f"in it has train/good (expected, for one, {self.root / 'bottle/train/good'})"
            )

    def __repr__(self) -> str:
        return f"MVTecAD({str(self.root)!r})"

    @property
    def categories(self) -> list[str]:
        """The names of the categories that are there, sorted."""
        return list(self._folders)

    def category(self, name: str) -> Category:
        """Return a category.

        Raises
        ------
        DataError
            If there is no category of that name, it has no good image, or masks can't be matched.
        """
        check_category(name, self.categories, self.root)
        folder = self._folders[name]
        good = list_images(folder / "train" / "good")
        if not good:
            raise DataError(f"{folder / 'train' / 'good'} has no image to learn from")
        test = folder / "test"
        return Category(
            name,
            ImageSet((Sample(path, False, "good") for path in good), f"{name}/train"),
            ImageSet(
                (
                    sample
                    for defect in (sub_folders(test) if test.is_dir() else [])
                    for sample in _samples(defect, folder / "ground_truth" / defect.name)
                ),
                f"{name}/test",
            ),
        )


def is_category(folder: Path) -> bool:
    """Say whether a folder is a category in the layout of MVTec AD."""
    return (folder / "train" / "good").is_dir()


def _samples(folder: Path, mask_folder: Path) -> list[Sample]:
    images = list_images(folder)
    if folder.name == "good":
        return [Sample(path, False, "good") for path in images]
    masks = match_masks(images, folder, mask_folder)
    return [Sample(path, True, folder.name, masks.get(path)) for path in images]
