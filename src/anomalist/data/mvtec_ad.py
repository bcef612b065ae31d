"""MVTec AD, and any data set in its layout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from anomalist.data.reading import FolderDataset, Reading
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


class MVTecAD(FolderDataset):
    """A data set in the layout of MVTec AD.

    Every folder that holds ``train`` is a category::

        bottle/train/good/000.png                       good images to fit
        bottle/test/good/000.png                        good images to test
        bottle/test/broken_large/000.png                a folder for each kind of defect
        bottle/ground_truth/broken_large/000_mask.png   its masks

    ``good`` may be any name that says so, at any depth, and so may the others, such as
    ``test_public`` or ``train/ok``; images lie at any depth below them. The masks of an image may
    lie in a folder of its name, as those of MVTec LOCO: then they are joined. Good images of
    ``validation`` are learnt from; its defects are tested on. Of ``train`` only good images are
    used; ``test`` may be missing. Where a mask is missing, it is unknown (None), and pixel metrics
    can't be had; a mask without an image is left out, unless there is an image without a mask that
    may be its own: that is an error.

    Bergmann et al., "MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly
    Detection", CVPR 2019.

    Parameters
    ----------
    root : str or Path
        The folder of the categories, all 15 of MVTec AD or any others, or that of a single one.
    good, bad, masks, exclude
        What `~anomalist.data.open_dataset` takes.

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

    def __init__(
        self,
        root: str | Path,
        *,
        good: Iterable[str | Path] = (),
        bad: Iterable[str | Path] = (),
        masks: Iterable[str | Path] = (),
        exclude: Iterable[str | Path] = (),
    ) -> None:
        self._read(Reading(root, good=good, bad=bad, masks=masks, exclude=exclude))

    def _read(self, reading: Reading) -> None:
        if not reading.is_split:
            raise DataError(
                f"{reading.root} has no category in the layout of MVTec AD: neither it nor a folder"
                f" in it has train/good (expected, for one, {reading.root / 'bottle/train/good'})"
            )
        super()._read(reading)

    def __repr__(self) -> str:
        return f"MVTecAD({str(self.root)!r})"
