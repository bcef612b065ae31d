"""By which turn and shift a picture lies over another: correlation at all angles, then refined."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import fft, ndimage  # type: ignore[import-untyped]

from anomalist.data.motion import Motion
from anomalist.data.moving import Affine

Float32 = npt.NDArray[np.float32]

# Angles at which all shifts are tried, and how many of the best are refined.
_ANGLES = 72
_CANDIDATES = 4
# Angles so near are one candidate, in steps; and so far apart, in degrees, are another way to lie.
_NEAR = 3
_OTHER = 20.0
# Farthest shift, as a share of the side.
_FARTHEST = 1 / 3
# Steps of refinement, of which the last ones move less than this, in pixels.
_STEPS = 12
_SETTLED = 0.02
# What is darker or lighter over more than this share of the side is light, not part.
_LIGHT = 1 / 12
# Least share of the picture that must be seen to compare it.
_LEAST_SEEN = 0.2


@dataclass(frozen=True)
class Match:
    """What was found of one picture.

    Parameters
    ----------
    motion : Motion
        The best one.
    likeness : float
        Correlation of the moved picture with the other one, at most 1.
    margin : float
        By how much it exceeds, at half of the resolution, that of the best motion of which the
        angle is another.
    """

    motion: Motion
    likeness: float
    margin: float


class Template:
    """A picture that others are to lie over.

    Light that changes slowly is taken off both. At half of the resolution, correlations normalised
    under a disc are found at all shifts by Fourier transforms, for every fifth degree; the best
    are refined by Gauss-Newton steps on the template's gradients, and the best of these once more
    at full resolution.

    Parameters
    ----------
    picture : float32 array of shape (H, W)
        Grey.

    References
    ----------
    Padfield, "Masked object registration in the Fourier domain", IEEE TIP 21 (2012), section II;
    Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 56 (2004), section 3.2 (inverse
    compositional); Evangelidis and Psarakis, "Enhanced correlation coefficient maximization", IEEE
    TPAMI 30 (2008), for the normalisation.

    Examples
    --------
    >>> picture = np.full((64, 64), 200, np.float32)
    >>> picture[20:28, 10:50] = picture[28:44, 10:16] = 40
    >>> turned = np.rot90(picture)
    >>> match = Template(picture).match(turned)
    >>> round(math.degrees(match.motion.turn)) % 360, match.likeness > 0.95
    (270, True)
    """

    def __init__(self, picture: Float32) -> None:
        self._fine = _Slopes.of(_without_light(picture))
        self._coarse = _Slopes.of(_without_light(_halved(picture)))

    def match(self, picture: Float32) -> Match:
        """Find how a grey picture of the same shape lies over it."""
        small = _without_light(_halved(picture))
        found = [self._coarse.refined(small, motion) for motion in self._candidates(small)]
        found.sort(key=lambda one: -one[0])
        likeness, motion = found[0]
        others = [one for one, m in found[1:] if _apart(m.turn, motion.turn) > _OTHER]
        margin = likeness - max(others, default=-1.0)
        likeness, motion = self._fine.refined(_without_light(picture), motion)
        return Match(motion, likeness, margin)

    def _candidates(self, picture: Float32) -> list[Motion]:
        """The motions that correlate best, each of another angle."""
        height, width = picture.shape
        shape = self._padded
        seen = fft.rfft2(picture, shape)
        total = fft.irfft2(seen * self._disc_spectrum, shape)
        squares = fft.irfft2(fft.rfft2(picture * picture, shape) * self._disc_spectrum, shape)
        variance = squares - total * total / self._disc.sum()
        # Where there is next to nothing under the disc, nothing is like anything.
        least = max(1e-3 * float((picture * picture).sum()), float(np.finfo(np.float32).tiny))
        likeness = fft.irfft2(seen * self._spectra, shape) / np.sqrt(np.maximum(variance, least))
        down = fft.fftfreq(shape[0], 1 / shape[0])
        across = fft.fftfreq(shape[1], 1 / shape[1])
        near = abs(down)[:, None] <= _FARTHEST * height
        likeness[:, ~(near & (abs(across) <= _FARTHEST * width))] = -1
        flat = likeness.reshape(_ANGLES, -1)
        places, best = flat.argmax(axis=1), flat.max(axis=1)
        chosen: list[int] = []
        for angle in np.argsort(-best, kind="stable").tolist():
            if all(min((angle - k) % _ANGLES, (k - angle) % _ANGLES) > _NEAR for k in chosen):
                chosen.append(angle)
            if len(chosen) == _CANDIDATES:
                break
        side = max(height, width)
        motions = []
        for angle in chosen:
            row, column = np.unravel_index(places[angle], shape)
            turn = 2 * math.pi * angle / _ANGLES
            motions.append(Motion(turn, float(across[column]) / side, float(down[row]) / side))
        return motions

    @cached_property
    def _padded(self) -> tuple[int, int]:
        height, width = self._coarse.picture.shape
        return fft.next_fast_len(2 * height), fft.next_fast_len(2 * width)

    @cached_property
    def _disc(self) -> Float32:
        """What counts of the template, the same at all angles."""
        height, width = self._coarse.picture.shape
        y, x = np.mgrid[:height, :width] + 0.5
        radius = np.hypot(x - width / 2, y - height / 2) / (min(height, width) / 2)
        disc: Float32 = np.clip((1 - radius) / 0.1, 0, 1).astype(np.float32)
        return disc

    @cached_property
    def _disc_spectrum(self) -> npt.NDArray[np.complex64]:
        spectrum: npt.NDArray[np.complex64] = fft.rfft2(self._disc, self._padded).conj()
        return spectrum

    @cached_property
    def _spectra(self) -> npt.NDArray[np.complex64]:
        """Of the template as it is seen in pictures that are turned by every angle."""
        template, disc = self._coarse.picture, self._disc
        turned = []
        for i in range(_ANGLES):
            back = Motion(2 * math.pi * i / _ANGLES).affine(template.shape).inverse()
            one = _warped(template, back)
            one = (one - (one * disc).sum() / disc.sum()) * disc
            turned.append(one / max(float(np.linalg.norm(one)), 1e-6))
        spectra: npt.NDArray[np.complex64] = fft.rfft2(np.stack(turned), self._padded).conj()
        return spectra


@dataclass(frozen=True, eq=False)
class _Slopes:
    """A template at one resolution, and how it changes as it is shifted and turned."""

    picture: Float32
    slopes: Float32

    @classmethod
    def of(cls, picture: Float32) -> _Slopes:
        height, width = picture.shape
        down, across = np.gradient(picture)
        y, x = np.mgrid[:height, :width] + 0.5
        turning = (x - width / 2) * down - (y - height / 2) * across
        return cls(picture, np.stack([across, down, turning], axis=-1).astype(np.float32))

    def refined(self, picture: Float32, motion: Motion) -> tuple[float, Motion]:
        """The likeness of a picture moved so, and the motion, after steps that raise it."""
        shape = picture.shape
        size = (shape[0], shape[1])
        side = max(size)
        everywhere = np.ones(shape, np.float32)
        for left in range(_STEPS, -1, -1):
            affine = motion.affine(size)
            inside = _warped(everywhere, affine) > 0.99
            if inside.mean() < _LEAST_SEEN:
                return -1.0, motion
            seen, wanted = _warped(picture, affine)[inside], self.picture[inside]
            seen, wanted = seen - seen.mean(), wanted - wanted.mean()
            lengths = float(np.linalg.norm(seen)), float(np.linalg.norm(wanted))
            if not min(lengths) > 0:
                return -1.0, motion
            likeness = float(seen @ wanted) / (lengths[0] * lengths[1])
            if not left:
                break
            slopes = self.slopes[inside]
            slopes = slopes - slopes.mean(axis=0)
            hessian = (slopes.T @ slopes).astype(np.float64)
            hessian += 1e-6 * np.trace(hessian) * np.eye(3)
            off = seen * (lengths[1] / lengths[0]) - wanted
            across, down, turn = np.linalg.solve(hessian, (slopes.T @ off).astype(np.float64))
            step = max(abs(across), abs(down), abs(turn) * side / 2)
            if not step > _SETTLED:
                break
            motion = motion.after(float(across) / side, float(down) / side, float(turn))
        return likeness, motion


def _without_light(picture: Float32) -> Float32:
    """What of a picture isn't light that changes slowly, nor noise."""
    reach = max(picture.shape) * _LIGHT
    fine = ndimage.gaussian_filter(picture, 1.0, mode="nearest")
    without: Float32 = fine - ndimage.gaussian_filter(picture, reach, mode="nearest")
    return without


def _halved(picture: Float32) -> Float32:
    height, width = picture.shape
    size = (max(1, width // 2), max(1, height // 2))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _warped(picture: Float32, affine: Affine) -> Float32:
    """A picture moved, nothing beyond its edges."""
    return np.asarray(
        Image.fromarray(picture).transform(
            (picture.shape[1], picture.shape[0]),
            Image.Transform.AFFINE,
            (affine.xx, affine.xy, affine.x0, affine.yx, affine.yy, affine.y0),
            Image.Resampling.BILINEAR,
        )
    )


def _apart(one: float, other: float) -> float:
    """Degrees between two angles in radians."""
    degrees = math.degrees(one - other) % 360
    return min(degrees, 360 - degrees)
