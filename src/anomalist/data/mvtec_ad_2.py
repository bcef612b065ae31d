"""MVTec AD 2, with the images whose labels only its evaluation server knows."""

from __future__ import annotations

import dataclasses

from anomalist.data.imageset import ImageSet
from anomalist.data.known_layouts import KnownLayout
from anomalist.data.layout import list_images
from anomalist.data.sample import Sample
from anomalist.data.understanding import Understanding

#: Folders of images without labels; the second was taken in other light, too.
PRIVATE_SPLITS = ("test_private", "test_private_mixed")

#: Images that the data set has in each of them.
PRIVATE_COUNTS = {
    "can": 321,
    "fabric": 314,
    "fruit_jelly": 255,
    "rice": 277,
    "sheet_metal": 142,
    "vial": 276,
    "wallplugs": 232,
    "walnuts": 228,
}

_WHY = "without labels, which only the evaluation server knows"


class MVTecAD2(KnownLayout):
    """MVTec AD 2: eight objects, a public test set with masks, and two private ones without.

    Good images of ``train`` and of ``validation`` are learnt from, in this order, and those of
    ``test_public`` are tested on. Those of ``test_private`` and ``test_private_mixed`` are neither;
    `private` gives them, and ``anomalist submit`` makes of them what the evaluation server takes.

    Heckler-Kram et al., "The MVTec AD 2 Dataset: Advanced Scenarios for Unsupervised Anomaly
    Detection", arXiv:2503.21622, 2025.

    Parameters
    ----------
    reading, layout
        As of :class:`~anomalist.data.known_layouts.KnownLayout`.

    Raises
    ------
    DataError
        If an object lacks ``train``, ``validation`` or a part of ``test_public``.
    """

    def understand(self, name: str) -> Understanding:
        """Return what the images of an object are taken for."""
        found = super().understand(name)
        private = self.private(name)
        hidden = {split: tuple(images.paths) for split, images in private.items() if len(images)}
        if not hidden:
            return found
        paths = {path for images in hidden.values() for path in images}
        others = {
            why: tuple(path for path in images if path not in paths)
            for why, images in found.left_out.items()
        }
        left_out = {why: images for why, images in others.items() if images}
        folders = [found.folder / split for split in PRIVATE_SPLITS]
        notes = [n for n in found.notes if not any(str(folder) in n for folder in folders)]
        return dataclasses.replace(
            found,
            left_out=left_out | {f"{split}, {_WHY}": images for split, images in hidden.items()},
            notes=tuple(notes),
        )

    def private(self, name: str) -> dict[str, ImageSet]:
        """Return the images without labels of an object, by their folder.

        Parameters
        ----------
        name : str
            Of the object.

        Raises
        ------
        DataError
            If there is none of that name, or a folder can't be listed.
        """
        folder = super().understand(name).folder
        excluded = self._reading.excluded
        return {
            split: ImageSet(
                (Sample(path) for path in list_images(folder / split) if not excluded.covers(path)),
                f"{name}/{split}",
            )
            if (folder / split).is_dir()
            else ImageSet([], f"{name}/{split}")
            for split in PRIVATE_SPLITS
        }

    def __repr__(self) -> str:
        return f"MVTecAD2({str(self.root)!r})"
