"""Photographs, whatever they show: the images of a folder without the masks among them."""

from __future__ import annotations

from pathlib import Path

from anomalist.data.pairing import masks_beside
from anomalist.data.roles import meaning_of
from anomalist.data.walking import Listing
from anomalist.data.words import Role


def photographs(listing: Listing) -> tuple[list[Path], list[Path]]:
    """Return the images of a listing without masks, and the masks.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for file in ("test/cut/1.png", "ground_truth/cut/1_mask.png"):
    ...     (root / file).parent.mkdir(parents=True)
    ...     (root / file).touch()
    >>> from anomalist.data import walk
    >>> photos, masks = photographs(walk(root))
    >>> [path.name for path in photos], [path.name for path in masks]
    (['1.png'], ['1_mask.png'])
    """
    start = len(listing.root.parts)
    folders: dict[str, bool] = {}
    masks: list[Path] = []
    rest = []
    for path in listing.files:
        folder = str(path)[: -len(path.name)]
        is_mask = folders.get(folder)
        if is_mask is None:
            parts = path.parts[start:-1]
            is_mask = folders[folder] = any(meaning_of(p).what is Role.MASK for p in parts)
        if is_mask:
            masks.append(path)
        else:
            rest.append(path)
    beside = masks_beside(rest)
    return [path for path in rest if path not in beside], [*masks, *beside]
