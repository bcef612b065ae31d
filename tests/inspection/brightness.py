"""A detector that needs no fit, and photographs for it."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image

from anomalist.data import ImageSet, Transform
from anomalist.inspection import Rule
from anomalist.predictions import Predictions

RULE = Rule(
    alpha=0.05,
    threshold=100.0,
    pixel_threshold=None,
    low=0.0,
    high=1.0,
    given=True,
    images=0,
    scenes=0,
)


class Brightness:
    """A detector whose score is the mean of the pixels."""

    batch_size = 1
    calibration_ = None
    transform = view = sight = Transform(image_size=8)

    def __init__(self) -> None:
        self.scored: list[str] = []

    def predict(self, images: ImageSet, store: object = None) -> Predictions:
        scores = np.array([np.asarray(sample.read()).mean() for sample in images])
        self.scored += [sample.sha256() for sample in images]
        return Predictions(images.paths, scores, np.zeros((len(images), 8, 8)), images=images)


def photograph(number: int) -> bytes:
    """The bytes of a photograph like no other, of a size that is always the same."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels.flat[:] = np.random.default_rng(number).integers(0, 256, pixels.size)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "BMP")
    return stream.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
