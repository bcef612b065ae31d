"""One photograph of a sample object, beside the same one without its defect."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.data.samples.drawing import OVERSAMPLING, Camera, Category, Flaw, Picture, Scene

# In steps of the gamma-coded signal: three grey levels of 255, about the noise of the sensor.
_VISIBLE = 3 / 255
# Specks with fewer changed pixels than this, for each pixel of the picture's width, don't count.
_SPECK = 6 / 256
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture of an object and what is wrong with it.

    Attributes
    ----------
    image : array of uint8, shape (S, S, 3)
        What the camera saw.
    clean : array of uint8, shape (S, S, 3)
        The same exposure of the same object without its defect: equal to ``image`` wherever
        ``mask`` is False.
    mask : array of bool, shape (S, S)
        The pixels that the defect changed.
    severity : float
        From 0 (barely visible) to 1 (glaring); 0 for a good object.
    """

    image: npt.NDArray[np.uint8]
    clean: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    severity: float


def photograph(
    category: Category, split: str, defect: str, index: int, *, seed: int, image_size: int
) -> Photograph:
    """Draw one photograph from streams of its own, so that it depends on no other.

    Parameters
    ----------
    category : Category
        What to draw.
    split : str
        ``"train"`` or ``"test"``.
    defect : str
        A defect of the category, or ``"good"``.
    index : int
        The photograph's number within split and defect.
    seed : int
        Of the whole sample set.
    image_size : int
        Height and width in pixels.

    Examples
    --------
    >>> from anomalist.data.samples.brass_key import BRASS_KEY
    >>> shot = photograph(BRASS_KEY, "test", "scratch", 0, seed=0, image_size=64)
    >>> shot.image.shape, bool(shot.mask.any())
    ((64, 64, 3), True)
    """
    key = zlib.crc32(f"{category.name}/{split}/{defect}".encode())
    scene, optics, sensor, fault = ((seed, key, index, part) for part in range(4))
    camera = Camera.draw(np.random.default_rng(optics))
    grain = camera.grain(np.random.default_rng(sensor), image_size)

    # Drawn for each image alone: turned by even steps, good images would cover all angles better
    # than a random draw does, and thresholds that come from them would be too high for new ones.
    phase = float(np.random.default_rng((seed, key, index, 4)).random())
    # Golden-ratio steps cover [0, 1] evenly, however many images follow.
    start = float(np.random.default_rng((seed, key, 0, 4)).random(2)[1])
    severity = (start + index * _GOLDEN) % 1.0

    def expose(flaw: Flaw | None) -> Picture:
        rng = np.random.default_rng(scene)
        return camera.expose(category.paint(Scene(image_size * OVERSAMPLING, rng, phase, flaw)))

    bare = expose(None)
    clean = camera.develop(bare, grain)
    if defect == "good":
        return Photograph(clean, clean, np.zeros(clean.shape[:2], np.bool_), 0.0)
    flaw = Flaw(defect, severity, fault)
    flawed = expose(flaw)
    mask = _changed(bare, flawed)
    while not mask.any() and flaw.severity < 1:
        # On very small images the faintest defects vanish between the pixels.
        flaw = replace(flaw, severity=min(flaw.severity + 0.1, 1.0))
        flawed = expose(flaw)
        mask = _changed(bare, flawed)
    image = camera.develop(np.where(mask[..., None], flawed, bare), grain)
    return Photograph(image, clean, mask, flaw.severity)


def _changed(bare: Picture, flawed: Picture) -> npt.NDArray[np.bool_]:
    seen = np.abs(flawed - bare).max(2) > _VISIBLE
    seen = ndimage.binary_closing(np.pad(seen, 2), np.ones((3, 3), np.bool_))[2:-2, 2:-2]
    parts, _ = ndimage.label(seen, np.ones((3, 3), np.bool_))
    kept = np.bincount(parts.ravel()) >= _SPECK * len(seen)
    kept[0] = False
    mask: npt.NDArray[np.bool_] = kept[parts]
    return mask
