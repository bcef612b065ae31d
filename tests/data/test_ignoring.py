"""Masks and boxes of what is ignored, and what is laid there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.data import Transform
from anomalist.data.ignoring import Ignored, drawn_mask, touched
from anomalist.errors import DataError


def test_a_mask_of_a_file_and_boxes_are_united(tmp_path: Path) -> None:
    mask = np.zeros((20, 40), np.uint8)
    mask[:5, :5] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    drawn = drawn_mask([(40, 80)] * 3, tmp_path / "m.png", [(70, 30, 500, 500)])
    assert drawn is not None
    expected = np.zeros((40, 80), np.bool_)
    expected[:10, :10] = expected[30:, 70:] = True
    assert np.array_equal(drawn, expected)


def test_what_makes_no_sense_is_told(tmp_path: Path) -> None:
    Image.new("L", (40, 30), 255).save(tmp_path / "other.png")
    Image.new("L", (40, 20)).save(tmp_path / "black.png")
    with pytest.raises(DataError, match=r"40 x 30 pixels, other proportions than .* 40 x 20"):
        drawn_mask([(20, 40)], tmp_path / "other.png", [])
    with pytest.raises(DataError, match="ignores nothing: paint white"):
        drawn_mask([(20, 40)], tmp_path / "black.png", [])
    with pytest.raises(DataError, match=r"40,0,5,5 lies outside .* 40 x 20 pixels"):
        drawn_mask([(20, 40)], None, [(40, 0, 5, 5)])
    with pytest.raises(DataError, match=r"differ in size \(40 x 20, 80 x 40\)"):
        drawn_mask([(20, 40), (40, 80)], None, [(0, 0, 5, 5)])
    with pytest.raises(DataError, match=r"gone\.png"):
        drawn_mask([(20, 40)], tmp_path / "gone.png", [])


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_a_pixel_into_which_an_ignored_one_is_mixed_is_ignored(interpolation: str) -> None:
    transform = Transform(24, crop_size=20, interpolation=interpolation)  # type: ignore[arg-type]
    mask = np.zeros((100, 130), np.bool_)
    mask[31:52, 60:77] = True
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (100, 130, 3), np.uint8)
    other = one.copy()
    other[mask] = 255 - other[mask]
    differs = (transform(Image.fromarray(one)) != transform(Image.fromarray(other))).any(axis=2)
    found = touched(mask, transform)
    assert differs.any()
    assert not (differs & ~found).any()
    assert found.sum() <= 2.5 * differs.sum()


def test_the_fill_is_the_mean_of_all_whatever_their_batches() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (7, 6, 5, 3), np.uint8)
    mask = rng.random((6, 5)) < 0.4
    one = Ignored.learnt(mask, [pixels])
    other = Ignored.learnt(mask, [pixels[3:], pixels[:3]])
    assert one.key == other.key
    assert np.array_equal(one.fill, np.rint(pixels[:, mask].mean(axis=0)))
    filled = one(pixels)
    assert np.array_equal(filled[:, ~mask], pixels[:, ~mask])
    assert (filled[:, mask] == one.fill).all()
    assert Ignored(~mask, one.fill).key != one.key
    assert one.resized((12, 10)).resized((6, 5)).key == one.key
