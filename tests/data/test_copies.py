from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter
from scipy.ndimage import uniform_filter

from anomalist.data import ImageSet, Sample
from anomalist.data.copies import SIDE, find_copies, pictures_of
from anomalist.errors import DataError

Pictures = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def parts() -> Pictures:
    """Eighty parts of one kind: a disc that all have, and marks of their own."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    disc = 120 + 60 * (np.hypot(y, x) < 45) + 20 * np.sin(np.arctan2(y, x) * 8)
    own = rng.normal(0, 1, (80, SIDE // 4, SIDE // 4)).repeat(4, axis=1).repeat(4, axis=2)
    soft = uniform_filter(own, (0, 3, 3))
    return (disc + 12 * soft + rng.normal(0, 2, soft.shape)).clip(0, 255).astype(np.uint8)


def changed(picture: Pictures, how: str) -> Pictures:
    image = Image.fromarray(picture)
    rng = np.random.default_rng(1)
    if how == "smaller":
        image = image.resize((80, 80)).resize((SIDE, SIDE))
    elif how == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(0.7))
    elif how == "mirrored":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    elif how == "turned upside down":
        image = image.transpose(Image.Transpose.ROTATE_180)
    elif how == "shifted":
        image = image.transform(image.size, Image.Transform.AFFINE, (1, 0, 3.4, 0, 1, -2.3),
                                resample=Image.Resampling.BICUBIC)  # fmt: skip
    pixels = np.asarray(image, np.float64)
    if how == "brighter":
        pixels = pixels * 1.1 + 6
    elif how == "another shot":
        pixels = pixels * 1.03 + rng.normal(0, 3, pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "how",
    [
        *("smaller", "blurred", "mirrored", "turned upside down", "shifted", "brighter"),
        "another shot",
    ],
)
def test_a_copy_is_found(parts: Pictures, how: str) -> None:
    train, test = parts[:50], parts[50:].copy()
    test[3] = changed(train[17], how)
    (copy,) = find_copies(train, test)
    assert (copy.test, copy.train) == (3, 17)
    assert copy.mirrored is (how in ("mirrored", "turned upside down"))
    assert 0.9 < copy.likeness <= 1.0 + 1e-6


def test_parts_alone_are_none(parts: Pictures) -> None:
    assert find_copies(parts[:50], parts[50:]) == []


def test_bursts_in_the_training_images_do_not_hide_it(parts: Pictures) -> None:
    rng = np.random.default_rng(2)
    shots = parts[:12].repeat(4, axis=0) + rng.normal(0, 2, (48, SIDE, SIDE))
    test = parts[50:].copy()
    test[5] = changed(parts[3], "another shot")
    found = find_copies(shots.clip(0, 255).astype(np.uint8), test)
    assert [(copy.test, copy.train // 4) for copy in found] == [(5, 3)]


def test_of_few_only_what_is_nearly_the_same(parts: Pictures) -> None:
    test = np.stack([parts[9], changed(parts[2], "brighter")])
    assert [(copy.test, copy.train) for copy in find_copies(parts[:5], test)] == [(1, 2)]


def test_pictures_without_details(parts: Pictures) -> None:
    flat = np.full((30, SIDE, SIDE), 90, np.uint8)
    assert find_copies(flat, flat) == []
    assert find_copies(parts[:30], flat) == []
    assert find_copies(parts[:0], parts) == find_copies(parts, parts[:0]) == []


def test_photographs_of_any_size(parts: Pictures, tmp_path: Path) -> None:
    for i in range(4):
        Image.fromarray(parts[i]).resize((300, 260)).save(tmp_path / f"{i}.png")
    Image.fromarray(parts[1]).resize((150, 130)).save(tmp_path / "copy.jpg", quality=60)
    learnt = ImageSet([Sample(tmp_path / f"{i}.png") for i in range(4)])
    assert pictures_of(learnt).shape == (4, SIDE, SIDE)
    found = find_copies(learnt, ImageSet([Sample(tmp_path / "copy.jpg")]))
    assert [(copy.test, copy.train) for copy in found] == [(0, 1)]


def test_other_pictures_are_refused() -> None:
    with pytest.raises(DataError, match=r"must be uint8 of shape \(n, 128, 128\), not uint8 of"):
        find_copies(np.zeros((2, 64, 64), np.uint8), np.zeros((2, SIDE, SIDE), np.uint8))
