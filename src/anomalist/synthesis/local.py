"""Local anomaly synthesis: a texture blended into a good image where a Perlin mask says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageOps

from anomalist.data import Transform
from anomalist.errors import ParameterError
from anomalist.synthesis.perlin import perlin_mask
from anomalist.synthesis.textures import Textures

_LEAST_OPACITY, _MOST_OPACITY = 0.2, 0.8
_AUGMENTATIONS = 3


@dataclass(frozen=True, kw_only=True)
class LocalSynthesis:
    """Make an anomalous image of a good one: local synthesis (GLASS, Chen et al., ECCV 2024).

    x' = x (1 - m) + ((1 - beta) t + beta x) m, with the image x, a mask m of `perlin_mask`, a
    texture t and the opacity beta, drawn from N(mean, std) and cut to 0.2 to 0.8.

    Parameters
    ----------
    textures : Textures
        Where textures come from.
    transform : Transform
        The one that the images passed through. A texture keeps its proportions: it is resized
        until it covers ``image_size``, then its centre is cut out.
    grid : (int, int)
        Patches from top to bottom and from left to right, as `perlin_mask` takes them.
    mean, std : float
        Mean and deviation of the share beta that the good image keeps inside the mask.
    rand_aug : bool
        Whether a texture goes through three of nine augmentations: contrast, brightness, saturation
        and hue, either flip, grey, stretched contrast, equalized histogram, rotation.

    Raises
    ------
    ParameterError
        If ``grid`` isn't positive, ``mean`` isn't within 0 to 1, or ``std`` is negative.

    Examples
    --------
    >>> synthesize = LocalSynthesis(textures=Textures(), transform=Transform(64), grid=(8, 8))
    >>> good = np.full((64, 64, 3), 128, np.uint8)
    >>> image, mask = synthesize(good, np.random.default_rng(0))
    >>> image.shape, mask.shape, bool((image[~mask] == 128).all())
    ((64, 64, 3), (64, 64), True)
    """

    textures: Textures
    transform: Transform
    grid: tuple[int, int]
    mean: float = 0.5
    std: float = 0.1
    rand_aug: bool = True

    def __post_init__(self) -> None:
        if len(self.grid) != 2 or min(self.grid) < 1:
            raise ParameterError(f"grid must be two positive numbers of patches, not {self.grid}")
        if not 0 <= self.mean <= 1:
            raise ParameterError(f"mean must be from 0 to 1, not {self.mean}")
        if not self.std >= 0:
            raise ParameterError(f"std must be 0 or more, not {self.std}")

    def __call__(
        self,
        image: npt.NDArray[np.uint8],
        rng: np.random.Generator,
        foreground: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Return an anomalous version of a good image and where it is anomalous.

        Parameters
        ----------
        image : uint8 array of shape (H, W, 3)
            As ``transform`` gives it; left as it is.
        rng : numpy.random.Generator
            What everything is drawn from.
        foreground : bool array of shape (H, W), optional
            Where anomalies may be.

        Returns
        -------
        image : uint8 array of shape (H, W, 3)
        mask : bool array of shape (H, W)

        Raises
        ------
        DataError
            If a texture can't be read.
        ParameterError
            If the image or the foreground isn't of the size that the transform gives.
        """
        height, width = self.transform.output_size
        if image.shape != (height, width, 3):
            raise ParameterError(
                f"an image of shape {image.shape} didn't come out of a transform to "
                f"{height} x {width} pixels"
            )
        texture = self._texture(rng)
        mask = perlin_mask((height, width), self.grid, rng, foreground)
        beta = np.float32(np.clip(rng.normal(self.mean, self.std), _LEAST_OPACITY, _MOST_OPACITY))
        below, above = image[mask], texture[mask]
        anomalous = image.copy()
        anomalous[mask] = np.rint((1 - beta) * above + beta * below).astype(np.uint8)
        return anomalous, mask

    def _texture(self, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        size = self.transform.image_size
        height, width = size if isinstance(size, tuple) else (size, size)
        texture = self.textures(rng)
        ratio = max(height / texture.height, width / texture.width)
        resized = (
            max(width, round(texture.width * ratio)),
            max(height, round(texture.height * ratio)),
        )
        resampling = Image.Resampling[self.transform.interpolation.upper()]
        texture = texture.resize(resized, resampling)
        if self.rand_aug:
            for i in rng.choice(len(AUGMENTATIONS), _AUGMENTATIONS, replace=False):
                texture = AUGMENTATIONS[i](texture, rng)
        height, width = self.transform.output_size
        left, top = (texture.width - width) // 2, (texture.height - height) // 2
        return np.asarray(texture.crop((left, top, left + width, top + height)))


def _contrast(texture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Contrast(texture).enhance(rng.uniform(0.8, 1.2))


def _brightness(texture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(texture).enhance(rng.uniform(0.8, 1.2))


def _colour(texture: Image.Image, rng: np.random.Generator) -> Image.Image:
    saturated = ImageEnhance.Color(texture).enhance(rng.uniform(0.8, 1.2))
    hue, *others = saturated.convert("HSV").split()
    turn = round(rng.uniform(-0.2, 0.2) * 256)
    turned = hue.point([(value + turn) % 256 for value in range(256)])
    return Image.merge("HSV", (turned, *others)).convert("RGB")


def _mirror(texture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(texture)


def _flip(texture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.flip(texture)


def _grey(texture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return texture.convert("L").convert("RGB")


def _autocontrast(texture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.autocontrast(texture)


def _equalize(texture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.equalize(texture)


def _rotation(texture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return texture.rotate(rng.uniform(-45, 45))


AUGMENTATIONS: tuple[Callable[[Image.Image, np.random.Generator], Image.Image], ...] = (
    _contrast,
    _brightness,
    _colour,
    _mirror,
    _flip,
    _grey,
    _autocontrast,
    _equalize,
    _rotation,
)
