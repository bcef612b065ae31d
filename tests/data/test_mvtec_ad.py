from __future__ import annotations

from pathlib import Path

import pytest

from anomalist.data import MVTecAD
from anomalist.data.mvtec_ad import CATEGORIES
from anomalist.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    touch(
        tmp_path / "bolt",
        *(f"train/good/{i}.png" for i in (2, 10, 1)),
        "train/good/readme.txt",
        "train/bad/1.png",
        "test/good/0.png",
        "test/rust/0.png",
        "test/rust/1.png",
        "test/bent/0.png",
        "ground_truth/rust/0_mask.png",
        "ground_truth/bent/0_mask.png",
        "readme.txt",
    )
    touch(tmp_path / "nut", "train/good/1.png")
    touch(tmp_path, "notes/1.png", "license.txt")
    return tmp_path


def test_there_are_fifteen_official_categories() -> None:
    assert len(set(CATEGORIES)) == 15
    assert list(CATEGORIES) == sorted(CATEGORIES)


def test_layout(root: Path) -> None:
    data = MVTecAD(root)
    assert (data.name, data.root, data.categories) == ("mvtec_ad", root, ["bolt", "nut"])
    bolt = data.category("bolt")
    assert (bolt.name, bolt.train.name, bolt.test.name) == ("bolt", "bolt/train", "bolt/test")
    assert [path.name for path in bolt.train.paths] == ["1.png", "10.png", "2.png"]
    assert {(s.label, s.defect, s.mask) for s in bolt.train} == {(False, "good", None)}
    truth = root / "bolt" / "ground_truth"
    assert [
        (s.path.relative_to(root).as_posix(), s.label, s.defect, s.mask) for s in bolt.test
    ] == [
        ("bolt/test/bent/0.png", True, "bent", truth / "bent/0_mask.png"),
        ("bolt/test/good/0.png", False, "good", None),
        ("bolt/test/rust/0.png", True, "rust", truth / "rust/0_mask.png"),
        ("bolt/test/rust/1.png", True, "rust", None),
    ]


def test_category_without_test_images(root: Path) -> None:
    nut = MVTecAD(root).category("nut")
    assert (len(nut.train), len(nut.test)) == (1, 0)


def test_folder_of_a_single_category(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = MVTecAD(root / "bolt")
    assert data.categories == ["bolt"]
    assert list(data.category("bolt").test) == list(MVTecAD(root).category("bolt").test)
    monkeypatch.chdir(root / "bolt")
    assert MVTecAD(".").categories == ["bolt"]


def test_masks_in_a_folder_of_the_images_name_are_joined(root: Path) -> None:
    # The logical anomalies of MVTec LOCO have several masks an image.
    masks = [f"ground_truth/logical/000/{i:03}.png" for i in range(2)]
    touch(root / "nut", "test/logical/000.png", *masks)
    (found,) = MVTecAD(root).category("nut").test
    assert found.mask == tuple(root / "nut" / mask for mask in masks)


def test_one_mask_for_two_images(root: Path) -> None:
    touch(root / "bolt", "test/bent/0.jpg")
    with pytest.raises(DataError, match=r"0_mask\.png fits both .*0\.jpg and .*0\.png"):
        MVTecAD(root).category("bolt")


def test_unknown_category(root: Path) -> None:
    with pytest.raises(DataError, match=r"no category 'blot'; did you mean bolt\?"):
        MVTecAD(root).category("blot")


def test_no_good_image(root: Path) -> None:
    (root / "nut/train/good/1.png").unlink()
    with pytest.raises(DataError, match=r"nut.train.good has no image to learn from"):
        MVTecAD(root).category("nut")


def test_no_category(tmp_path: Path) -> None:
    touch(tmp_path, "bottle/good/1.png")
    with pytest.raises(DataError, match=r"has no category in the layout of MVTec AD.*train/good"):
        MVTecAD(tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        MVTecAD(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "train", "test", "masks", "kinds"),
    [("bottle", 209, 83, 63, 4), ("screw", 320, 160, 119, 6)],
)
def test_real_counts(
    mvtec_ad: Path, name: str, train: int, test: int, masks: int, kinds: int
) -> None:
    category = MVTecAD(mvtec_ad).category(name)
    assert len(category.train) == train
    assert len(category.test) == test
    assert sum(sample.mask is not None for sample in category.test) == masks
    assert category.test.labels.sum() == masks
    assert len(set(category.test.defects)) == kinds
    assert not set(category.train.paths) & set(category.test.paths)
