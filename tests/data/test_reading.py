from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.data import open_dataset
from anomalist.data.understanding import Understanding
from anomalist.errors import DataError
from anomalist.inspection import list_inputs, open_parts


def lay(root: Path, *names: str) -> Path:
    """Images: photographs, and masks where a name says so."""
    rng = np.random.default_rng(len(names))
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)
        if "mask" in name.lower() or "_GT" in name:
            pixels = np.zeros((16, 16), np.uint8)
            pixels[4:8, 4:8] = 255
        Image.fromarray(pixels).save(path)
    return root


def understood(root: Path, **flags: object) -> Understanding:
    data = open_dataset(root, **flags)  # type: ignore[arg-type]
    return data.understand(data.categories[0])


def kinds(found: Understanding) -> dict[str, list[str]]:
    groups = {
        what: [p.relative_to(found.folder).as_posix() for p in paths]
        for what, paths in found.groups()
    }
    return {what.removesuffix(", to test on"): names for what, names in groups.items()}


def files(folder: str, count: int) -> list[str]:
    return [f"{folder}/{i}.png" for i in range(count)]


def test_categories_of_several_layouts(tmp_path: Path) -> None:
    lay(
        tmp_path,
        *files("bolt/train/ok", 3),
        *files("nut/OK", 3),
        *files("nut/NG", 1),
        *files("washer", 2),
    )
    data = open_dataset(tmp_path)
    assert data.categories == ["bolt", "nut"]
    nut = data.understand("nut")
    assert (len(nut.train), nut.test.defects) == (2, ["good", "NG"])
    assert len(nut.left_out["they lie in none of the categories"]) == 2


def test_cameras_are_read_together_and_products_are_categories(tmp_path: Path) -> None:
    for name in ("cam1", "cam2"):
        lay(tmp_path / "a", *files(f"{name}/OK", 3), *files(f"{name}/NG", 1))
    for name in ("lid", "cup"):
        lay(tmp_path / "b", *files(f"{name}/OK", 3), *files(f"{name}/NG", 1))
    assert open_dataset(tmp_path / "a").categories == ["a"]
    assert open_dataset(tmp_path / "b").categories == ["cup", "lid"]
    assert open_dataset(tmp_path / "b", good=["OK"]).categories == ["b"]


def test_flags_settle_what_names_leave_open(tmp_path: Path) -> None:
    lay(tmp_path, *files("A", 3), *files("B", 2), "masks/B/0.png")
    with pytest.raises(DataError, match=r"A \(3 images\), B \(2 images\).*--good NAME"):
        open_dataset(tmp_path)
    for flags in ({"good": ["a"]}, {"good": "A", "bad": "B"}, {"good": [tmp_path / "A"]}):
        found = understood(tmp_path, **flags)
        assert (len(found.train), found.test.defects) == (2, ["good", "B", "B"])
    assert understood(tmp_path, good="A,B").test.defects == []
    with pytest.raises(DataError, match=r"no folder 'D', which --bad names: it has A, B, masks"):
        open_dataset(tmp_path, bad=["D"])
    with pytest.raises(DataError, match="both good and defective"):
        open_dataset(tmp_path, good=["A"], bad=["A"])


def test_flags_count_more_than_names(tmp_path: Path) -> None:
    lay(tmp_path, *files("good", 3), *files("bad/really_good", 2), *files("bad", 1))
    found = understood(tmp_path, good=["bad/really_good"])
    assert kinds(found)["bad"] == ["bad/0.png"]
    assert len(found.train) + found.test.defects.count("good") == 5


def test_what_lies_below_a_name_that_is_not_good(tmp_path: Path) -> None:
    lay(tmp_path, *files("OK", 3), *files("OK/NG/x", 1), *files("NG/OK", 1), *files("NG/HS/S1", 1))
    found = understood(tmp_path)
    assert not any("NG" in str(path.relative_to(tmp_path)) for path in found.train.paths)
    assert {s.defect for s in found.test if s.label} == {"x", "HS"}
    (left,) = found.left_out.values()
    assert left == (tmp_path / "NG/OK/0.png",)


def test_a_mask_tells_what_no_name_does(tmp_path: Path) -> None:
    lay(tmp_path, *files("train", 5), "train/0_GT.png", "train/1_GT.png", "train/2_mask.png")
    black = np.zeros((16, 16), np.uint8)
    Image.fromarray(black).save(tmp_path / "train/1_GT.png")
    black[0, :3] = 255
    Image.fromarray(black).save(tmp_path / "train/2_mask.png")
    found = understood(tmp_path)
    assert [path.name for path in found.train.paths] == ["1.png", "2.png", "3.png", "4.png"]
    assert "fewer than 4 pixels, as 1 of them do" in found.notes[0]


def test_a_good_image_with_a_mask_is_told(tmp_path: Path) -> None:
    lay(tmp_path, *files("good", 3), "good/0_mask.png", *files("bad", 1))
    assert any(
        "1 image in folders of good ones has a mask" in n for n in understood(tmp_path).notes
    )


def test_outlines_are_handed_on(tmp_path: Path) -> None:
    lay(tmp_path, *files("good", 3), *files("dent", 2), *files("rust", 2))
    (tmp_path / "dent/0.json").write_text(json.dumps({"shapes": [], "imagePath": "0.png"}))
    (tmp_path / "dent/settings.json").write_text("{}")
    (tmp_path / "coco.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": 1, "file_name": "rust/1.png"},
                    {"id": 2, "file_name": "rust/0.png"},
                ],
                "annotations": [{"image_id": 1, "segmentation": []}],
            }
        )
    )
    found = understood(tmp_path)
    masks = {s.path.relative_to(tmp_path).as_posix(): s.mask for s in found.test if s.mask}
    assert masks == {"dent/0.png": tmp_path / "dent/0.json", "rust/1.png": tmp_path / "coco.json"}
    assert set(found.masks) == set(masks.values())


def test_a_link_by_another_name_is_not_learnt_from(tmp_path: Path) -> None:
    lay(tmp_path, *files("all", 4), *files("good", 4))
    lay(tmp_path, "rejects/9.png")
    (tmp_path / "rejects/0.png").symlink_to("../all/0.png")
    (tmp_path / "good/0.png").unlink()
    (tmp_path / "good/0.png").symlink_to("../rejects/9.png")
    found = understood(tmp_path, good=["all"])
    names = {path.resolve().relative_to(tmp_path).as_posix() for path in found.train.paths}
    assert not names & {"all/0.png", "rejects/9.png"}


def test_images_linked_for_tests_are_not_learnt_from(tmp_path: Path) -> None:
    lay(tmp_path, *files("train/good", 3), *files("zz_test/bad", 1))
    (tmp_path / "zz_test/good").symlink_to("../train/good")
    with pytest.raises(DataError, match="no image to learn from"):
        understood(tmp_path)


def test_a_category_may_be_called_as_a_split_is(tmp_path: Path) -> None:
    for name in ("test_tube", "toy_train"):
        lay(tmp_path, *files(f"{name}/train/good", 2), *files(f"{name}/test/scratch", 1))
    data = open_dataset(tmp_path)
    assert data.categories == ["test_tube", "toy_train"]
    assert len(data.category("test_tube").train) == 2


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, *files("good", 3), *files("good/locked", 2))
    real = os.scandir

    def scandir(path: object) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"locked can't be read: Permission denied; .*--exclude"):
        open_dataset(tmp_path)
    assert len(understood(tmp_path, exclude=["good/locked"]).train) == 3
    inputs = list_inputs([str(tmp_path)])
    assert (len(list(inputs)), len(inputs.unreadable)) == (3, 1)


def test_what_parts_tell_of_themselves(tmp_path: Path) -> None:
    lay(tmp_path, *files("good", 5), *files("dent", 1), "masks/dent/0.png")
    parts = open_parts(tmp_path)
    assert parts.describe().endswith("held out to test on: 1 good, dent 1")
    told = json.loads(json.dumps(parts.as_dict()))
    assert told["test"] == {"good": 1, "dent": 1}
    assert told["groups"][-1]["examples"] == [str(tmp_path / "masks/dent/0.png")]
    lines = parts.understanding.describe().splitlines()
    assert lines[1].split() == ["4", "good,", "to", "learn", "from", *lines[1].split()[5:]]


def test_a_pattern_leaves_out_the_masks_that_a_folder_does(tmp_path: Path) -> None:
    lay(tmp_path, *files("parts", 2), "parts/ground_truth/0_mask.png", "parts/1_GT.png")
    for entry in ("parts", "parts/**/*.png", "parts/*", "p*"):
        found = list_inputs([str(tmp_path / entry)])
        assert [path.name for path in found] == ["0.png", "1.png"], entry
        assert any(note.startswith("left out ") and "mask" in note for note in found.notes())
