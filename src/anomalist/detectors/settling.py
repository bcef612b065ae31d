"""What a fit settles of photographs before it learns from any: once, for all copies of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.data import ImageSet, Transform, load_batches
from anomalist.data.ignoring import Box, Ignored, drawn_mask, touched
from anomalist.data.registration import Registration
from anomalist.detectors.registering import REGISTRATION, registration_arrays, registration_of
from anomalist.errors import DataError, ModelFileError
from anomalist.models import Layout, check_state
from anomalist.synthesis import foreground_mask

Foreground = Literal["auto"]

# How much farther than any good photograph shows it a part may lie, as a share of the side.
_ROOM = 1 / 32
# In so many of the photographs a part needn't stand out.
_FAILING = 0.05


@dataclass(frozen=True, eq=False)
class Settled:
    """What is settled of the photographs that a detector is fitted to.

    Copies of it that are fitted to a part of them take it over: a fold that reads photographs in
    another way would say nothing of the whole.

    Parameters
    ----------
    bit_depth : int
        Bits of the camera whose values 16-bit images hold.
    input_size : (int, int)
        Height and width to which they are resized, before a crop.
    ignored : Ignored, optional
        Which pixels count for nothing, of what the backbone sees.
    registration : Registration, optional
        How the part lies in them, and what the backbone sees of it.
    """

    bit_depth: int
    input_size: tuple[int, int]
    ignored: Ignored | None = None
    registration: Registration | None = None

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that a model file must keep, by name."""
        arrays = {} if self.registration is None else registration_arrays(self.registration)
        if self.ignored is not None:
            arrays |= {"ignored.mask": self.ignored.mask, "ignored.fill": self.ignored.fill}
        return arrays

    def with_arrays(
        self,
        arrays: dict[str, npt.NDArray[Any]],
        frame: tuple[int, int],
        *,
        ignores: bool,
        aligns: bool,
    ) -> Self:
        """Return the same with what `arrays` returned.

        Parameters
        ----------
        arrays : dict
            The arrays by name.
        frame : (int, int)
            Height and width of what the backbone sees where photographs aren't registered.
        ignores, aligns : bool
            Whether something is ignored, and photographs are registered.

        Raises
        ------
        ModelFileError
            If an array is missing, superfluous or doesn't fit.
        """
        left, settled = dict(arrays), self
        if aligns:
            registration = registration_of({name: left.pop(name, None) for name in REGISTRATION})
            settled, frame = (
                dataclasses.replace(settled, registration=registration),
                registration.frame,
            )
        if not ignores:
            check_state(left, {})
            return settled
        mask = Layout(np.bool_, frame)
        check_state(left, {"ignored.mask": mask, "ignored.fill": Layout(np.uint8, ("n", 3))})
        ignored = Ignored(left["ignored.mask"], left["ignored.fill"])
        if len(ignored.fill) != ignored.mask.sum() or ignored.mask.all():
            raise ModelFileError("'ignored.fill' doesn't fit 'ignored.mask'")
        return dataclasses.replace(settled, ignored=ignored)


def find_ignored(
    images: ImageSet,
    transform: Transform,
    registration: Registration | None = None,
    *,
    mask: str | None,
    boxes: Sequence[Box],
    foreground: Foreground | None,
    batch_size: int,
) -> Ignored | None:
    """Find which pixels are ignored, and what good photographs show there.

    Parameters
    ----------
    images : ImageSet
        The good photographs.
    transform : Transform
        Brings them to the backbone's input.
    registration : Registration, optional
        Shows the backbone the part alone; what is ignored then follows the part, from where it lies
        in the first photograph.
    mask : str, optional
        A mask file.
    boxes : sequence of (int, int, int, int)
        Left, top, width and height, in pixels of the photographs.
    foreground : {"auto"}, optional
        To ignore where no good photograph shows the part.
    batch_size : int
        Photographs in memory at once.

    Returns
    -------
    Ignored or None
        None where nothing is asked for.

    Raises
    ------
    DataError
        If an image or the mask can't be read, a region isn't one of the photographs, the first of
        them, on which it is drawn, can't be registered, no part stands out from a background, or
        nothing is left.
    """
    if mask is None and not boxes and foreground is None:
        return None
    frame = transform.output_size if registration is None else registration.frame
    ignored = np.zeros(frame, np.bool_)

    def batches() -> Iterator[npt.NDArray[np.uint8]]:
        return load_batches(images, transform, batch_size, registration=registration)

    drawn = drawn_mask((sample.size() for sample in images), mask, boxes)
    if drawn is not None and registration is None:
        ignored |= touched(drawn, transform)
    if drawn is not None and registration is not None:
        first = images[0].read(transform.bit_depth)
        motion = registration.find(first, images[0].size(), transform.interpolation)
        if motion is None:
            raise DataError(
                f"{images[0].path} is too unlike the other good photographs to be aligned with"
                " them, and what is to be ignored is drawn as it lies in the first one: leave that"
                " one out, and draw it for the one that is the first then"
            )
        picture = Image.fromarray(drawn.astype(np.uint8) * 255).convert("RGB")
        ignored |= registration.shown(picture, motion, transform.interpolation)[..., 0] > 0
    if foreground is not None:
        ignored |= _background(images, ignored, batches())
    if ignored.all():
        raise DataError("all of the photographs is ignored: leave something to look at")
    return Ignored.learnt(ignored, batches())


def _background(
    images: ImageSet, drawn: npt.NDArray[np.bool_], batches: Iterable[npt.NDArray[np.uint8]]
) -> npt.NDArray[np.bool_]:
    """Where no photograph shows the part, nor close by; what is drawn already is none of it."""
    shown = np.zeros(drawn.shape, np.bool_)
    without = []
    for i, pixels in enumerate(image for batch in batches for image in batch):
        part = foreground_mask(pixels)
        if part.all():
            without.append(i)
        else:
            shown |= part & ~drawn
    if len(without) > _FAILING * len(images):
        raise DataError(
            f"foreground auto finds no part that stands out from a background in {len(without)} of"
            f" {len(images)} photographs, such as {images[without[0]].path}: leave it out, or draw"
            " a mask for ignore"
        )
    if not shown.any():
        return ~shown
    reach = max(1, round(min(shown.shape) * _ROOM))
    near: npt.NDArray[np.bool_] = ndimage.distance_transform_edt(~shown) <= reach
    return ~near
