from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anomalist.data import MVTecAD2, open_dataset
from anomalist.data.mvtec_ad_2 import PRIVATE_COUNTS
from anomalist.errors import DataError
from tests.data.drawn_ad2 import draw_ad2


def test_good_images_of_train_and_validation_are_learnt_from(tmp_path: Path) -> None:
    data = open_dataset(draw_ad2(tmp_path))
    assert isinstance(data, MVTecAD2)
    category = data.category("can")
    folders = [path.parent.parent.name for path in category.train.paths]
    assert folders == ["train"] * 4 + ["validation"] * 4
    assert {path.parent.parent.name for path in category.test.paths} == {"test_public"}
    assert category.test.labels.sum() == 4


def test_private_images_are_left_out_and_known(tmp_path: Path) -> None:
    data = open_dataset(draw_ad2(tmp_path, private=3))
    assert isinstance(data, MVTecAD2)
    private = data.private("vial")
    assert [path.name for path in private["test_private"].paths] == [
        f"00{i}_regular.png" for i in range(3)
    ]
    assert private["test_private_mixed"].paths[0].name == "000_mixed.png"
    understood = data.understand("vial")
    assert understood.notes == ()
    assert [len(images) for images in understood.left_out.values()] == [3, 3]
    assert all("evaluation server" in why for why in understood.left_out)
    known = {*understood.train.paths, *understood.test.paths}
    assert not known & {path for images in private.values() for path in images.paths}


def test_without_private_folders_it_is_still_mvtec_ad_2(tmp_path: Path) -> None:
    root = draw_ad2(tmp_path, ["can"])
    shutil.rmtree(root / "can" / "test_private")
    shutil.rmtree(root / "can" / "test_private_mixed")
    data = open_dataset(root)
    assert isinstance(data, MVTecAD2)
    assert [len(images) for images in data.private("can").values()] == [0, 0]


def test_one_object_alone(tmp_path: Path) -> None:
    data = open_dataset(draw_ad2(tmp_path) / "can")
    assert (data.name, data.categories) == ("mvtec_ad_2", ["can"])


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    root = draw_ad2(tmp_path, ["can"])
    shutil.rmtree(root / "can" / "validation")
    assert open_dataset(root).name == "mvtec_ad"
    with pytest.raises(DataError, match=r"there is no .*can/validation/good"):
        open_dataset(root, format="mvtec_ad_2")


def test_the_data_set_has_4090_private_images() -> None:
    assert 2 * sum(PRIVATE_COUNTS.values()) == 4090
