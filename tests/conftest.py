from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest_plugins = ["tests.browser", "tests.processes", "tests.s3"]

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def mvtec_ad() -> Path:
    """Real images: a folder with some categories of MVTec AD beside the repository."""
    root = SHARED / "mvtec_ad"
    if not root.is_dir():
        pytest.skip(f"no MVTec AD at {root}")
    return root


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny data set in MVTec layout: grey noise, and squares that don't belong there."""
    root = tmp_path_factory.mktemp("dots")
    rng = np.random.default_rng(0)

    def save(path: Path, defect: bool) -> None:
        pixels = rng.normal(110, 6, (64, 64, 3))
        mask = np.zeros((64, 64), np.uint8)
        if defect:
            y, x = rng.integers(8, 40, 2)
            mask[y : y + 16, x : x + 16] = 255
            pixels[mask > 0] += 90
            target = root / "dot" / "ground_truth" / "square" / f"{path.stem}_mask.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)

    for i in range(6):
        save(root / "dot" / "train" / "good" / f"{i:03}.png", False)
    for i in range(3):
        save(root / "dot" / "test" / "good" / f"{i:03}.png", False)
        save(root / "dot" / "test" / "square" / f"{i:03}.png", True)
    return root
