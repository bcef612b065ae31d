from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from anomalist.data import Transform, read_image
from anomalist.errors import ParameterError

FILTERS = ["nearest", "bilinear", "bicubic", "lanczos"]
SIDES = st.integers(1, 40)


def torchvision(transform: Transform, interpolation: str) -> v2.Transform:
    size = transform.image_size
    steps: list[Any] = [
        v2.Resize(
            [size, size] if isinstance(size, int) else list(size),
            getattr(v2.InterpolationMode, interpolation.upper()),
        )
    ]
    if transform.crop_size is not None:
        steps.append(v2.CenterCrop(transform.crop_size))
    return v2.Compose(steps)


@settings(max_examples=150, deadline=None)
@given(SIDES, SIDES, SIDES | st.tuples(SIDES, SIDES), st.sampled_from(FILTERS), st.data())
def test_equals_torchvision(
    height: int, width: int, size: int | tuple[int, int], interpolation: Any, data: st.DataObject
) -> None:
    smallest = size if isinstance(size, int) else min(size)
    crop = data.draw(st.none() | st.integers(1, smallest))
    transform = Transform(size, crop, interpolation)
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    result = transform(image)
    assert result.dtype == np.uint8
    assert result.shape == (*transform.output_size, 3)
    assert np.array_equal(result, np.asarray(torchvision(transform, interpolation)(image)))

    mask = rng.random((height, width)) > 0.5
    warped = transform.mask(mask)
    assert warped.dtype == np.bool_
    assert warped.shape == transform.output_size
    expected = np.asarray(torchvision(transform, "nearest")(Image.fromarray(mask)))
    assert np.array_equal(warped, expected)


@pytest.mark.parametrize("interpolation", FILTERS)
def test_equals_the_papers_transform_on_real_images(mvtec_ad: Path, interpolation: Any) -> None:
    # Their Resize(256) keeps the aspect ratio, which makes no difference to square images.
    mode = getattr(v2.InterpolationMode, interpolation.upper())
    papers = v2.Compose([v2.Resize(256, mode), v2.CenterCrop(224)])
    for name in ("bottle", "screw"):
        image = read_image(mvtec_ad / name / "train/good/000.png")
        ours = Transform(256, 224, interpolation)(image)
        assert np.array_equal(ours, np.asarray(papers(image)))


def test_result_can_be_written_to() -> None:
    result = Transform(8)(Image.new("RGB", (8, 8)))
    result[...] = 1


@pytest.mark.parametrize(
    ("transform", "size"),
    [
        (Transform(), (256, 256)),
        (Transform(100), (100, 100)),
        (Transform((64, 32)), (64, 32)),
        (Transform([64, 32]), (64, 32)),  # type: ignore[arg-type] # as JSON and YAML give it
        (Transform((64, 32), 32), (32, 32)),
    ],
)
def test_output_size_and_record(transform: Transform, size: tuple[int, int]) -> None:
    assert transform.output_size == size
    record = transform.as_dict()
    assert json.loads(json.dumps(record)) == record
    again = Transform.from_dict(record)
    assert again == transform
    assert hash(again) == hash(transform)


def test_order_of_height_and_width() -> None:
    assert Transform((2, 6))(Image.new("RGB", (50, 50))).shape == (2, 6, 3)


@pytest.mark.parametrize("size", [0, -1, 2.0, "256", True, None, (0, 5), (5,), (1, 2, 3), (5, 2.5)])
def test_wrong_image_size(size: Any) -> None:
    with pytest.raises(ParameterError, match="image_size must be"):
        Transform(size)


@pytest.mark.parametrize("crop", [0, -3, 2.0, "8", True])
def test_wrong_crop_size(crop: Any) -> None:
    with pytest.raises(ParameterError, match="crop_size must be a positive whole number"):
        Transform(256, crop)


@pytest.mark.parametrize("size", [256, (300, 256)])
def test_crop_larger_than_the_image(size: int | tuple[int, int]) -> None:
    Transform(size, 256)
    with pytest.raises(ParameterError, match="crop_size 257 is larger than image_size"):
        Transform(size, 257)


def test_wrong_interpolation() -> None:
    with pytest.raises(ParameterError, match=r"one of nearest, bilinear.* not 'cubic'"):
        Transform(interpolation="cubic")  # type: ignore[arg-type]


def test_unknown_key_in_a_record() -> None:
    with pytest.raises(ParameterError, match="but no 'antialias'"):
        Transform.from_dict({"image_size": 256, "antialias": True})


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_images_must_be_rgb(mode: str) -> None:
    with pytest.raises(ParameterError, match=f"mode RGB, not {mode}"):
        Transform()(Image.new(mode, (4, 4)))
