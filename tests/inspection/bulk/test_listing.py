from __future__ import annotations

from pathlib import Path

import pytest

from anomalist.errors import DataError
from anomalist.inspection.bulk.listing import Found, find_inputs
from anomalist.storage import open_storage
from tests.inspection.bulk.objects import fill

ODD = [
    "a b.png",
    "line 1/ü#1?%20&=+.png",
    "line 1//double.png",
    "line 1/./dot.png",
    "line 1/up/../x.png",
    "UPPER.JPG",
    "..png/1.png",
]


def names(found: Found) -> list[str]:
    listed: list[str] = found.table["path"].to_pylist()
    return listed


def test_images_at_an_address_are_listed_once_by_their_addresses(s3: str) -> None:
    fill(f"{s3}/in", ["b.png", "a/2.jpg", "a/1.JPG", "notes.txt", "folder.png/"])
    out = open_storage(f"{s3}/out")
    found = find_inputs([f"{s3}/in"], out)
    assert names(found) == [f"{s3}/in/{name}" for name in ("a/1.JPG", "a/2.jpg", "b.png")]
    again = find_inputs([f"{s3}/in/a/2.jpg", f"{s3}/in/", f"{s3}/in/a"], out)
    assert names(again) == [f"{s3}/in/{name}" for name in ("a/2.jpg", "a/1.JPG", "b.png")]
    assert again.table["root"].to_pylist() == [0, 1, 1]


def test_whatever_names_are_made_of(s3: str) -> None:
    fill(f"{s3}/in", ODD)
    found = find_inputs([f"{s3}/in"], open_storage(f"{s3}/out"))
    assert sorted(names(found)) == sorted(f"{s3}/in/{name}" for name in ODD if name[0] != ".")
    assert found.notes == ["left out 1 hidden object, such as ..png/1.png"]


def test_hidden_ones_masks_and_pictures_of_results_are_left_out(s3: str) -> None:
    kept = ["1.png", "deep/heatmaps/2.png"]
    left = [".trash/1.png", "ground_truth/cut/1.png", "old/heatmaps/part-000000/0000-1.png"]
    fill(s3, [*kept, *left, "old/contact_sheet.png", "old/.anomalist-results"])
    found = find_inputs([s3], open_storage(f"{s3}/old"))
    assert names(found) == [f"{s3}/{name}" for name in kept]
    assert found.notes == [
        "left out 2 pictures of earlier results",
        "left out 1 hidden object, such as .trash/1.png",
        "left out 1 mask, such as ground_truth/cut/1.png",
    ]


def test_where_there_is_no_image(s3: str, tmp_path: Path) -> None:
    fill(s3, ["notes.txt", "hidden/.1.png"])
    out = open_storage(str(tmp_path))
    for entry in (s3, f"{s3}/nowhere", f"{s3}/nowhere.png"):
        with pytest.raises(DataError, match="no image"):
            find_inputs([entry], out)


def test_a_folder_of_this_machine_beside_an_address(s3: str, tmp_path: Path) -> None:
    fill(str(tmp_path / "in"), ["b/2.png", "1.png"])
    fill(s3, ["1.png"])
    found = find_inputs([str(tmp_path / "in"), s3], open_storage(f"{s3}/out"))
    assert names(found) == [str(tmp_path / "in/1.png"), str(tmp_path / "in/b/2.png"), f"{s3}/1.png"]
    assert found.roots == [str(tmp_path / "in"), s3]
