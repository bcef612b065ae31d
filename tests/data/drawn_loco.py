"""A data set drawn with the names that MVTec LOCO's files have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CONFIG = [
    {
        "defect_name": "missing_pin",
        "pixel_value": 255,
        "saturation_threshold": 0.5,
        "relative_saturation": True,
    },
    {
        "defect_name": "extra_pin",
        "pixel_value": 254,
        "saturation_threshold": 30,
        "relative_saturation": False,
    },
    {
        "defect_name": "scratch",
        "pixel_value": 250,
        "saturation_threshold": 1.0,
        "relative_saturation": True,
    },
]

SIZE = 60, 72


def draw_loco(root: Path, category: str = "pushpins", train: int = 4) -> Path:
    """Draw a category: one pin in each of four compartments, some missing, doubled or scratched."""
    folder = root / category
    for split, count in (("train", train), ("validation", 2), ("test", 3)):
        for i in range(count):
            _save(folder / split / "good" / f"{i:03}.png", _photograph(split, i)[0])
    for kind in ("logical_anomalies", "structural_anomalies"):
        for i in range(3):
            image, grey = _photograph(kind, i)
            masks: list[np.ndarray] = []
            if kind == "structural_anomalies":
                image[20:23, 5 * i : 5 * i + 30] = 20
                masks = [np.zeros(SIZE, bool)]
                masks[0][20:23, 5 * i : 5 * i + 30] = True
                values = [250]
            else:
                image[5:25, 5:30] = grey
                masks = [np.zeros(SIZE, bool), np.zeros(SIZE, bool)]
                masks[0][2:28, 2:34] = True
                image[40:46, 45:52] = 200
                masks[1][38:48, 30 + i : 54] = True
                values = [255, 254]
            _save(folder / "test" / kind / f"{i:03}.png", image)
            for j, (mask, value) in enumerate(zip(masks, values, strict=True)):
                path = folder / "ground_truth" / kind / f"{i:03}" / f"{j:03}.png"
                _save(path, (mask * value).astype(np.uint8))
    (folder / "defects_config.json").write_text(json.dumps(CONFIG))
    return folder


def _photograph(name: str, number: int) -> tuple[Any, int]:
    rng = np.random.default_rng([*name.encode(), number])
    image = rng.integers(95, 106, SIZE).astype(np.uint8)
    for y in (10, 40):
        for x in (15, 50):
            image[y : y + 6, x : x + 7] = 200
    return image, 100


def _save(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
