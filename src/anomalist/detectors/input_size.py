"""To which size a detector resizes images: as asked, or in the proportions of what it learns from.

These are functions of a detector's hyperparameters, for `Detector` and for its file.
"""

from __future__ import annotations

from typing import Any

from anomalist.data import (
    ImageSet,
    Interpolation,
    Transform,
    of_as_many_pixels,
    usual_size,
)
from anomalist.data.images import MAX_PIXELS
from anomalist.errors import ModelFileError


def asked_size(detector: Any) -> tuple[int, int]:
    """Return the height and width that hyperparameters give by themselves: one number's square.

    Examples
    --------
    >>> from anomalist import PatchCore
    >>> asked_size(PatchCore(image_size=128))
    (128, 128)
    """
    size = detector.image_size
    height, width = size if isinstance(size, tuple) else (size, size)
    return height, width


def choose_input_size(detector: Any, images: ImageSet) -> tuple[int, int]:
    """Return the height and width to which a fit to these images resizes them.

    A pair of numbers is taken as it is. So is a square that is cropped, as papers do. Else the
    proportions are those of the photographs, by the middle one, with as many pixels as the square.

    Raises
    ------
    DataError
        If the size of an image can't be read.

    Examples
    --------
    >>> import numpy as np
    >>> from anomalist import PatchCore
    >>> from anomalist.data import as_image_set
    >>> strips = as_image_set([np.zeros((500, 1260, 3), np.uint8)])
    >>> choose_input_size(PatchCore(), strips)
    (160, 416)
    >>> choose_input_size(PatchCore(crop_size=224), strips)
    (256, 256)
    """
    size = detector.image_size
    if isinstance(size, tuple) or detector.crop_size is not None:
        return asked_size(detector)
    return of_as_many_pixels(size, usual_size(images))


def check_input_size(detector: Any, size: tuple[int, int]) -> None:
    """Refuse an input's size in a model file that its hyperparameters can't have given.

    Raises
    ------
    ModelFileError
        If so.
    """
    settled = isinstance(detector.image_size, tuple) or detector.crop_size is not None
    within = min(size) >= 1 and size[0] * size[1] <= MAX_PIXELS
    if not within or (settled and size != asked_size(detector)):
        raise ModelFileError("its header garbles 'input_size'")


def transform_to(
    size: int | tuple[int, int],
    crop_size: int | None = None,
    interpolation: Interpolation = "bilinear",
    bit_depth: int = 16,
) -> Transform:
    """Return the `Transform` to a size, a square told by its side.

    Examples
    --------
    >>> transform_to((64, 64)).image_size, transform_to((64, 96)).image_size
    (64, (64, 96))
    """
    if isinstance(size, tuple) and size[0] == size[1]:
        size = size[0]
    return Transform(size, crop_size, interpolation, bit_depth)
