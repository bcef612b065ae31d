"""How photographs look on the whole: light, colour, sharpness, and a small grey picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.framing import Framing

#: Side in pixels of the small grey picture.
THUMBNAIL = 32

# Rec. 601, as Pillow makes RGB grey.
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """A few numbers of one photograph, as a detector sees it.

    Parameters
    ----------
    thumbnail : float32 array of shape (32, 32)
        Grey means over equal parts of the picture, in grey levels.
    brightness, contrast : float
        Mean and standard deviation of the grey levels, 0 to 255.
    sharpness : float
        Mean difference of neighbouring pixels, in percent of the contrast; 0 without contrast.
    red, yellow : float
        Mean of red less green, and of red and green less blue: the colour that light or paint give
        to the whole, 0 for grey.
    colour : float
        Mean difference between the highest and the lowest of red, green and blue.
    """

    thumbnail: npt.NDArray[np.float32]
    brightness: float
    contrast: float
    sharpness: float
    red: float
    yellow: float
    colour: float

    @property
    def framing(self) -> Framing:
        """How it is framed, of the thumbnail."""
        return Framing.of(self.thumbnail)

    @classmethod
    def of(cls, pixels: npt.NDArray[np.uint8]) -> Self:
        """Look at a transformed photograph.

        Parameters
        ----------
        pixels : uint8 array of shape (H, W, 3)
            RGB.

        Examples
        --------
        >>> look = Look.of(np.full((64, 64, 3), (200, 100, 0), np.uint8))
        >>> round(look.brightness), look.contrast, look.sharpness, look.red, look.yellow
        (118, 0.0, 0.0, 100.0, 150.0)
        """
        red, green, blue = pixels.reshape(-1, 3).mean(axis=0, dtype=np.float64).tolist()
        grey = pixels @ _GREY
        brightness = float(grey.mean(dtype=np.float64))
        contrast = float(grey.std(dtype=np.float64))
        steps = [
            float(np.abs(np.diff(grey, axis=axis)).mean(dtype=np.float64))
            for axis in (0, 1)
            if grey.shape[axis] > 1
        ]
        # Below a hundredth of a grey level there is nothing but rounding.
        flat = contrast < 0.01 or not steps
        small = Image.fromarray(grey).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        # Two by two: along an axis of three NumPy is slow, and this is done for every image.
        r, g, b = (pixels[..., channel] for channel in range(3))
        spread = np.maximum(np.maximum(r, g), b) - np.minimum(np.minimum(r, g), b)
        return cls(
            thumbnail=np.asarray(small, np.float32),
            brightness=brightness,
            contrast=0.0 if flat else contrast,
            sharpness=0.0 if flat else 100 * sum(steps) / len(steps) / contrast,
            red=red - green,
            yellow=(red + green) / 2 - blue,
            colour=float(spread.mean(dtype=np.float64)),
        )
