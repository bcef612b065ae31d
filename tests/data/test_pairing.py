from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.data.pairing import looks_like_mask, mask_stem, masks_beside, match
from anomalist.errors import DataError


def parts(*names: str) -> dict[Path, tuple[str, ...]]:
    return {Path("root") / name: tuple(name.split("/")) for name in names}


def found(images: tuple[str, ...], masks: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    matched = match(parts(*images), parts(*masks))
    return {
        path.relative_to("root").as_posix(): tuple(m.relative_to("root").as_posix() for m in files)
        for path, files in matched.masks.items()
    }


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("test/cut/0.png", "ground_truth/cut/0_mask.png"),
        ("cut/0.jpg", "masks/cut/0.png"),
        ("cut/cam1/a.b.png", "Masks/cut/cam1/a.b.png"),
        ("NG/0.png", "MASK/0.png"),
        ("NG/0.png", "NG_mask/0.png"),
        ("2024-01-05/NG/0.png", "2024-01-05/GT/0.png"),
        ("test_public/bad/0.png", "test_public/ground_truth/bad/0_mask.png"),
        ("images/cut/0.png", "labels/cut/0.png"),
        ("cut/u\u0308.png", "masks/cut/\u00fc_mask.png"),
        ("NG/a.jpg", "NG/a_GT.png"),
    ],
)
def test_masks_find_their_images(image: str, mask: str) -> None:
    others = ("cut/9.png", "NG/9.png", "good/9.png")
    assert found((image, *others), (mask,)) == {image: (mask,)}


def test_masks_in_a_folder_of_the_images_name_or_numbered_are_joined() -> None:
    masks = ("gt/x/0/000.png", "gt/x/0/001.png", "gt/x/1_mask_1.png", "gt/x/1_mask_2.png")
    images = ("test/x/0.png", "test/x/1.png")
    assert found(images, masks) == {images[0]: masks[:2], images[1]: masks[2:]}


def test_a_mask_of_training_images_is_of_no_test_image() -> None:
    images = ("train/bad/0.png", "test/bad/0.png")
    masks = ("train/mask/0.png", "test/mask/0.png")
    assert found(images, masks) == {images[0]: masks[:1], images[1]: masks[1:]}


def test_what_is_not_clear_is_an_error() -> None:
    with pytest.raises(DataError, match=r"1\.png has two masks, .*1_mask\.png and .*1\.bmp"):
        found(("cut/1.png",), ("gt/cut/1_mask.png", "gt/cut/1.bmp"))
    with pytest.raises(DataError, match=r"1_mask\.png fits both .*1\.png and .*1\.jpg"):
        found(("cut/1.png", "cut/1.jpg"), ("gt/cut/1_mask.png",))
    with pytest.raises(DataError, match=r"both .*gt and .*masks hold masks"):
        found(("cut/1.png",), ("gt/cut/1.png", "masks/cut/1.png"))


@pytest.mark.parametrize("suffix", ["_mask", "_GT", "-label", " seg", "_ground_truth", "_Maske"])
def test_suffixes(suffix: str) -> None:
    assert mask_stem(f"000{suffix}")[:2] == ("000", True)
    assert mask_stem(suffix) == (suffix, False, False)


def test_masks_are_known_by_their_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def save(name: str, pixels: np.ndarray) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name)

    photo, mask = rng.integers(0, 255, (16, 16, 3)), np.zeros((16, 16))
    for name in ("a.jpg", "b.jpg", "c.png", "c.jpg", "d.png", "d_mask.png", "e.png", "f/g.jpg"):
        save(name, photo)
    mask[4:8] = 1
    save("a.png", mask)  # 0 and 1
    save("b_GT.png", mask * 0)
    save("e_label.png", mask * 3 + (rng.random((16, 16)) < 0.1))  # numbered
    save("other/g.png", mask * 255)
    save("alone.png", mask * 255)
    beside = masks_beside(sorted(tmp_path.rglob("*.*")))
    assert {m.name: p.name for m, p in beside.items()} == {
        "a.png": "a.jpg",
        "b_GT.png": "b.jpg",
        "e_label.png": "e.png",
        "g.png": "g.jpg",
    }


def test_another_picture_of_the_same_size_and_time_is_looked_at_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    Image.new("L", (8, 8)).save(path)
    before = path.stat()
    assert looks_like_mask(path)
    time.sleep(0.05)  # longer than a tick of the file system's clock
    Image.linear_gradient("L").resize((8, 8)).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert not looks_like_mask(path)
