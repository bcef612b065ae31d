from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomalist.data import MVTecAD, Transform, load_batches
from anomalist.errors import ParameterError
from anomalist.synthesis import judge_distribution
from tests.reference import distribution as reference


def blob(radius: float, height: int = 288, width: int = 288) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y - height / 2, x - width / 2) < radius
    return np.where(inside[..., None], [30, 60, 20], [220, 230, 240]).astype(np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        blob(100),
        blob(30, 200, 300),
        np.full((50, 60, 3), 90, np.uint8),
        np.zeros((20, 20, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (288, 288, 3), np.uint8),
        np.linspace(0, 255, 288).astype(np.uint8)[None, :, None].repeat(288, 0).repeat(3, 2),
    ],
    ids=["disc", "small disc", "flat", "black", "noise", "ramp"],
)
def test_equals_the_slow_one(image: np.ndarray) -> None:
    assert judge_distribution(image) == reference.judge_distribution(image)


def test_both_answers_occur() -> None:
    assert judge_distribution(blob(100)) == "hypersphere"
    assert judge_distribution(np.full((1, 1, 3), 200, np.uint8)) == "manifold"


@pytest.mark.parametrize("name", ["bottle", "screw"])
def test_real_objects_are_judged_as_by_the_authors(mvtec_ad: Path, name: str) -> None:
    images = MVTecAD(mvtec_ad).category(name).train[::4]
    total = sum(
        batch.sum(axis=0, dtype=np.float64) for batch in load_batches(images, Transform(288), 16)
    )
    mean = np.asarray(total) / len(images)
    assert judge_distribution(mean) == "hypersphere"
    assert reference.judge_distribution(mean.astype(np.uint8)) == "hypersphere"


def test_grey_images_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"\(H, W, 3\), not \(8, 8\)"):
        judge_distribution(np.zeros((8, 8), np.uint8))
