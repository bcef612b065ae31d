"""Turned and mirrored copies of photographs, made anew whenever they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.editing import Samples
from anomalist.data.imageset import ImageSet
from anomalist.data.moving import Affine, moved_plane, moved_samples
from anomalist.data.sample import Sample
from anomalist.errors import ParameterError

_FULL = 360
#: Most copies of a photograph that can be asked for.
MOST_COPIES = 64
"""More than an angle every six degrees tells no network anything new."""


@dataclass(frozen=True)
class Turned:
    """Changes a photograph: mirrored if so, then turned about its centre.

    Parameters
    ----------
    angle : float
        Degrees, counterclockwise.
    mirrored : bool
        Whether left and right change places.

    Examples
    --------
    >>> Turned(90.0).mask(np.array([[False, True], [False, False]]))
    array([[ True, False],
           [False, False]])
    """

    angle: float
    mirrored: bool = False

    @property
    def key(self) -> str:
        """What decides what it does."""
        return f"turned {self.angle!r}{' mirrored' if self.mirrored else ''}"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return turned samples, interpolated bicubically."""
        affine = self._affine(samples.shape[:2])
        return moved_samples(samples, affine, white, Image.Resampling.BICUBIC)

    def mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the mask as the photograph is turned, each pixel from the nearest one."""
        affine = self._affine(mask.shape)
        moved = moved_plane(mask.astype(np.uint8), affine, Image.Resampling.NEAREST)
        return moved.astype(np.bool_)

    def _affine(self, size: tuple[int, ...]) -> Affine:
        angle = math.radians(self.angle)
        cos, sin = math.cos(angle), math.sin(angle)
        side = -1 if self.mirrored else 1
        return Affine.about((size[0], size[1]), (side * cos, -side * sin, sin, cos))


@dataclass(frozen=True)
class Augmentation:
    """Which copies of a photograph are learnt from beside it.

    Parameters
    ----------
    turn : float
        Range of the angles in degrees: 360 turns by any angle, 10 by at most 5 either way, 0 not.
    flip : bool
        Whether every other copy is mirrored.
    copies : int
        Copies of each photograph, where it is turned.

    Raises
    ------
    ParameterError
        If a value makes no sense, or it would make nothing but what is there.

    Examples
    --------
    >>> images = ImageSet([Sample("a", image=np.zeros((8, 8), np.uint8))])
    >>> len(Augmentation(turn=360, copies=3).of(images, seed=0))
    4
    """

    turn: float = 0.0
    flip: bool = False
    copies: int = 4

    def __post_init__(self) -> None:
        if not (_is_number(self.turn) and 0 <= self.turn <= _FULL):
            raise ParameterError(f"augment: turn must be from 0 to 360 degrees, not {self.turn!r}")
        if not isinstance(self.flip, bool):
            raise ParameterError(f"augment: flip must be true or false, not {self.flip!r}")
        copies: object = self.copies
        whole = isinstance(copies, int) and not isinstance(copies, bool)
        if not (whole and 1 <= self.copies <= MOST_COPIES):
            raise ParameterError(
                f"augment: copies must be a whole number from 1 to {MOST_COPIES}, not {copies!r}"
            )
        if not self.turn and not self.flip:
            raise ParameterError("augment makes nothing new: give it turn, flip, or both")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Make one of the hyperparameter ``augment``.

        Raises
        ------
        ParameterError
            If a key is unknown or a value makes no sense.

        Examples
        --------
        >>> Augmentation.from_mapping({"turn": 360, "flip": True})
        Augmentation(turn=360, flip=True, copies=4)
        """
        unknown = [key for key in values if key not in ("turn", "flip", "copies")]
        if unknown:
            raise ParameterError(f"augment has turn, flip and copies, but no {unknown[0]!r}")
        return cls(**values)

    @property
    def count(self) -> int:
        """Copies of each photograph: without a range of angles, its mirror image is all there is.

        Examples
        --------
        >>> Augmentation(turn=90).count, Augmentation(flip=True).count
        (4, 1)
        """
        return self.copies if self.turn else 1

    def of(self, images: ImageSet, seed: int) -> ImageSet:
        """Return the photographs, each followed by its copies.

        The copies of a photograph divide the range of angles evenly, from a start of its own.

        Parameters
        ----------
        images : ImageSet
            N photographs.
        seed : int
            Decides the angles.

        Returns
        -------
        ImageSet
            N times 1 + ``count``.
        """
        made: list[Sample] = []
        for place, sample in enumerate(images):
            made.append(sample)
            start = float(np.random.default_rng((seed, place)).uniform())
            for i in range(self.count):
                angle = round(self.turn * ((i + start) / self.count - 0.5), 2)
                made.append(sample.changed(Turned(angle, self.flip and i % 2 == 0)))
        return ImageSet(made, images.name)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
