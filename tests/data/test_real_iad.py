from __future__ import annotations

import json
from pathlib import Path

import pytest

from anomalist.data import RealIAD, open_dataset
from anomalist.errors import DataError, ParameterError
from tests import trees


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return trees.real_iad(tmp_path / "Real-IAD")


def test_all_views_with_their_part_as_group(root: Path) -> None:
    found = open_dataset(root).category("audiojack")
    assert [sample.group for sample in found.train] == [
        f"OK/S000{i}" for i in (1, 2, 3) for _ in (1, 2)
    ]
    assert {(s.group, s.defect) for s in found.test} == {
        ("OK/S0004", "good"),
        ("NG/HS/S0064", "HS"),
        ("NG/AK/S0065", "AK"),
    }


def test_a_single_view(root: Path) -> None:
    found = open_dataset(root, format="real_iad:sv").category("audiojack")
    assert (len(found.train), len(found.test)) == (3, 3)


def test_defects_to_train_on_are_left_out_and_told(root: Path) -> None:
    found = open_dataset(root, format="real_iad:fuiad_0.1").understand("audiojack")
    assert len(found.train) == 6
    assert not found.train.labels.any()
    assert found.notes[0] == (
        "fuiad_0.1 names 2 defects among 8 images to train on, on purpose; --format"
        " real_iad:fuiad_0.1+contaminated learns from them, too"
    )
    assert [len(paths) for paths in found.left_out.values() if "AK" in str(paths[0])] == [2]


def test_defects_to_train_on_are_learnt_from_without_labels_where_asked(root: Path) -> None:
    data = open_dataset(root, format="real_iad:fuiad_0.1+contaminated")
    found = data.understand("audiojack")
    assert [sample.label for sample in found.train] == [None] * 8
    assert found.notes[0] == (
        "2 of 8 images to learn from are defects, as fuiad_0.1 has it: all are learnt from,"
        " without labels"
    )


def test_several_sizes_are_asked_for(root: Path) -> None:
    trees.real_iad(root, size=512)
    with pytest.raises(DataError, match="has images 256, 512: choose with --format real_iad:"):
        open_dataset(root)
    assert isinstance(data := open_dataset(root, format="real_iad:sv@512"), RealIAD)
    assert data.category("audiojack").train.paths[0].is_relative_to(root / "realiad_512")
    with pytest.raises(DataError, match="has no images 1024; it has 256, 512"):
        open_dataset(root, format="real_iad:@1024")


def test_lists_beside_the_images(root: Path) -> None:
    for path in (root / "realiad_jsons").iterdir():
        path.rename(root / f"{path.name}_")
    (root / "realiad_jsons").rmdir()
    (root / "realiad_jsons_").rename(root / "realiad_jsons")
    assert len(open_dataset(root).category("audiojack").train) == 6


def test_what_is_missing_is_named(root: Path) -> None:
    for format, told in (
        ("real_iad:fuiad_0.4", r"has no lists fuiad_0\.4; it has multi, fuiad_0\.1, sv"),
        ("real_iad", None),
    ):
        if told:
            with pytest.raises(DataError, match=told):
                open_dataset(root, format=format)
    with pytest.raises(ParameterError, match=r"'real_iad:sv\+all' makes no sense"):
        open_dataset(root, format="real_iad:sv+all")
    images = sorted((root / "realiad_256").rglob("*_C2_*.jpg"))
    for path in images:
        path.unlink()
    with pytest.raises(DataError, match=rf"there is no file .*, which .* \(nor {len(images) - 1}"):
        open_dataset(root).category("audiojack")
    (root / "realiad_256/audiojack").rename(root / "realiad_256/audio")
    with pytest.raises(DataError, match=r"none of the categories that .* lists: audio"):
        open_dataset(root)
    (root / "realiad_256").rename(root / "images")
    with pytest.raises(DataError, match="has no folder of images beside its lists, such as real"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"test": []}, "isn't a list of Real-IAD: it has no 'train'"),
        ({"train": [{"image_path": "a.jpg"}], "test": []}, "entry 0 of 'train' has no 'anomaly_"),
        ([], "isn't a list of Real-IAD"),
    ],
)
def test_damaged_lists(root: Path, values: object, told: str) -> None:
    (root / "realiad_jsons/realiad_jsons/audiojack.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=told):
        open_dataset(root).category("audiojack")
