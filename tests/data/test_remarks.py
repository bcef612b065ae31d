"""What reading told is kept with an image, whoever read it, and gathered for people."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from anomalist.data import ImageSet, Sample, Transform, gather_remarks, images, source
from anomalist.data.loader import load_chunks
from anomalist.data.profiles import profile_remark

GREY = np.random.default_rng(0).integers(90, 130, (32, 32, 3), np.uint8)


def old(path: Path) -> Path:
    """A file that was last changed long enough ago for its state to be known again."""
    os.utime(path, ns=(10**18, 10**18))
    return path


def black(folder: Path, n: int = 1) -> list[Sample]:
    paths = [folder / f"{i}.png" for i in range(n)]
    for path in paths:
        Image.new("L", (32, 32)).save(path)
        old(path)
    return [Sample(path) for path in paths]


@pytest.mark.parametrize("hashed", [False, True])
def test_after_a_read_they_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: bool
) -> None:
    monkeypatch.setattr(source, "_TICK_NS", -1)
    samples = black(tmp_path, 9)
    chunks = load_chunks(ImageSet(samples), Transform(16), 4, hashed=hashed)
    assert sum(len(chunk.pixels()) for chunk in chunks) == 9
    monkeypatch.setattr(images, "opened", None)
    again = pickle.loads(pickle.dumps(samples))
    assert {sample.remarks() for sample in [*samples, *again]} == {("has one value everywhere",)}


def test_before_a_read_they_read_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    (sample,) = black(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: sample.remarks(), range(32)))
    assert set(told) == {("has one value everywhere",)}
    Image.fromarray(GREY).save(sample.path)
    assert sample.remarks() == ()


def test_the_same_of_many_is_one_line_and_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    samples = black(tmp_path, 5)
    (tmp_path / "torn.png").write_bytes(b"torn")
    (line,) = gather_remarks([*samples, Sample(tmp_path / "torn.png")])
    names = ", ".join(str(sample.path) for sample in samples[:3])
    assert line == f"5 images have one value everywhere: {names}, ..."
    assert gather_remarks([Sample("a", image=GREY)]) == []


def test_backlit_parts_are_not_empty() -> None:
    lit = np.full((100, 100, 3), 255, np.uint8)
    lit[40:60, 40:50] = 30
    assert Sample("pin", image=lit).remarks() == ()
    lit[40:60, 40:50] = 255
    lit[:3, :3] = 0
    (told,) = Sample("dust", image=lit).remarks()
    assert told.startswith("is nearly empty: at least 99 %")


def test_a_profile_is_told_where_colours_mean_something_else() -> None:
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert profile_remark(srgb, "rgb") is None
    assert profile_remark(linear, "rgb") is None  # it isn't one of RGB
    assert profile_remark(b"damaged", "rgb") is None


@pytest.mark.parametrize("quality", [75, 95])
def test_a_jpeg_that_was_cut_and_closed_is_told(tmp_path: Path, quality: int) -> None:
    whole = tmp_path / "whole.jpg"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.normal(110, 6, (96, 96, 3)).astype(np.uint8)).save(whole, quality=quality)
    data = whole.read_bytes()
    assert Sample("whole", image=data).remarks() == ()
    cut = Sample("cut", image=data[: 3 * len(data) // 4] + b"\xff\xd9")
    assert cut.remarks() == ("ends early: the rest of its pixels was made up as grey",)
