"""Which images a detector refuses to learn from."""

from __future__ import annotations

from anomalist.data import ImageSet, is_constant
from anomalist.errors import DataError


def check_good(images: ImageSet) -> None:
    """Refuse to learn from no image, or from one that is labelled anomalous."""
    if len(images) == 0:
        raise DataError(f"{images.name or 'the training set'} has no image to learn from")
    for sample in images:
        if sample.label:
            raise DataError(f"{sample.path} is labelled anomalous: fit needs good images only")


def check_shown(images: ImageSet, bit_depth: int) -> None:
    """Refuse to learn from images of which every one has one value everywhere."""
    if all(is_constant(sample, bit_depth) for sample in images):
        raise DataError(
            f"{images[0].path} has one value everywhere, as all of the images to learn from"
            f" ({len(images)}): was there light, and no cap on the lens?"
        )
