from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anomalist.data import Transform, make_sample_set
from anomalist.data.looks import Look
from anomalist.data.scenes import find_scenes
from anomalist.errors import DataError

Pixels = npt.NDArray[np.uint8]


def small(images: list[Image.Image]) -> npt.NDArray[np.float32]:
    transform = Transform(128)
    return np.stack([Look.of(transform(image.convert("RGB"))).thumbnail for image in images])


def count(thumbnails: npt.NDArray[np.float32]) -> int:
    return int(find_scenes(thumbnails).max()) + 1


def drawn(rng: np.random.Generator) -> Pixels:
    """A part: a disc that lies a little elsewhere, with a grain of its own."""
    y, x = np.mgrid[:64, :64] - 32 - rng.normal(0, 2, (2, 1, 1))
    disc = np.where(np.hypot(x, y) < 22, 150, 60)
    grain = np.kron(rng.normal(0, 12, (16, 16)), np.ones((4, 4)))
    return (disc + grain).clip(0, 255).astype(np.uint8)


def shot(rng: np.random.Generator, part: Pixels, how: str) -> Image.Image:
    pixels = part + rng.normal(0, 1, part.shape)
    if how == "light":
        pixels = pixels * rng.uniform(0.85, 1.15)
    image = Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
    if how == "JPEG":
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=int(rng.integers(60, 95)))
        image = Image.open(stream)
    return image


@pytest.mark.parametrize("how", ["noise", "light", "JPEG"])
@pytest.mark.parametrize(("parts", "shots"), [(4, 10), (8, 5), (20, 2), (2, 20)])
def test_shots_of_one_part_are_one_scene(parts: int, shots: int, how: str) -> None:
    rng = np.random.default_rng(parts)
    of = rng.permutation(np.repeat(np.arange(parts), shots))
    there = [drawn(rng) for _ in range(parts)]
    scenes = find_scenes(small([shot(rng, there[part], how) for part in of]))
    for scene in range(parts):
        assert len(set(of[scenes == scene].tolist())) == 1
    assert scenes.max() + 1 == parts


def test_shots_among_independent_photographs_are_found() -> None:
    rng = np.random.default_rng(0)
    burst = drawn(rng)
    images = [shot(rng, burst, "noise") for _ in range(12)]
    images += [shot(rng, drawn(rng), "noise") for _ in range(18)]
    assert count(small(images)) == 19


@pytest.mark.parametrize("n", [7, 20, 60])
def test_independent_drawn_parts_lose_nothing(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(3):
        assert count(small([Image.fromarray(drawn(rng)) for _ in range(n)])) == n
        noise = [Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8)) for _ in range(n)]
        assert count(small(noise)) == n


def test_one_odd_picture_makes_no_scene_of_the_others() -> None:
    rng = np.random.default_rng(1)
    images = [Image.fromarray(drawn(rng)) for _ in range(20)]
    images[7] = Image.fromarray(np.pad(np.full((20, 20), 255, np.uint8), 22))
    assert count(small(images)) == 20


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(6, 40), st.integers(0, 2**32 - 1), st.floats(0.2, 5), st.floats(-80, 80))
def test_order_and_light_change_nothing(n: int, seed: int, gain: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    parts = rng.normal(128, 20, (max(n // 3, 1), 8, 8))
    shots = parts[rng.integers(len(parts), size=n)] + rng.normal(0, 1, (n, 8, 8))
    scenes = find_scenes(shots)
    order = rng.permutation(n)
    again = find_scenes(gain * shots[order] + offset)
    same = scenes[:, None] == scenes[None]
    assert np.array_equal(again[:, None] == again[None], same[order][:, order])
    firsts = [scenes.tolist().index(scene) for scene in range(scenes.max() + 1)]
    assert firsts == sorted(firsts)


def test_flat_and_equal_pictures_are_one_scene_beside_others() -> None:
    rng = np.random.default_rng(2)
    pictures = rng.normal(128, 20, (20, 8, 8))
    pictures[3:12] = 128
    assert count(pictures) == 12
    assert count(np.zeros((20, 8, 8), np.float32)) == 20  # nothing to compare with
    assert find_scenes(pictures[:5]).tolist() == [0, 1, 2, 3, 4]
    assert len(find_scenes(pictures[:0])) == 0


def test_what_is_no_picture_is_refused() -> None:
    for bad in (np.zeros((3, 4)), np.full((3, 4, 4), np.nan)):
        with pytest.raises(DataError):
            find_scenes(bad)


def test_many_thousands_take_seconds() -> None:
    find_scenes(np.random.default_rng(0).random((10, 8, 8)))  # compiled
    rng = np.random.default_rng(0)
    pictures = np.repeat(rng.random((500, 16, 16), np.float32), 4, axis=0)
    pictures += rng.normal(0, 0.01, pictures.shape).astype(np.float32)
    begin = time.perf_counter()
    assert count(pictures) == 500
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize(("category", "images"), [("bottle", 209), ("screw", 320)])
def test_real_sets_lose_nothing(category: str, images: int, mvtec_ad: Path) -> None:
    paths = sorted((mvtec_ad / category / "train" / "good").glob("*.png"))
    thumbnails = small([Image.open(path).reduce(2) for path in paths])
    assert count(thumbnails) >= 0.99 * images
    rng = np.random.default_rng(0)
    for n in (20, 40):
        lost = [n - count(thumbnails[rng.permutation(images)[:n]]) for _ in range(40)]
        assert np.mean(np.array(lost) > 0.05 * n) <= 0.03


def test_the_sample_set_loses_nothing(tmp_path: Path) -> None:
    root = make_sample_set(tmp_path, image_size=128)
    for category in root.iterdir():
        if category.is_dir():
            images = [Image.open(path) for path in sorted(category.glob("train/good/*.png"))]
            assert count(small(images)) == len(images) == 40
