"""Whatever a caller has for images becomes an image set: paths, bytes, arrays, one or many."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.imageset import ImageSet
from anomalist.data.names import existing
from anomalist.data.sample import Sample
from anomalist.data.source import ALLOWED, held
from anomalist.errors import ParameterError
from anomalist.storage import is_address

#: What can be taken for one image.
ImageLike = Sample | str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[Any]
#: What can be taken for an image set.
ImagesLike = ImageSet | ImageLike | Iterable[ImageLike]

_BYTES = bytes | bytearray | memoryview


def as_image_set(images: ImagesLike, name: str = "") -> ImageSet:
    """Return an image set of whatever holds images.

    Those that aren't files are called by their place, ``image-0`` for the first. Nothing is known
    of them but their pixels: whoever has labels or masks gives samples.

    Parameters
    ----------
    images : ImageSet, one image, or images one after the other
        An image is a `Sample`, a path, the bytes of a file, an image of Pillow, or a uint8 or
        uint16 array of shape (H, W), (H, W, 3) RGB or (H, W, 4) RGB and opacity; see `Sample` for
        what becomes of it. Several are a list or anything that gives them in order, such as a
        tuple, a pandas column or a generator, or an array of shape (N, H, W), (N, H, W, 3) or
        (N, H, W, 4). An array of three dimensions whose last is 3 or 4 is one image.
    name : str
        Of the set, for messages; an ImageSet keeps its own.

    Raises
    ------
    DataError
        If an entry isn't an image; it says which.
    ParameterError
        If there is no image, or ``images`` is a folder, a dictionary or another thing that isn't
        an image and doesn't give any in order.

    Examples
    --------
    >>> as_image_set(np.zeros((5, 48, 64), np.uint8))
    ImageSet('', 5 images)
    >>> as_image_set(["a.png", np.zeros((48, 64, 3), np.uint8)]).paths
    [...('a.png'), ...('image-1')]
    """
    if isinstance(images, ImageSet):
        return images
    samples = [_sample(entry, place) for place, entry in enumerate(_entries(images))]
    if not samples:
        raise ParameterError("give at least one image: there is none")
    return ImageSet(samples, name)


def _entries(images: object) -> Iterable[object]:
    if isinstance(images, str | os.PathLike):
        if (existing(str(images)) if is_address(images) else Path(images)).is_dir():
            raise ParameterError(
                f"{images} is a folder: anomalist.data.list_images({os.fspath(images)!r}) gives its"
                " images, and open_dataset one's training and test images where they are sorted"
            )
        return [images]
    if isinstance(images, Sample | _BYTES | Image.Image):
        return [images]
    if isinstance(images, np.ndarray):
        return images if _is_many(images) else [images]
    if isinstance(images, Mapping | Set) or hasattr(images, "columns"):
        what = "its values as a list" if isinstance(images, Mapping) else "a list"
        what = "one of its columns" if hasattr(images, "columns") else what
        raise ParameterError(f"images can't be of type {type(images).__name__}: give {what}")
    if not isinstance(images, Iterable):
        shown = f" ({images})" if isinstance(images, float | int) else ""
        raise ParameterError(f"images can't be of type {type(images).__name__}{shown}: {ALLOWED}")
    return images


def _is_many(array: npt.NDArray[Any]) -> bool:
    if array.dtype.kind in "OU":  # of paths, or of arrays of several sizes
        return array.ndim > 0
    return array.ndim > 3 or (array.ndim == 3 and array.shape[2] not in (1, 3, 4))


def _sample(entry: object, place: int) -> Sample:
    if isinstance(entry, Sample):
        return entry
    if isinstance(entry, str | os.PathLike):
        return Sample(entry)  # type: ignore[arg-type]  # as it is documented
    name = f"image-{place}"
    return Sample(Path(name), image=held(name, entry))
