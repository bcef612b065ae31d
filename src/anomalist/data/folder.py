"""A plain folder of photos as a data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from anomalist.data.reading import FolderDataset, Reading
from anomalist.errors import ParameterError


class Folder(FolderDataset):
    """A folder of photos as a data set, mostly of one category, named as the folder.

    Photos right in the folder, with no sub-folder of images, are all good. Otherwise the names of
    folders say what is in them, at any depth (in any mix of upper and lower case, and in many
    languages; ``ok`` and ``Gutteile`` are ``good``, too)::

        parts/good/any/depth/1.png              good images
        parts/scratch/any/depth/7.jpg           beside them, defects of any number of kinds
        parts/ground_truth/scratch/any/depth/7_mask.png     their masks, where there are any;
                                                            masks/... or 7.png will do
        parts/2024-01-05/OK/1.png               the same for every day or camera
        parts/2024-01-05/NG/7.jpg

    Several folders that are each sorted into good and others, and whose names aren't dates or
    places, are categories.

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
    good, bad, masks, exclude
        What `~anomalist.data.open_dataset` takes.

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

    def __init__(
        self,
        root: str | Path,
        *,
        test_share: float = 0.2,
        seed: int = 0,
        good: Iterable[str | Path] = (),
        bad: Iterable[str | Path] = (),
        masks: Iterable[str | Path] = (),
        exclude: Iterable[str | Path] = (),
    ) -> None:
        if not 0 < test_share < 1:
            raise ParameterError(f"test_share must be between 0 and 1, not {test_share}")
        self._read(
            Reading(
                root,
                good=good,
                bad=bad,
                masks=masks,
                exclude=exclude,
                test_share=test_share,
                seed=seed,
            )
        )

    def _read(self, reading: Reading) -> None:
        super()._read(reading)
        self.test_share, self.seed = reading.test_share, reading.seed
        if len(reading.categories) == 1:  # tells now what is wrong with it
            reading.understand(reading.categories[0])

    def __repr__(self) -> str:
        return f"Folder({str(self.root)!r}, test_share={self.test_share}, seed={self.seed})"
