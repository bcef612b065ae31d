"""Every data set of the field, as it is downloaded, is found, read and benchmarked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from anomalist import PatchCore
from anomalist.benchmark import benchmark
from anomalist.data import FORMATS, open_dataset
from anomalist.errors import DataError, ParameterError
from tests import trees

Draw = Callable[[Path], Path]
DRAWN = pytest.mark.parametrize(
    ("name", "draw"),
    [pytest.param(name, draw, id=what) for (what, name), draw in trees.TREES.items()],
)


@DRAWN
def test_it_is_found(name: str, draw: Draw, tmp_path: Path) -> None:
    root = draw(tmp_path / "data")
    found, insisted = open_dataset(root), open_dataset(root, format=name)
    assert found.name == insisted.name == name
    assert found.categories == insisted.categories
    for category in found.categories:
        of, again = found.category(category), insisted.category(category)
        for images, same in ((of.train, again.train), (of.test, again.test)):
            assert images.content_hash() == same.content_hash()
        assert len(of.train) > 0
        assert not of.train.labels.any()
        assert of.test.labels.any()
        assert not of.test.labels.all()
        assert not set(of.train.paths) & set(of.test.paths)
        for sample in of.test:
            if sample.label:
                assert sample.read_mask().sum() == (trees.SIDE // 4) ** 2
        assert found.understand(category).describe()


@DRAWN
def test_it_is_benchmarked(name: str, draw: Draw, tmp_path: Path) -> None:
    data = open_dataset(draw(tmp_path / "data"), format=name)
    detector = PatchCore(image_size=64, layers=("stride4",), device="cpu")
    (record,) = benchmark(
        data, [detector], tmp_path / "out", categories=data.categories[:1], calibrate=False
    )
    assert record.metrics["pixel_PRO"] is not None
    assert record.metrics["image_AUROC"] == 1.0


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "folder"])
def test_a_wrong_tree_gets_one_line(name: str, tmp_path: Path) -> None:
    root = trees.photograph(tmp_path / "data/1.png", 0).parent
    with pytest.raises(DataError) as told:
        open_dataset(root, format=name)
    assert "\n" not in str(told.value)
    assert str(root) in str(told.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    root = trees.btad(tmp_path / "data")
    for path in (root / "02/ground_truth").glob("*/*"):
        path.unlink()
    (root / "02/ground_truth/ko").rmdir()
    with pytest.raises(DataError, match=r"isn't BTAD: there is no .*02/ground_truth/ko"):
        open_dataset(root, format="btad")
    assert open_dataset(root).name == "mvtec_ad"


def test_a_category_alone(tmp_path: Path) -> None:
    root = trees.btad(tmp_path / "data")
    assert open_dataset(root / "03", format="btad").categories == ["03"]
    assert open_dataset(root / "03").name == "btad"


def test_formats_that_make_no_sense(tmp_path: Path) -> None:
    for format, told in (
        ("mvtec", "there is no format 'mvtec': give one of mvtec_ad, "),
        ("folder:x", "the format 'folder:x' makes no sense: give folder alone"),
        ("visa:", "the format 'visa:' makes no sense: give visa:NAME"),
    ):
        with pytest.raises(ParameterError, match=told):
            open_dataset(tmp_path, format=format)


def test_a_list_of_visa(tmp_path: Path) -> None:
    root = trees.visa(tmp_path / "data")
    with pytest.raises(DataError, match=r"has no split_csv/2cls\.csv; it has 1cls"):
        open_dataset(root, format="visa:2cls")
    with pytest.raises(ParameterError, match="--good can't be given for visa, whose files say"):
        open_dataset(root, format="visa", good=["Normal"])


def test_visa_without_its_lists_says_so(tmp_path: Path) -> None:
    found = open_dataset(trees.visa_raw(tmp_path / "data")).understand("candle")
    assert (len(found.train), found.test.defects.count("good"), found.is_split) == (8, 2, False)
    assert found.notes[0].startswith("there is no split_csv/1cls.csv, the official split: 2 of 10")


def test_surfaces_of_a_commutator_stay_together(tmp_path: Path) -> None:
    found = open_dataset(trees.kolektor_sdd(tmp_path / "sdd")).understand("sdd")
    held = {sample.group for sample in found.test if not sample.label}
    assert held
    assert not held & {sample.group for sample in found.train}
    assert len(found.train) + len(found.test) == 15
    assert "the 2 good surfaces of 1 of 5 commutators" in found.notes[0]


def test_a_commutator_without_a_mask(tmp_path: Path) -> None:
    root = trees.kolektor_sdd(tmp_path / "sdd")
    (root / "kos03/Part1_label.bmp").unlink()
    with pytest.raises(DataError, match=r"there is no file .*kos03/Part1_label\.bmp"):
        open_dataset(root).category("sdd")
