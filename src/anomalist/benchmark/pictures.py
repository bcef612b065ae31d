"""Small pictures of test images and maps, which reports show: arrays below ``OUT/pictures``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from anomalist.data import ImageSet, Transform
from anomalist.files import atomic_path
from anomalist.predictions import Predictions

_PHOTOGRAPH = 256
_MAP = 128


def write_photographs(images: ImageSet, folder: Path, category: str) -> None:
    """Keep the test images of a category, with their masks, at most 256 pixels a side.

    All get the shape of the first, so that they are one array.
    """
    height, width = images[0].size()
    scale = min(1.0, _PHOTOGRAPH / max(width, height))
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    view = Transform(size)
    photographs = np.stack([view(sample.read()) for sample in images])
    masks = np.zeros(photographs.shape[:3], bool)
    for i, sample in enumerate(images):
        if (mask := sample.read_mask()) is not None:
            masks[i] = view.mask(mask)
    _save(folder / f"{category}.npz", photographs=photographs, masks=masks)


def write_maps(
    predictions: Predictions,
    transform: Transform,
    low: float,
    high: float,
    folder: Path,
    category: str,
) -> None:
    """Keep the maps of a category in bytes: 0 is ``low``, 127.5 is ``high``, 255 twice as far."""
    unit = 127.5 / (high - low)
    arrays = {"maps": _small(predictions.maps - np.float32(low), unit, transform)}
    if predictions.disagreement_maps is not None:
        arrays["disagreement"] = _small(predictions.disagreement_maps, unit, transform)
    _save(folder / f"{category}.npz", **arrays)


def _small(
    maps: npt.NDArray[np.floating], unit: float, transform: Transform
) -> npt.NDArray[np.uint8]:
    """Bytes of maps (N, H, W) in the frame of the whole image, at most 128 pixels a side."""
    size = transform.image_size
    height, width = size if isinstance(size, tuple) else (size, size)
    scale = min(1.0, _MAP / max(height, width))
    target = max(round(height * scale), 1), max(round(width * scale), 1)
    small = []
    for values in maps:
        # What a crop kept from the detector is shown as if nothing were there.
        placed = np.nan_to_num(transform.on_original(values, target)) * unit
        small.append(placed.clip(0, 255).round().astype(np.uint8))
    return np.stack(small)


def _save(path: Path, **arrays: npt.NDArray[np.generic]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
