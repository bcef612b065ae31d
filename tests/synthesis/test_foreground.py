from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomalist.data import ImageSet, MVTecAD, Transform, load_batches, load_masks, make_sample_set
from anomalist.errors import ParameterError
from anomalist.synthesis import foreground_mask


def scene(size: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """A dark bar on a bright, noisy ground whose light falls off, and where the bar is."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    part = (np.abs(x + 0.3 * y) < 0.25) & (np.abs(y) < 0.7)
    level = 210 - 30 * x - 25 * (x * x + y * y) + rng.normal(0, 2, x.shape)
    level[part] = 80 + rng.normal(0, 15, part.sum())
    return level[..., None].repeat(3, axis=2).clip(0, 255).astype(np.uint8), part


def pixels(images: ImageSet, size: int) -> np.ndarray:
    return np.concatenate(list(load_batches(images, Transform(size), 8)))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_part_in_uneven_light_is_found() -> None:
    image, part = scene()
    mask = foreground_mask(image)
    assert mask.shape == part.shape
    assert mask.dtype == np.bool_
    assert (mask & part).sum() == part.sum()
    assert overlap(mask, part) > 0.85


def test_bright_parts_holes_and_specks() -> None:
    image, part = scene()
    image = 255 - image
    image[90:110, 95:105] = image[5, 5]  # as bright as the background, but inside the part
    image[20, 20] = 255
    mask = foreground_mask(image)
    assert mask[90:110, 95:105].all()
    assert not mask[20, 20]
    assert overlap(mask, part) > 0.85


def test_a_part_may_touch_the_border() -> None:
    image = np.full((200, 200, 3), (200, 60, 60), np.uint8)
    image[60:140, :150] = (60, 60, 200)
    mask = foreground_mask(image)
    assert mask[62:138, :148].all()
    assert not mask[:50].any()


@pytest.mark.parametrize(
    "image",
    [
        np.full((64, 64, 3), 120, np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (100, 80, 3), np.uint8),
        (np.indices((96, 96)).sum(axis=0) // 8 % 2 * 200).astype(np.uint8)[..., None].repeat(3, 2),
        np.zeros((1, 1, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (3, 2, 3), np.uint8),
    ],
    ids=["flat", "black", "noise", "checks", "one pixel", "six pixels"],
)
def test_no_background_no_mask(image: np.ndarray) -> None:
    mask = foreground_mask(image)
    assert mask.shape == image.shape[:2]
    assert mask.all()


def test_sample_set(tmp_path: Path) -> None:
    data = MVTecAD(make_sample_set(tmp_path, train=1, good=1, per_defect=1, image_size=128))
    # Other defects of the key are where metal is missing, or where none should be.
    for name, kinds, low, high in (
        ("bottle_mouth", None, 0.5, 0.75),
        ("brass_key", {"scratch"}, 0.1, 0.25),
    ):
        test = data.category(name).test
        masks = load_masks(test, Transform(256))
        assert masks is not None
        parts = np.array([foreground_mask(i) for i in pixels(test, 256)])
        assert low < parts.mean(axis=(1, 2)).min()
        assert parts.mean(axis=(1, 2)).max() < high
        shown = np.array([kinds is None or defect in kinds for defect in test.defects])
        assert masks[shown].any()
        assert (parts & masks)[shown].sum() > 0.95 * masks[shown].sum()
    (fabric,) = pixels(data.category("woven_fabric").train, 256)
    assert foreground_mask(fabric).all()


@pytest.mark.parametrize(
    ("name", "low", "high", "covered"), [("bottle", 0.6, 0.7, 0.99), ("screw", 0.1, 0.3, 0.9)]
)
def test_defects_of_real_objects_lie_in_the_foreground(
    mvtec_ad: Path, name: str, low: float, high: float, covered: float
) -> None:
    test = MVTecAD(mvtec_ad).category(name).test[::8]
    masks = load_masks(test, Transform(288))
    assert masks is not None
    parts = np.array([foreground_mask(image) for image in pixels(test, 288)])
    assert low < parts.mean() < high
    assert (parts & masks).sum() > covered * masks.sum()


def test_grey_images_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"\(H, W, 3\), not \(8, 8\)"):
        foreground_mask(np.zeros((8, 8), np.uint8))
