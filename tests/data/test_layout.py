from __future__ import annotations

from pathlib import Path

import pytest

from anomalist.data.layout import check_category, existing_folder, list_images
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


def test_a_category_that_only_looks_the_same(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'bottle' is there, but 'bottle\\u200b' isn't"):
        check_category("bottle\u200b", ["bottle"], tmp_path)


def test_a_folder_of_another_unicode_form_is_the_same(tmp_path: Path) -> None:
    touch(tmp_path, "gu\u0308te/1.png")
    assert existing_folder(tmp_path / "g\u00fcte").name == "gu\u0308te"
    touch(tmp_path, "g\u00fcte/1.png")
    assert existing_folder(tmp_path / "g\u00fcte").name == "g\u00fcte"
