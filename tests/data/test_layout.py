from __future__ import annotations

from pathlib import Path

import pytest

from anomalist.data.layout import check_category, existing_folder, list_images, match_masks
from anomalist.errors import DataError


def touch(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return [root / name for name in names]


def names(root: Path, paths: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_images_are_listed_in_an_order_that_every_system_has(tmp_path: Path) -> None:
    touch(tmp_path, "2.png", "10.png", "B.JPG", "a.tiff", "a/z.webp", "a-b/1.bmp", "ä.jpeg")
    touch(tmp_path, "Thumbs.db", "notes.txt", "._2.png", ".cache/1.png", "a/.hidden/1.png")
    (tmp_path / "folder.png").mkdir()
    assert names(tmp_path, list_images(tmp_path)) == [
        "10.png",
        "2.png",
        "B.JPG",
        "a.tiff",
        "ä.jpeg",
    ]
    assert names(tmp_path, list_images(tmp_path, recursive=True)) == [
        "10.png",
        "2.png",
        "B.JPG",
        "a-b/1.bmp",
        "a.tiff",
        "a/z.webp",
        "ä.jpeg",
    ]


def test_a_hidden_folder_above_hides_nothing(tmp_path: Path) -> None:
    touch(tmp_path, ".data/set/1.png")
    assert len(list_images(tmp_path / ".data" / "set")) == 1


def test_existing_folder(tmp_path: Path) -> None:
    assert existing_folder(str(tmp_path)) == tmp_path
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        existing_folder(tmp_path / "nowhere")
    (file,) = touch(tmp_path, "a.zip")
    with pytest.raises(DataError, match=r"a\.zip is a file: give the folder"):
        existing_folder(file)


def test_unknown_category(tmp_path: Path) -> None:
    known = ["bottle", "metal_nut", "screw"]
    check_category("screw", known, tmp_path)
    with pytest.raises(DataError, match=r"no category 'Bottel'; did you mean bottle\?"):
        check_category("Bottel", known, tmp_path)
    with pytest.raises(DataError, match=r"'xyz'; it has bottle, metal_nut, screw$"):
        check_category("xyz", known, tmp_path)


def test_masks_are_matched_by_name(tmp_path: Path) -> None:
    images = touch(tmp_path / "cut", "1.png", "2.jpg", "3.png", "a.b.png", "4.png")
    masks = touch(tmp_path / "masks", "1_mask.png", "2.png", "3_mask.tif", "a.b_mask.png")
    found = match_masks(images, tmp_path / "cut", tmp_path / "masks")
    assert found == dict(zip(images[:4], masks, strict=True))
    assert match_masks(images, tmp_path / "cut", tmp_path / "nowhere") == {}


def test_masks_at_any_depth(tmp_path: Path) -> None:
    images = touch(tmp_path / "cut", "cam1/1.png", "cam2/1.png")
    masks = touch(tmp_path / "masks", "cam1/1_mask.png", "cam2/1.png")
    folders = tmp_path / "cut", tmp_path / "masks"
    assert match_masks(images, *folders, recursive=True) == dict(zip(images, masks, strict=True))
    assert match_masks(images, *folders) == {}


def test_masks_without_an_image_are_left_out_if_no_image_misses_one(tmp_path: Path) -> None:
    images = touch(tmp_path / "cut", "1.png")
    masks = touch(tmp_path / "masks", "1_mask.png", "2_mask.png")
    assert match_masks(images, tmp_path / "cut", tmp_path / "masks") == {images[0]: masks[0]}


def test_a_slip_in_the_name_of_a_mask(tmp_path: Path) -> None:
    images = touch(tmp_path / "cut", "1.png", "2.png")
    touch(tmp_path / "masks", "1_mask.png", "2_gt.png")
    with pytest.raises(
        DataError, match=r"2_gt\.png belongs to no image, while .*cut.2\.png has no"
    ):
        match_masks(images, tmp_path / "cut", tmp_path / "masks")


def test_two_masks_for_an_image(tmp_path: Path) -> None:
    images = touch(tmp_path / "cut", "1.png")
    touch(tmp_path / "masks", "1_mask.png", "1.bmp")
    with pytest.raises(DataError, match=r"cut.1\.png has two masks, .*1_mask\.png and .*1\.bmp"):
        match_masks(images, tmp_path / "cut", tmp_path / "masks")


def test_two_images_for_a_mask(tmp_path: Path) -> None:
    images = touch(tmp_path / "cut", "1.png", "1.jpg")
    assert match_masks(images, tmp_path / "cut", tmp_path / "masks") == {}
    touch(tmp_path / "masks", "1_mask.png")
    with pytest.raises(DataError, match=r"1_mask\.png fits both .*1\.png and .*1\.jpg"):
        match_masks(images, tmp_path / "cut", tmp_path / "masks")
