"""Photographs that a model is measured on, and that are near copies of ones that it learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from anomalist.data import ImageSet
from anomalist.data.copies import Copy, describe_copies, find_copies, pictures_of
from anomalist.detectors import Detector
from anomalist.detectors.shards import spread_evenly
from anomalist.files import atomic_path
from anomalist.origins import named
from anomalist.report import copies_sheet

#: Pictures that a model keeps at most, of 16 KiB each.
MOST_PICTURES = 2000


def kept_pictures(images: ImageSet, bit_depth: int) -> npt.NDArray[np.uint8]:
    """Return small pictures of images to learn from, of some evenly spread where there are many.

    Raises
    ------
    DataError
        If one can't be read.
    """
    return pictures_of(images[spread_evenly(len(images), MOST_PICTURES)], bit_depth)


@dataclass(frozen=True, eq=False)
class NearCopies:
    """What of a set looks like what a model learnt from.

    Parameters
    ----------
    images : ImageSet
        The set.
    copies : tuple of Copy
        Those that do, with their places in it and among the pictures that the model keeps.
    learnt, pictures : uint8 array of shape (N, 128, 128)
        The pictures of the model, and those of the set.
    of : int
        How many images the model learnt from.
    """

    images: ImageSet
    copies: tuple[Copy, ...]
    learnt: npt.NDArray[np.uint8]
    pictures: npt.NDArray[np.uint8]
    of: int

    @classmethod
    def of_model(cls, detector: Detector, images: ImageSet) -> Self | None:
        """Look for them; None if the model keeps no pictures, as those of early versions.

        Raises
        ------
        DataError
            If an image can't be read.
        """
        learnt = detector.pictures_
        if not len(learnt):
            return None
        pictures = pictures_of(images, detector.bit_depth_)
        copies = tuple(find_copies(learnt, pictures))
        return cls(images, copies, learnt, pictures, detector.summary_.get("images", len(learnt)))

    def notes(self) -> list[str]:
        """Return what a reader must know, nothing where there is none."""
        note = describe_copies(self.copies, self.images)
        if note is None:
            return []
        if len(self.learnt) < self.of:
            note += f" (looked for among {len(self.learnt)} of the {self.of} images learnt from)"
        return [note]

    def as_dict(self) -> list[dict[str, Any]]:
        """Return them as JSON values."""
        return [
            {
                "path": named(str(self.images[copy.test].path)),
                "likeness": round(copy.likeness, 4),
                "mirrored": copy.mirrored,
            }
            for copy in self.copies
        ]

    def write(self, path: Path) -> list[Path]:
        """Draw them beside what they are copies of; nothing is written where there is none."""
        if not self.copies:
            return []
        sheet = copies_sheet(
            [
                (
                    self.learnt[copy.train],
                    self.pictures[copy.test],
                    "as the model keeps it",
                    named(f"{self.images[copy.test].path}, {copy.likeness:.3f}"),
                )
                for copy in self.copies
            ]
        )
        with atomic_path(path) as temporary:
            sheet.save(temporary)
        return [path]
