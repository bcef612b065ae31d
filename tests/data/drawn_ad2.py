"""A tree of drawn images with the names of MVTec AD 2."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

#: Names of a split's images, as (folder, ending).
SPLITS = {
    "train/good": "regular",
    "validation/good": "regular",
    "test_public/good": "regular",
    "test_public/bad": "regular",
    "test_private": "regular",
    "test_private_mixed": "mixed",
}


def draw_ad2(
    root: Path,
    objects: Iterable[str] = ("can", "vial"),
    *,
    size: tuple[int, int] = (48, 64),
    n: int = 4,
    private: int = 3,
    train: int | None = None,
) -> Path:
    """Draw noise, with squares in bad images, and their masks."""
    rng = np.random.default_rng(0)
    for name in objects:
        for split, ending in SPLITS.items():
            count = private if "private" in split else n
            if split == "train/good" and train is not None:
                count = train
            for i in range(count):
                pixels = rng.normal(110, 6, (*size, 3))
                mask = np.zeros(size, np.uint8)
                if split.endswith("bad") or ("private" in split and i % 2):
                    side = min(size) // 4
                    y, x = rng.integers(0, min(size) - side, 2)
                    mask[y : y + side, x : x + side] = 255
                    pixels[mask > 0] += 90
                path = root / name / split / f"{i:03}_{ending}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
                if split.endswith("bad"):
                    truth = root / name / "test_public" / "ground_truth" / "bad"
                    truth.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(mask).save(truth / f"{i:03}_{ending}_mask.png")
    return root
