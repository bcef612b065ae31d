"""To which size a detector resizes images, and whether they then pass its backbone tile by tile.

These are functions of a detector's hyperparameters, for `Detector` and for its file.
"""

from __future__ import annotations

import math
from typing import Any

from anomalist.data import (
    ImageSet,
    Interpolation,
    Transform,
    of_as_many_pixels,
    rounded,
    scaled,
    usual_size,
)
from anomalist.data.images import MAX_PIXELS
from anomalist.errors import DataError, ModelFileError, ParameterError
from anomalist.features.tiles import STEP, TileGrid

AUTO = "auto"

USUAL_SIDE = 256
"""Side of the square of the default, which has as many pixels as ``auto`` takes at least."""

PIXELS_OF_A_DEFECT = 8
"""How wide ``auto`` makes the smallest defect in the input, in pixels.

Chosen by good images alone, see ``benchmarks/tiles.py``.
"""

_OVERLAP = 4  # tiles share a quarter of their side by default
_MOST_AT_ONCE = 1024**2  # pixels of a frame that passes as one where nobody asks for tiles
_SIDE_OF_TILES = 512
_MOST_OF_MAPS = 1024**2


def check_input(detector: Any) -> None:
    """Refuse sizes of images and tiles that make no sense.

    Raises
    ------
    ParameterError
        It names the hyperparameter.
    """
    size, tile, overlap = detector.image_size, detector.tile_size, detector.tile_overlap
    if tile is None:
        if overlap is not None:
            raise ParameterError("tile_overlap is how far tiles overlap: give tile_size too")
    else:
        if isinstance(size, tuple) or detector.crop_size is not None:
            raise ParameterError(
                "tile_size needs an image_size of one number, the side to which a tile is brought,"
                " and no crop_size"
            )
        if tile < 1:
            raise ParameterError(f"tile_size must be at least 1, not {tile}")
        if size != AUTO and size % STEP:
            raise ParameterError(
                f"with tile_size, image_size must be a multiple of {STEP}, not {size}"
            )
        if overlap is not None and not 0 <= overlap < tile:
            raise ParameterError(
                f"tile_overlap must be 0 or more and less than tile_size ({tile}), not {overlap}"
            )
    smallest = detector.smallest_defect
    if (size == AUTO) != (smallest is not None):
        raise ParameterError(
            "image_size auto and smallest_defect, in pixels of the photographs, say together which"
            " size is needed: give both, or neither"
        )
    if smallest is not None and smallest < 1:
        raise ParameterError(f"smallest_defect must be at least 1, not {smallest}")
    if size == AUTO and detector.crop_size is not None:
        raise ParameterError("image_size auto takes no crop_size: it keeps all of the photograph")


def asked_size(detector: Any) -> tuple[int, int]:
    """Return the height and width that hyperparameters give by themselves: one number's square.

    Examples
    --------
    >>> from anomalist import PatchCore
    >>> asked_size(PatchCore(image_size=128))
    (128, 128)
    """
    size = USUAL_SIDE if detector.image_size == AUTO else detector.image_size
    height, width = size if isinstance(size, tuple) else (size, size)
    return height, width


def choose_input_size(detector: Any, images: ImageSet) -> tuple[int, int]:
    """Return the height and width to which a fit to these images resizes them.

    A pair of numbers is taken as it is. So is a square that is cropped, as papers do. Else the
    proportions are those of the photographs, by the middle one: with as many pixels as the square,
    or at the scale that brings tiles to their side, or the smallest defect to the width it needs.

    Raises
    ------
    DataError
        If the size of an image can't be read, or the input had more pixels than an image may have.

    Examples
    --------
    >>> import numpy as np
    >>> from anomalist import PatchCore
    >>> from anomalist.data import as_image_set
    >>> strips = as_image_set([np.zeros((500, 1260, 3), np.uint8)])
    >>> choose_input_size(PatchCore(image_size=256), strips)
    (160, 416)
    >>> choose_input_size(PatchCore(image_size=256, crop_size=224), strips)
    (256, 256)
    >>> choose_input_size(PatchCore(image_size=128, tile_size=256), strips)
    (256, 640)
    >>> choose_input_size(PatchCore(image_size="auto", smallest_defect=16), strips)
    (256, 640)
    """
    size = detector.image_size
    if isinstance(size, tuple) or detector.crop_size is not None:
        return asked_size(detector)
    usual = usual_size(images)
    if detector.tile_size is not None:
        tile = detector.tile_size
        if size != AUTO:
            tile = min(tile, max(usual))  # what a tile covers is brought to image_size, not less
        found = scaled(usual, _side_of_tiles(detector) / tile)
    elif size == AUTO:
        found = scaled(usual, _needed_scale(detector))
        least = of_as_many_pixels(USUAL_SIDE, usual)
        found = max(found, least, key=math.prod)
    else:
        return of_as_many_pixels(size, usual)
    if math.prod(found) > MAX_PIXELS:
        raise DataError(
            f"photographs of {usual[1]} x {usual[0]} pixels would be brought to {found[1]} x"
            f" {found[0]}, more than {MAX_PIXELS} pixels: raise tile_size, or lower image_size"
        )
    return found


def _needed_scale(detector: Any) -> float:
    """What brings the smallest defect to the width it needs, and nothing beyond its own pixels."""
    smallest: int = detector.smallest_defect
    return min(1.0, PIXELS_OF_A_DEFECT / smallest)


def _side_of_tiles(detector: Any) -> int:
    """The side of a tile in the input."""
    if detector.image_size == AUTO:
        return rounded(detector.tile_size * _needed_scale(detector))
    side: int = detector.image_size
    return side


def choose_tiles(detector: Any, input_size: tuple[int, int]) -> TileGrid | None:
    """Return where an input of such height and width is cut; None if it passes as one.

    Examples
    --------
    >>> from anomalist import PatchCore
    >>> len(choose_tiles(PatchCore(image_size=128, tile_size=256), (256, 640)))
    21
    >>> choose_tiles(PatchCore(), (160, 416)) is None
    True
    """
    if detector.tile_size is not None:
        side = _side_of_tiles(detector)
        share = 1 / _OVERLAP
        if detector.tile_overlap is not None:
            share = detector.tile_overlap / detector.tile_size
        return TileGrid(input_size, side, min(round(side * share), side - STEP))
    if detector.align or detector.image_size != AUTO:
        return None
    if math.prod(input_size) > _MOST_AT_ONCE:
        return TileGrid(input_size, _SIDE_OF_TILES, _SIDE_OF_TILES // _OVERLAP)
    return None


def size_of_maps(input_size: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of maps of a tiled input, halved until they are of sensible size.

    Examples
    --------
    >>> size_of_maps((2016, 8000)), size_of_maps((512, 512))
    ((504, 2000), (512, 512))
    """
    height, width = input_size
    halvings = max(0, math.ceil(math.log(height * width / _MOST_OF_MAPS, 4)))
    factor = 2 ** min(halvings, int(math.log2(STEP)))
    return height // factor, width // factor


def check_input_size(detector: Any, size: tuple[int, int]) -> None:
    """Refuse an input's size in a model file that its hyperparameters can't have given.

    Raises
    ------
    ModelFileError
        If so.
    """
    settled = isinstance(detector.image_size, tuple) or detector.crop_size is not None
    wrong = settled and size != asked_size(detector)
    if detector.tile_size is not None or detector.image_size == AUTO:
        wrong = size[0] % STEP != 0 or size[1] % STEP != 0
    if wrong or min(size) < 1 or math.prod(size) > MAX_PIXELS:
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
