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


@settings(max_examples=150)
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


@settings(max_examples=100)
@given(SIDES, SIDES, SIDES | st.tuples(SIDES, SIDES), st.data())
def test_what_is_brought_back_lies_where_it_was_seen(
    height: int, width: int, size: int | tuple[int, int], data: st.DataObject
) -> None:
    smallest = size if isinstance(size, int) else min(size)
    transform = Transform(size, data.draw(st.none() | st.integers(1, smallest)))
    left, top, right, bottom = transform.region((height, width))
    # The input's own coordinates, at its pixels' centres: a linear ramp comes back exactly.
    rows, columns = np.indices(transform.output_size) + 0.5
    for values, first, last, count, axis in (
        (rows, top, bottom, height, 0),
        (columns, left, right, width, 1),
    ):
        back = transform.on_original(values, (height, width))
        assert back.shape == (height, width)
        assert back.dtype == np.float32
        length = values.shape[axis]
        places = (np.arange(count) + 0.5 - first) * (length / (last - first))
        expected = np.broadcast_to(
            np.expand_dims(np.clip(places, 0.5, length - 0.5), 1 - axis), (height, width)
        )
        seen = ~np.isnan(back)
        np.testing.assert_allclose(back[seen], expected[seen], rtol=1e-4, atol=1e-4)
    y, x = np.indices((height, width)) + 0.5
    # Centres on the very edge of the crop may fall to either side.
    inside = (x > left + 1e-6) & (x < right - 1e-6) & (y > top + 1e-6) & (y < bottom - 1e-6)
    outside = (x < left - 1e-6) | (x > right + 1e-6) | (y < top - 1e-6) | (y > bottom + 1e-6)
    assert seen[inside].all()
    assert not seen[outside].any()


@pytest.mark.parametrize("size", [(90, 60), (300, 500), (1024, 1024)])
@pytest.mark.parametrize("transform", [Transform((100, 140), 96), Transform(128)])
def test_a_spot_comes_back_to_its_place(transform: Transform, size: tuple[int, int]) -> None:
    y, x = np.indices(size) / np.reshape(size, (2, 1, 1))
    spot = np.exp(-((y - 0.3) ** 2 + (x - 0.6) ** 2) / 0.005)
    photograph = Image.fromarray((255 * spot[..., None].repeat(3, 2)).round().astype(np.uint8))
    seen = transform(photograph)[..., 0].astype(float)
    back = np.nan_to_num(transform.on_original(seen, size))
    # Smaller inputs blur the spot; its centre of mass stays.
    for axis, place in enumerate((0.3, 0.6)):
        centre = (back * np.indices(size)[axis]).sum() / back.sum() / size[axis]
        assert centre == pytest.approx(place, abs=0.004)
    assert np.abs(back - 255 * spot)[back > 0].max() < 12


def test_a_map_of_another_resolution_covers_the_same_region() -> None:
    transform = Transform(64, 32)
    back = transform.on_original(np.eye(2), (128, 128))
    seen = np.argwhere(~np.isnan(back))
    assert seen.min(axis=0).tolist() == [32, 32]
    assert seen.max(axis=0).tolist() == [95, 95]
    assert back[40, 40] == back[90, 90] == 1
    assert back[40, 90] == 0


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
