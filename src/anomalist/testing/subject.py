"""What checks are made on: a detector, tiny images, and what all checks may share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from anomalist.data import Category, ImageSet, Sample
from anomalist.detectors import Detector
from anomalist.predictions import Predictions

SIDE = 64
_SQUARE = 16


def tiny_category(train: int = 6, good: int = 3, bad: int = 3) -> Category:
    """Make images of grey noise, and some with a bright square that doesn't belong there.

    Parameters
    ----------
    train, good, bad : int
        How many to learn from, and to test on without and with a square.

    Returns
    -------
    Category
        Of arrays in memory, 64 x 64 pixels, with masks.

    Examples
    --------
    >>> category = tiny_category(bad=1)
    >>> len(category.train), category.test.labels
    (6, array([False, False, False,  True]))
    """
    rng = np.random.default_rng(0)

    def made(name: str, defect: bool) -> Sample:
        pixels = rng.normal(110, 6, (SIDE, SIDE, 3))
        mask = np.zeros((SIDE, SIDE), np.bool_)
        if defect:
            y, x = rng.integers(8, SIDE - 8 - _SQUARE, 2)
            mask[y : y + _SQUARE, x : x + _SQUARE] = True
            pixels[mask] += 90
        image = pixels.clip(0, 255).astype(np.uint8)
        kind = "square" if defect else "good"
        return Sample(Path(kind) / name, defect, kind, mask if defect else None, image)

    return Category(
        "dot",
        ImageSet([made(f"{i:03}", False) for i in range(train)], "dot/train"),
        ImageSet([made(f"{good <= i}{i:03}", good <= i) for i in range(good + bad)], "dot/test"),
    )


class Subject:
    """A detector under check, with the images, and a fit that checks share which change nothing.

    Parameters
    ----------
    detector : Detector or a subclass of it
        Unfitted; of a class, one at its defaults is checked, on images of 64 pixels.
    """

    def __init__(self, detector: Detector | type[Detector]) -> None:
        if isinstance(detector, type):
            detector = detector(image_size=SIDE, device="cpu")
        self.template = detector
        self.category = tiny_category()

    def make(self, **changes: Any) -> Detector:
        """Make an unfitted detector like it, but for some hyperparameters."""
        return dataclasses.replace(self.template, **changes)

    @cached_property
    def fitted(self) -> Detector:
        """One that is fitted to the category's training images."""
        return self.make().fit(self.category.train)

    @cached_property
    def predictions(self) -> Predictions:
        """What it gives to the category's test images."""
        return self.fitted.predict(self.category.test)


def require(truth: object, otherwise: str) -> None:
    """Raise an AssertionError that says what is otherwise."""
    if not truth:
        raise AssertionError(otherwise)


def require_same(got: Predictions, expected: Predictions, where: str) -> None:
    """Raise an AssertionError unless scores and maps are the same to the bit."""
    for name in ("scores", "maps"):
        a, b = getattr(got, name), getattr(expected, name)
        require(a.shape == b.shape, f"{where}: {name} have shape {a.shape} instead of {b.shape}")
        differ = np.count_nonzero(a != b)
        require(not differ, f"{where}: {differ} of {a.size} values of {name} differ")


def require_close(got: Predictions, expected: Predictions, where: str) -> None:
    """Raise an AssertionError if scores or maps differ by more than rounding."""
    for name in ("scores", "maps"):
        np.testing.assert_allclose(
            getattr(got, name),
            getattr(expected, name),
            rtol=1e-4,
            atol=1e-4,
            err_msg=f"{where}: {name} differ by more than rounding",
        )


@contextmanager
def refused(kind: type[Exception], what: str, *words: str) -> Iterator[None]:
    """Raise an AssertionError unless the block raises an error of this kind with these words."""
    try:
        yield
    except kind as error:
        for word in words:
            require(word in str(error), f"{what}: its error doesn't say {word!r}: {error}")
    except Exception as error:
        raise AssertionError(
            f"{what}: ends in {type(error).__name__} instead of {kind.__name__}: {error}"
        ) from error
    else:
        raise AssertionError(f"{what}: isn't refused")
