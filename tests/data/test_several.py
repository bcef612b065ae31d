from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from anomalist.data import MVTecAD, Several, open_dataset, open_datasets, part_of
from anomalist.errors import DataError, ParameterError


def plain(root: Path) -> Path:
    """A plain folder of good and bad images."""
    for name in ("good", "bad"):
        (root / name).mkdir(parents=True)
        (root / name / "1.png").touch()
    return root


def test_one_folder_is_opened_as_it_is(dots: Path) -> None:
    assert isinstance(open_datasets([dots]), MVTecAD)


def test_categories_keep_their_names_and_those_that_are_shared_get_their_folders(
    dots: Path, tmp_path: Path
) -> None:
    shutil.copytree(dots / "dot", tmp_path / "line" / "dot")
    shutil.copytree(dots / "dot", tmp_path / "line" / "cap")
    cookies = [plain(tmp_path / year / "cookies") for year in ("2024", "2025")]
    several = open_datasets([dots, tmp_path / "line", *cookies])
    # What tells the folders apart is as short as can be: two are called alike.
    above = dots.parent.name
    assert several.categories == [
        f"{above}-{dots.name}-dot",
        "cap",
        f"{tmp_path.name}-line-dot",
        "2024-cookies",
        "2025-cookies",
    ]
    dataset, own = part_of(several, "2025-cookies")
    assert (dataset.name, own) == ("folder", "cookies")
    category = several.category("2025-cookies")
    assert category.name == "2025-cookies"
    assert (
        category.train.content_hash()
        == open_dataset(cookies[1]).category("cookies").train.content_hash()
    )
    assert several.understand("2025-cookies").name == "cookies"
    again = pickle.loads(pickle.dumps(several))
    assert again.categories == several.categories
    with pytest.raises(DataError, match="has no category 'dots'"):
        several.category("dots")


def test_names_that_differ_stay(dots: Path, tmp_path: Path) -> None:
    several = open_datasets([dots, plain(tmp_path / "cookies")])
    assert isinstance(several, Several)
    assert several.categories == ["dot", "cookies"]
    assert part_of(MVTecAD(dots), "dot")[1] == "dot"


def test_what_can_not_be_told_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="there is no data folder"):
        open_datasets([])
    one = plain(tmp_path / "cookies")
    with pytest.raises(ParameterError, match="is given twice"):
        open_datasets([one, tmp_path / "cookies" / ".." / "cookies"])
