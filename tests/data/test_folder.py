from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from anomalist.data import Folder, MVTecAD, VisA, open_dataset
from anomalist.errors import DataError, ParameterError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    root = tmp_path / "parts"
    touch(
        root,
        *(f"good/{i:02}.png" for i in range(20)),
        "Scratch/cam1/1.png",
        "Scratch/cam2/1.jpg",
        "dent/1.png",
        "ground_truth/Scratch/cam1/1_mask.png",
        "ground_truth/Scratch/cam2/1.png",
        "ground_truth/dent/1.png",
        "notes/readme.txt",
        "readme.txt",
    )
    return root


def test_good_images_defects_and_masks(parts: Path) -> None:
    data = Folder(parts)
    assert (data.name, data.root, data.categories) == ("folder", parts, ["parts"])
    category = data.category("parts")
    assert (category.name, category.train.name) == ("parts", "parts/train")
    assert category.test.name == "parts/test"
    assert {(s.label, s.defect, s.mask) for s in category.train} == {(False, "good", None)}
    truth = parts / "ground_truth"
    assert [(s.label, s.defect, s.mask) for s in category.test] == [
        *[(False, "good", None)] * 4,
        (True, "Scratch", truth / "Scratch/cam1/1_mask.png"),
        (True, "Scratch", truth / "Scratch/cam2/1.png"),
        (True, "dent", truth / "dent/1.png"),
    ]


def test_held_out_images_are_not_trained_on(parts: Path) -> None:
    category = Folder(parts).category("parts")
    train, test = set(category.train.paths), set(category.test.paths)
    assert not train & test
    assert (len(train), len(test)) == (16, 7)
    assert category.train.paths == sorted(train)


def test_held_out_images_follow_from_names_and_seed(parts: Path, tmp_path: Path) -> None:
    def held_out(root: Path, seed: int) -> list[str]:
        test = Folder(root, seed=seed).category(root.name).test
        return [sample.path.name for sample in test if not sample.label]

    elsewhere = shutil.copytree(parts, tmp_path / "copy")
    assert held_out(parts, 0) == held_out(parts, 0) == held_out(elsewhere, 0)
    assert len({tuple(held_out(parts, seed)) for seed in range(5)}) > 1
    # One more photo takes a place at most.
    touch(elsewhere, "good/20.png")
    assert len(set(held_out(elsewhere, 0)) & set(held_out(parts, 0))) >= 3


@pytest.mark.parametrize(
    ("good", "share", "expected"),
    [(2, 0.2, 1), (2, 0.9, 1), (10, 0.2, 2), (10, 0.99, 9), (3, 0.01, 1)],
)
def test_share_held_out(tmp_path: Path, good: int, share: float, expected: int) -> None:
    root = tmp_path / "parts"
    touch(root, "dent/1.png", *(f"good/{i}.png" for i in range(good)))
    category = Folder(root, test_share=share).category("parts")
    assert len(category.train) == good - expected
    assert category.test.labels.tolist() == [False] * expected + [True]


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_wrong_share(parts: Path, share: float) -> None:
    with pytest.raises(ParameterError, match="test_share must be between 0 and 1"):
        Folder(parts, test_share=share)


@pytest.mark.parametrize("names", [("1.png", "2.JPG"), ("good/1.png", "good/cam/2.png")])
def test_only_good_images_are_all_for_training(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path / "parts", *names, "models/a.bin")
    category = Folder(tmp_path / "parts").category("parts")
    assert category.train.paths == [tmp_path / "parts" / name for name in names]
    assert len(category.test) == 0
    assert category.test.labels.shape == (0,)


@pytest.mark.parametrize("name", ["good", "Good", "normal", "OK"])
def test_names_for_good(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name}/1.png", f"{name}/2.png", "bad/1.png")
    category = Folder(tmp_path).category(tmp_path.name)
    assert sorted(category.test.defects) == ["bad", "good"]
    assert len(category.train) == 1


def test_masks_folder_by_another_name(parts: Path) -> None:
    (parts / "ground_truth").rename(parts / "Masks")
    masks = [sample.mask for sample in Folder(parts).category("parts").test if sample.label]
    assert masks[0] == parts / "Masks/Scratch/cam1/1_mask.png"
    assert None not in masks
    touch(parts, "ground_truth/dent/1.png")
    with pytest.raises(DataError, match=r"both .*Masks and .*ground_truth hold masks.*keep one"):
        Folder(parts)
    masks = [s.mask for s in Folder(parts, masks=["Masks"]).category("parts").test if s.label]
    assert all(mask.is_relative_to(parts / "Masks") for mask in masks)


def test_unknown_masks(parts: Path) -> None:
    shutil.rmtree(parts / "ground_truth" / "dent")
    masks = [sample.mask for sample in Folder(parts).category("parts").test]
    assert masks.count(None) == 5


@pytest.mark.parametrize("name", ["ground_truth/1.png", "ground_truth/dents/1.png"])
def test_masks_in_the_wrong_place(parts: Path, name: str) -> None:
    (parts / "ground_truth/dent/1.png").unlink()
    touch(parts, name)
    with pytest.raises(DataError, match=r"belongs to no image, while .*dent.1\.png has no mask"):
        Folder(parts).category("parts")


def test_same_stem_is_fine_unless_there_is_a_mask(parts: Path) -> None:
    touch(parts, "good/00.jpg", "Scratch/cam1/2.png", "Scratch/cam1/2.jpg")
    assert len(Folder(parts).category("parts").test) == 4 + 5
    touch(parts, "dent/1.jpg")
    with pytest.raises(DataError, match=r"dent.1\.png fits both .*1\.jpg and .*1\.png"):
        Folder(parts).category("parts")


def test_a_single_good_image_is_learnt_from(tmp_path: Path) -> None:
    touch(tmp_path, "good/1.png", "dent/1.png")
    category = Folder(tmp_path).category(tmp_path.name)
    assert category.train.paths == [tmp_path / "good/1.png"]
    assert category.test.defects == ["dent"]


def test_no_image(tmp_path: Path) -> None:
    touch(tmp_path, "readme.txt")
    with pytest.raises(
        DataError, match=r"has no good images; it has no image\. Put them right into"
    ):
        Folder(tmp_path)


def test_no_good_images(tmp_path: Path) -> None:
    touch(tmp_path, "dent/1.png", "rust/1.png")
    with pytest.raises(
        DataError,
        match=r"no good images; it has dent \(1 image, not good\), rust \(.*\. Put.*--good NAME",
    ):
        Folder(tmp_path)


def test_empty_good_folder(tmp_path: Path) -> None:
    touch(tmp_path, "good/readme.txt", "dent/1.png")
    with pytest.raises(DataError, match=r"has no good images; it has dent \(1 image"):
        Folder(tmp_path)


def test_loose_images_beside_folders(parts: Path, tmp_path: Path) -> None:
    touch(parts, "new.png")
    with pytest.raises(
        DataError,
        match=r"image new\.png lies beside .*\(Scratch \(2 images\), dent .*into .*parts.good, and",
    ):
        Folder(parts)
    touch(tmp_path, "1.png", "2.png", "dent/1.png")
    with pytest.raises(
        DataError, match=r"3 images, such as 1\.png, lie beside .*\(dent \(1 image\), parts"
    ):
        Folder(tmp_path)


def test_nothing_but_masks(tmp_path: Path) -> None:
    touch(tmp_path, "ground_truth/dent/1.png")
    with pytest.raises(DataError, match="it has nothing but masks, in ground_truth"):
        Folder(tmp_path)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    odd = os.fsdecode(b"r\xe9.png")
    touch(tmp_path, f"good/{odd}", "good/1.png", "good/2.png", f"dent/{odd}")
    category = Folder(tmp_path).category(tmp_path.name)
    assert len(category.train) == 2


@pytest.mark.parametrize("name", ["test", "Train", "val"])
def test_a_split_is_no_defect(parts: Path, name: str) -> None:
    touch(parts, f"{name}/x/1.png")
    with pytest.raises(DataError, match=rf"{name} lies beside .* use train/good, test/good"):
        Folder(parts)


def test_unknown_category(parts: Path) -> None:
    with pytest.raises(DataError, match="no category 'bottle'; it has parts"):
        Folder(parts).category("bottle")


def test_name_of_the_folder_where_one_stands(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parts)
    assert Folder(".").categories == ["parts"]


def test_open_dataset_recognises_every_layout(parts: Path, dots: Path, tmp_path: Path) -> None:
    assert isinstance(open_dataset(str(parts)), Folder)
    assert isinstance(open_dataset(dots), MVTecAD)
    single = open_dataset(dots / "dot")
    assert isinstance(single, MVTecAD)
    assert single.categories == ["dot"]
    visa = tmp_path / "visa"
    touch(visa, "candle/0.JPG", "split_csv/1cls.csv")
    (visa / "split_csv/1cls.csv").write_text(
        "object,split,label,image,mask\ncandle,train,normal,candle/0.JPG,\n"
    )
    assert isinstance(open_dataset(visa), VisA)


def test_open_dataset_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no good images; it has no image.*split_csv.*train/good"):
        open_dataset(tmp_path)
    touch(tmp_path, "bottle/1.png")
    with pytest.raises(DataError, match=r"no good images; it has bottle \(1 image\).*--good NAME"):
        open_dataset(tmp_path)
