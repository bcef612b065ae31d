"""Pictures of a run: a sheet of heatmaps, and below ``pictures`` the arrays that reports show."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.benchmark.recording import Done
from anomalist.benchmark.store import ResultStore
from anomalist.data import ImageSet, Transform
from anomalist.predictions import Predictions
from anomalist.report import heatmap_sheet

_PHOTOGRAPH = 256
_MAP = 128
_HALF = 128


def write_pictures(done: Done, results: ResultStore) -> None:
    """Keep a sheet of a run's heatmaps, its maps, and the test images of its category."""
    task, detector, predictions = done.task, done.fitted.detector, done.predictions
    low = high = threshold = None
    key = f"pictures/{task.category}.npz"
    _save(results, key, **_photographs(done.category.test, detector.transform.bit_depth))
    if (calibration := detector.calibration_) is not None:
        low, high = calibration.pixel_range(task.asked.alpha)
        threshold = calibration.pixel_threshold(task.asked.alpha)
        key = f"pictures/{task.name}/{task.category}.npz"
        _save(results, key, **_maps(predictions, detector.transform, low, high))
    sheet = heatmap_sheet(predictions, detector.transform, low=low, high=high, threshold=threshold)
    with results.put(f"{task.name}/{task.category}_heatmaps.png") as path:
        sheet.save(path)


def _photographs(images: ImageSet, bit_depth: int) -> dict[str, npt.NDArray[Any]]:
    """Test images with their masks, at most 256 pixels a side.

    All get the shape of the first, so that they are one array.
    """
    height, width = images[0].size()
    scale = min(1.0, _PHOTOGRAPH / max(width, height))
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    view = Transform(size)
    photographs = np.stack([view(sample.read(bit_depth)) for sample in images])
    masks = np.zeros(photographs.shape[:3], bool)
    for i, sample in enumerate(images):
        if (mask := sample.read_mask()) is not None:
            masks[i] = view.mask(mask)
    return {"photographs": photographs, "masks": masks}


def _maps(
    predictions: Predictions, transform: Transform, low: float, high: float
) -> dict[str, npt.NDArray[Any]]:
    """Maps in bytes: 0 is ``low``, 127.5 is ``high``, 255 twice as far; and what is ignored."""
    unit = 127.5 / (high - low)
    arrays: dict[str, npt.NDArray[Any]] = {
        "maps": _small(predictions.maps - np.float32(low), unit, transform)
    }
    if predictions.disagreement_maps is not None:
        arrays["disagreement"] = _small(predictions.disagreement_maps, unit, transform)
    if predictions.ignored is not None:
        arrays["ignored"] = _small(predictions.ignored, 255, transform) >= _HALF
    return arrays


def _small(
    maps: npt.NDArray[np.floating | np.bool_], unit: float, transform: Transform
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


def _save(results: ResultStore, key: str, **arrays: npt.NDArray[Any]) -> None:
    with results.put(key) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
