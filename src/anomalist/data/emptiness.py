"""Images that show nothing: a lamp that is out, a cap on the lens, a file of zeros."""

from __future__ import annotations

import numpy as np
from PIL import Image

CONSTANT = "has one value everywhere"
# Backlit parts leave much of an image at white; hardly a hundredth of it shows no part.
_SHARE = 0.99
_GLANCE = 32


def emptiness(image: Image.Image) -> str | None:
    """Return what is to be told of an RGB image that shows nothing, None of others.

    Nearly empty is one of which 99 % of all pixels lie within a grey level of the commonest value.

    Examples
    --------
    >>> emptiness(Image.new("RGB", (8, 8), (9, 9, 9)))
    'has one value everywhere'
    >>> emptiness(Image.radial_gradient("L").convert("RGB"))
    """
    # A few pixels tell most images apart from empty ones.
    glance = image.resize((_GLANCE, _GLANCE), Image.Resampling.NEAREST)
    if _share_of_one(np.asarray(glance)) < _SHARE - 0.05:
        return None
    pixels = np.asarray(image)
    if (pixels == pixels[0, 0]).all():
        return CONSTANT
    if _share_of_one(pixels) < _SHARE:
        return None
    return "is nearly empty: at least 99 % of its pixels have one value, or one beside it"


def _share_of_one(pixels: np.ndarray) -> float:
    """The share of pixels within a level of the commonest value of each channel."""
    near = np.ones(pixels.shape[:2], np.bool_)
    for channel in range(3):
        values = pixels[..., channel]
        common = int(np.bincount(values.ravel(), minlength=256).argmax())
        near &= np.abs(values.astype(np.int16) - common) <= 1
    return float(near.mean())
