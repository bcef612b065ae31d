"""What a stress test does to photographs: light, focus, noise, compression, framing.

Each works on the samples of a photograph at its own size and depth, before any transform. Light is
changed as light: samples of 8 bits are decoded with the curve of sRGB (IEC 61966-2-1) and encoded
again, deeper ones are taken for proportional to light, as cameras give them. What grows above
white is cut off there, as a sensor does. Borders of what is moved are filled by reflection.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.data.moving import Affine, moved_plane, moved_samples

Samples = npt.NDArray[np.uint8 | np.uint16]
Light = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def to_light(samples: Samples, white: int) -> Light:
    """Return samples as light from 0 to 1.

    Examples
    --------
    >>> to_light(np.array([0, 188, 255], np.uint8), 255).round(2).tolist()
    [0.0, 0.5, 1.0]
    >>> to_light(np.array([0, 2048, 4095], np.uint16), 4095).round(2).tolist()
    [0.0, 0.5, 1.0]
    """
    stored = np.arange(white + 1, dtype=np.float32) / np.float32(white)
    if white <= 255:
        curve = ((stored + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
        stored = np.where(stored <= 0.04045, stored / np.float32(12.92), curve)
    light: Light = stored[samples]
    return light


def from_light(light: Light, white: int) -> Samples:
    """Return light as samples; what is above 1 is white."""
    stored = np.clip(light, 0, 1)
    if white <= 255:
        curve = np.float32(1.055) * stored ** np.float32(1 / 2.4) - np.float32(0.055)
        stored = np.where(stored <= 0.0031308, np.float32(12.92) * stored, curve)
    return _stored(stored * np.float32(white), white)


def _stored(values: Light, white: int) -> Samples:
    kind = np.uint8 if white <= 255 else np.uint16
    return np.rint(np.clip(values, 0, white)).astype(kind)


def _every(white: int) -> Samples:
    """All values that a sample can have."""
    return np.arange(white + 1, dtype=np.uint8 if white <= 255 else np.uint16)


@dataclass(frozen=True)
class StressChange:
    """One condition at one level; leaves masks where they are unless it moves the photograph."""

    name: ClassVar[str]
    level: float

    @property
    def key(self) -> str:
        """All that decides what it does."""
        return f"stress {self.name}={self.level!r}"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return changed samples, see :class:`~anomalist.data.changed.Change`."""
        raise NotImplementedError

    def mask(self, mask: Mask) -> Mask:
        """Return the mask as the photograph is moved."""
        return mask


class Brightness(StressChange):
    """``level`` times the light: 1.1 is a lamp that is 10 % brighter, or as much more exposure.

    Examples
    --------
    >>> grey = np.full((1, 1, 1), 100, np.uint8)
    >>> int(Brightness(1.2).image(grey, 255, np.random.default_rng()).item())
    109
    """

    name = "brightness"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return changed samples."""
        light = to_light(_every(white), white) * np.float32(self.level)
        return from_light(light, white)[samples]


class Gamma(StressChange):
    """Stored values, as shares of white, to the power of ``level``: above 1, mid-tones darken.

    Examples
    --------
    >>> grey = np.full((1, 1, 1), 128, np.uint8)
    >>> int(Gamma(2).image(grey, 255, np.random.default_rng()).item())
    64
    """

    name = "gamma"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return changed samples."""
        shares = _every(white).astype(np.float64) / white
        return _stored((shares**self.level * white).astype(np.float32), white)[samples]


class Gradient(StressChange):
    """Uneven light: times 1 - level/2 at the left edge, rising to 1 + level/2 at the right one.

    Examples
    --------
    >>> ramp = Gradient(1).image(np.full((1, 2, 1), 1000, np.uint16), 4095, np.random.default_rng())
    >>> ramp.ravel().tolist()
    [750, 1250]
    """

    name = "gradient"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return changed samples."""
        width = samples.shape[1]
        across = (np.arange(width, dtype=np.float32) + np.float32(0.5)) / width - np.float32(0.5)
        factor = 1 + np.float32(self.level) * across
        return from_light(to_light(samples, white) * factor[None, :, None], white)


class Focus(StressChange):
    """Blurred light: a Gaussian with a deviation of ``level`` of the longer side."""

    name = "focus"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return changed samples."""
        sigma = self.level * max(samples.shape[:2])
        light = ndimage.gaussian_filter(to_light(samples, white), (sigma, sigma, 0), mode="reflect")
        return from_light(light, white)


class Noise(StressChange):
    """Noise of a sensor: normal, its deviation ``level`` of white, added to the stored values.

    It is drawn for each photograph from its content, so that it is the same at every reading.
    """

    name = "noise"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return changed samples."""
        drawn = rng.standard_normal(samples.shape, np.float32)
        return _stored(samples + drawn * np.float32(self.level * white), white)


class Jpeg(StressChange):
    """Saved as JPEG of quality ``level``, colours at half the resolution, and read again.

    A JPEG has 8 bits: of deeper photographs, the upper ones are left.
    """

    name = "jpeg"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return changed samples."""
        eight = _stored(samples.astype(np.float32) * np.float32(255 / white), 255)
        grey = samples.shape[2] == 1
        file = io.BytesIO()
        image = Image.fromarray(eight[..., 0] if grey else np.ascontiguousarray(eight))
        image.save(file, "JPEG", quality=int(self.level), subsampling="4:2:0")
        with Image.open(file) as saved:
            pixels = np.asarray(saved).reshape(samples.shape)
        return _stored(pixels.astype(np.float32) * np.float32(white / 255), white)


class Shift(StressChange):
    """Moved by ``level`` of the width to the right and of the height down, in whole pixels.

    Examples
    --------
    >>> Shift(0.25).mask(np.array([[True, False, False, False]]))
    array([[ True,  True, False, False]])
    """

    name = "shift"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return changed samples."""
        rows, columns = self._places(samples.shape[0]), self._places(samples.shape[1])
        return samples[rows[:, None], columns]

    def mask(self, mask: Mask) -> Mask:
        """Return the mask as the photograph is moved."""
        moved: Mask = mask[self._places(mask.shape[0])[:, None], self._places(mask.shape[1])]
        return moved

    def _places(self, side: int) -> npt.NDArray[np.intp]:
        """Where each pixel of a side comes from; beyond an edge, the other way round."""
        places = (np.arange(side) - round(self.level * side)) % (2 * side)
        return np.where(places < side, places, 2 * side - 1 - places)


class _About(StressChange):
    """Moves a photograph about its centre; ``_matrix`` takes (x, y) to where it comes from."""

    def _matrix(self) -> tuple[float, float, float, float]:
        raise NotImplementedError

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return changed samples, interpolated bilinearly."""
        affine = Affine.about((samples.shape[0], samples.shape[1]), self._matrix())
        return moved_samples(samples, affine, white, Image.Resampling.BILINEAR)

    def mask(self, mask: Mask) -> Mask:
        """Return the mask as the photograph is moved, each pixel from the nearest one."""
        affine = Affine.about((mask.shape[0], mask.shape[1]), self._matrix())
        moved = moved_plane(mask.astype(np.uint8), affine, Image.Resampling.NEAREST)
        return moved.astype(np.bool_)


class Turn(_About):
    """Turned by ``level`` degrees about the centre, counterclockwise.

    Examples
    --------
    >>> Turn(90).mask(np.array([[False, True], [False, False]]))
    array([[ True, False],
           [False, False]])
    """

    name = "turn"

    def _matrix(self) -> tuple[float, float, float, float]:
        angle = math.radians(self.level)
        return math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)


class Scale(_About):
    """``level`` times as large about the centre: above 1 as if the camera came closer.

    Examples
    --------
    >>> Scale(2).mask(np.array([[False, False, False, False], [False, True, False, False]] * 2))
    array([[ True,  True, False, False],
           [ True,  True, False, False],
           [False, False, False, False],
           [False, False, False, False]])
    """

    name = "scale"

    def _matrix(self) -> tuple[float, float, float, float]:
        return 1 / self.level, 0.0, 0.0, 1 / self.level


CHANGES: dict[str, type[StressChange]] = {
    kind.name: kind
    for kind in (Brightness, Gamma, Gradient, Focus, Noise, Jpeg, Shift, Turn, Scale)
}
