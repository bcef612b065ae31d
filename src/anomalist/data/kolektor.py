"""KolektorSDD: surfaces of electrical commutators, all with a mask, of which most are black."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from anomalist.data.holdout import hold_out
from anomalist.data.listed import Listed, ListedDataset, check_there
from anomalist.data.sample import Sample
from anomalist.errors import DataError

_ITEM = re.compile(r"(?i)kos\d+$")
_PART = re.compile(r"(?i)Part\d+$")
_LABEL = "_label.bmp"
_TEST_SHARE = 0.2


class KolektorSDD(ListedDataset):
    """KolektorSDD as it is downloaded: 50 commutators, 8 surfaces of each.

    ::

        kos01/Part0.jpg            a surface
        kos01/Part0_label.bmp      its mask, black where all is good

    The download holds no split: those of the paper are lists of other origin. Here all surfaces
    with a defect are for tests, and so are the good ones of a fifth of the commutators, which their
    names decide, so that none of these is learnt from. The group of a sample is its commutator.

    Tabernik et al., "Segmentation-based deep-learning approach for surface-defect detection",
    Journal of Intelligent Manufacturing 31 (2020).

    Parameters
    ----------
    root : str or Path
        The folder that holds ``kos01`` to ``kos50``, or some of them.
    exclude : sequence of str or Path
        Images to leave out, as `~anomalist.data.open_dataset` takes them.

    Raises
    ------
    DataError
        If there is no such folder, or no commutator in it.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for item in ("kos01", "kos02"):
    ...     (root / item).mkdir()
    ...     for part in (0, 1):
    ...         Image.new("RGB", (8, 20)).save(root / item / f"Part{part}.jpg")
    ...         bad = 255 * (part == 1)
    ...         Image.new("L", (8, 20), bad).save(root / item / f"Part{part}_label.bmp")
    >>> found = KolektorSDD(root).category(root.name)
    >>> [sample.group for sample in found.train], found.test.defects
    (['kos02'], ['good', 'defect', 'defect'])
    """

    name = "kolektor_sdd"

    def __init__(self, root: str | Path, *, exclude: Iterable[str | Path] = ()) -> None:
        super().__init__(root, exclude=exclude)
        self._parts = [
            path
            for path in self.listing.files
            if _PART.match(path.stem) and _ITEM.match(path.parent.name)
        ]
        if not self._parts:
            raise DataError(
                f"{self.root} isn't KolektorSDD: it has no folder kos01 with Part0.jpg and"
                f" Part0{_LABEL}"
            )

    def __repr__(self) -> str:
        return f"KolektorSDD({str(self.root)!r})"

    @property
    def categories(self) -> list[str]:
        """The one category, called as the folder."""
        return [self.root.resolve().name or "KolektorSDD"]

    def _list(self, name: str) -> Listed:
        found = Listed(self.root, "KolektorSDD", is_split=False)
        masks = {path: path.with_name(f"{path.stem}{_LABEL}") for path in self._parts}
        check_there(list(masks.values()), "KolektorSDD, with a mask of each surface,")
        found.named.update(masks.values())
        items = {path.parent.name: path.parent.name for path in self._parts}
        held = hold_out(items, _TEST_SHARE, 0)
        for path in self._parts:
            mask, item = Sample(path, mask=masks[path]).read_mask(), path.parent.name
            if mask is not None and mask.any():
                found.test.append(Sample(path, True, "defect", masks[path], group=item))
            else:
                into = found.test if item in held else found.train
                into.append(Sample(path, False, "good", group=item))
        good = sum(sample.label is False for sample in found.test)
        found.notes.append(
            f"the download has no split: the {good} good surfaces of {len(held)} of {len(items)}"
            " commutators, chosen by their names, are held out to test on"
        )
        return found


def kolektor_items(root: Path) -> bool:
    """Say whether a folder holds commutators of KolektorSDD."""
    return any(_ITEM.match(path.parent.name) is not None for path in root.glob(f"*/Part*{_LABEL}"))
