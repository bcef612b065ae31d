"""Photographs of a part that turns or shifts: where it lies is found, and it alone is looked at."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.matching import Template
from anomalist.data.motion import Motion
from anomalist.data.moving import Affine, moved_plane, scaling
from anomalist.data.transforms import Interpolation, Transform

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

#: Pixels of the longer side of a reference.
SIDE = 128
"""Enough to tell shifts of a tenth of its pixels; twice as many take four times as long."""

NARROWEST = 8
"""Fewest pixels of the shorter side of a reference from which a turn can be told."""

# How far the proportions of a photograph may be from those of the reference.
_ALIKE = 0.02


@dataclass(frozen=True)
class Window:
    """Where the part lies in the reference: a rectangle, which may be turned.

    Parameters
    ----------
    turn : float
        Radians from the horizontal to its width, clockwise.
    across, down : float
        Its centre, to the right of and below that of the photograph.
    width, height : float
        Its sides. All lengths are shares of the photograph's longer side.

    Examples
    --------
    >>> Window(0.0, 0.25, 0.0, 0.5, 1.0).affine((10, 10), (200, 200))(0.0, 0.0)
    (100.0, 0.0)
    """

    turn: float
    across: float
    down: float
    width: float
    height: float

    def affine(self, frame: tuple[int, int], size: tuple[int, int]) -> Affine:
        """Return where each point of a frame that shows it lies in a photograph.

        Parameters
        ----------
        frame, size : (int, int)
            Height and width of either in pixels.
        """
        side = max(size)
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        across, down = self.width * side / frame[1], self.height * side / frame[0]
        x, y = size[1] / 2 + self.across * side, size[0] / 2 + self.down * side
        left, top = self.width * side / 2, self.height * side / 2
        return Affine(
            cos * across,
            -sin * down,
            x - cos * left + sin * top,
            sin * across,
            cos * down,
            y - sin * left - cos * top,
        )


@dataclass(frozen=True, eq=False)
class Registration:
    """Finds how the part lies in a photograph, and shows the backbone the part alone.

    Photographs are first brought to one size, from which what is shown is interpolated once, at
    twice the resolution. Beyond the edges of a photograph it goes on the other way round.

    Parameters
    ----------
    reference : uint8 array of shape (h, w)
        Grey; how the part lies.
    least : float
        Likeness to it below which a photograph is taken as it lies.
    window : Window
        What is shown of the reference.
    frame : (int, int)
        Height and width in pixels of what is shown.
    source : (int, int)
        Height and width to which photographs are brought first.

    Examples
    --------
    >>> picture = np.full((128, 128), 200, np.uint8)
    >>> picture[40:56, 20:100] = picture[56:88, 20:32] = 40
    >>> window = Window(0.0, 0.0, 0.0, 1.0, 1.0)
    >>> registration = Registration(picture, 0.5, window, (64, 64), (128, 128))
    >>> turned = Image.fromarray(np.rot90(picture)).convert("RGB")
    >>> motion = registration.find(turned, (128, 128), "bilinear")
    >>> shown = registration.shown(turned, motion, "bilinear")
    >>> bool(np.abs(shown[..., 0] - picture.reshape(64, 2, 64, 2).mean((1, 3))).mean() < 2)
    True
    """

    reference: UInt8
    least: float
    window: Window
    frame: tuple[int, int]
    source: tuple[int, int]

    def __getstate__(self) -> dict[str, Any]:
        # What follows from the fields is made anew, and isn't sent.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def key(self) -> str:
        """Hash by which what was made with it is known."""
        settled = self.reference.shape, self.least, self.window, self.frame, self.source
        content = hashlib.sha256(repr(settled).encode())
        content.update(np.ascontiguousarray(self.reference).tobytes())
        return content.hexdigest()

    @property
    def share(self) -> float:
        """Share of the photograph that is looked at, if all of it lies within."""
        height, width = self.source
        area = self.window.width * self.window.height * max(self.source) ** 2
        return min(1.0, area / (height * width))

    def brings(self, interpolation: Interpolation, bit_depth: int = 16) -> Transform:
        """Return what brings photographs to the size from which it starts."""
        return Transform(self.source, None, interpolation, bit_depth)

    @cached_property
    def _template(self) -> Template:
        return Template(self.reference.astype(np.float32))

    def find(
        self, image: Image.Image, size: tuple[int, int], interpolation: Interpolation
    ) -> Motion | None:
        """Return how the part lies in a photograph; None where that can't be told.

        Parameters
        ----------
        image : PIL.Image.Image
            RGB; the photograph, or what `brings` makes of it.
        size : (int, int)
            Height and width of the photograph itself.
        interpolation : str
            Filter of the resizing.
        """
        shape = self.reference.shape
        if abs(size[0] * shape[1] / (size[1] * shape[0]) - 1) > _ALIKE:
            return None
        brought = self.brings(interpolation).resized(image)
        match = self._template.match(grey(brought, (shape[0], shape[1])))
        return match.motion if match.likeness >= self.least else None

    def shown(
        self, image: Image.Image, motion: Motion | None, interpolation: Interpolation
    ) -> UInt8:
        """Return what the backbone sees of a photograph, (H, W, 3).

        Parameters
        ----------
        image, interpolation
            As for `find`.
        motion : Motion or None
            What that returned.
        """
        brought = np.asarray(self.brings(interpolation).resized(image))
        height, width = self.frame
        # Twice as fine, so that what is averaged was interpolated where there is detail.
        affine = self.affine(motion, self.source).after(scaling(0.5, 0.5))
        fine = moved_plane(brought, affine, Image.Resampling.BICUBIC, (2 * height, 2 * width))
        return np.array(Image.fromarray(fine).reduce(2))

    def affine(self, motion: Motion | None, size: tuple[int, int]) -> Affine:
        """Return where what is shown comes from in a photograph that is brought to a size.

        Parameters
        ----------
        motion : Motion or None
            What `find` returned.
        size : (int, int)
            Height and width.
        """
        # In the proportions of the photograph, turns are turns.
        height, width = self.source
        where = self.window.affine(self.frame, self.source)
        moved = (Motion() if motion is None else motion).affine(self.source).after(where)
        return scaling(size[1] / width, size[0] / height).after(moved)


def grey(image: Image.Image, size: tuple[int, int]) -> Float32:
    """Return a photograph as small and grey as a reference of a height and width."""
    small = image.convert("L").resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32)


def reference_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of a reference for photographs of a size.

    Examples
    --------
    >>> reference_size((500, 1000))
    (64, 128)
    """
    scale = SIDE / max(size)
    return max(2, round(size[0] * scale)), max(2, round(size[1] * scale))
