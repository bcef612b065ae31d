from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from anomalist.data.samples import SAMPLE_CATEGORIES, make_sample_set
from anomalist.data.samples.drawing import Category, Flaw, Picture, Scene
from anomalist.data.samples.photograph import photograph
from anomalist.errors import DataError, ParameterError
from anomalist.files import sha256_of

SMALL = {"image_size": 40, "train": 2, "good": 1, "per_defect": 1}
ALL_DEFECTS = [(c, d) for c in SAMPLE_CATEGORIES.values() for d in c.defects]
DEFECT_IDS = [f"{c.name}-{d}" for c, d in ALL_DEFECTS]


def hashes(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): sha256_of(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def sample_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_set(tmp_path_factory.mktemp("samples"), **SMALL)


def test_same_seed_gives_the_same_bytes(sample_set: Path, tmp_path: Path) -> None:
    assert hashes(make_sample_set(tmp_path, **SMALL)) == hashes(sample_set)


def test_other_seed_gives_other_images(sample_set: Path, tmp_path: Path) -> None:
    first, second = hashes(sample_set), hashes(make_sample_set(tmp_path, seed=1, **SMALL))
    assert first.keys() == second.keys()
    images = [name for name in first if name.endswith(".png") and "ground_truth" not in name]
    assert not [name for name in images if first[name] == second[name]]


def test_no_two_images_are_alike(sample_set: Path) -> None:
    images = [sha256_of(p) for p in sample_set.rglob("*.png") if "ground_truth" not in p.parts]
    assert len(set(images)) == len(images)


def test_larger_set_contains_the_smaller(sample_set: Path, tmp_path: Path) -> None:
    larger = {**SMALL, "train": 3, "good": 2, "per_defect": 2}
    root = make_sample_set(tmp_path, categories=["brass_key"], **larger)
    small = hashes(sample_set / "brass_key")
    large = hashes(root / "brass_key")
    del small["sample_set.json"]
    assert small.items() <= large.items()
    assert len(large) > len(small)


@pytest.mark.parametrize("category", SAMPLE_CATEGORIES.values(), ids=lambda c: c.name)
def test_layout_is_that_of_mvtec_ad(tmp_path: Path, category) -> None:
    root = make_sample_set(
        tmp_path, image_size=40, train=3, good=2, per_defect=2, categories=[category.name]
    )
    expected = {"sample_set.json"}
    expected |= {f"train/good/{i:03d}.png" for i in range(3)}
    expected |= {f"test/good/{i:03d}.png" for i in range(2)}
    for defect in category.defects:
        expected |= {f"test/{defect}/{i:03d}.png" for i in range(2)}
        expected |= {f"ground_truth/{defect}/{i:03d}_mask.png" for i in range(2)}
    assert set(hashes(root / category.name)) == expected
    assert [path.name for path in root.iterdir()] == [category.name]


def test_images_and_masks_fit_each_other(sample_set: Path) -> None:
    masks = sorted(sample_set.rglob("*_mask.png"))
    assert len(masks) == len(ALL_DEFECTS)
    for path in masks:
        with Image.open(path) as mask:
            assert mask.mode == "L"
            pixels = np.asarray(mask)
        assert set(np.unique(pixels)) == {0, 255}
        name = path.name.replace("_mask", "")
        with Image.open(path.parents[2] / "test" / path.parent.name / name) as image:
            assert image.mode == "RGB"
            assert image.size == (40, 40) == pixels.shape


@pytest.mark.parametrize(("category", "defect"), ALL_DEFECTS, ids=DEFECT_IDS)
@pytest.mark.parametrize("index", [0, 1])
def test_mask_is_what_the_defect_changed(category, defect: str, index: int) -> None:
    shot = photograph(category, "test", defect, index, seed=3, image_size=128)
    changed = (shot.image != shot.clean).any(2)
    assert shot.mask.any()
    assert not changed[~shot.mask].any()
    assert changed[shot.mask].mean() > 0.8
    # Pinholes where both happen to look alike belong to the mask, but no margin around the defect.
    assert not shot.mask[~ndimage.binary_dilation(changed, np.ones((3, 3)), 2)].any()


@pytest.mark.parametrize(("category", "defect"), ALL_DEFECTS, ids=DEFECT_IDS)
def test_severity_is_how_much_the_defect_shows(category, defect: str) -> None:
    def change(severity: float) -> float:
        total = 0.0
        for stream in range(4):
            bare, flawed = (
                category.paint(Scene(96, np.random.default_rng(stream), 0.3, flaw))
                for flaw in (None, Flaw(defect, severity, (stream, 1)))
            )
            total += float(np.abs(flawed - bare).sum())
        return total

    assert change(0.9) > change(0.1) > 0


def test_severities_cover_the_whole_range() -> None:
    category = SAMPLE_CATEGORIES["woven_fabric"]
    severities = sorted(
        photograph(category, "test", "stain", i, seed=0, image_size=32).severity for i in range(8)
    )
    assert max(np.diff([0.0, *severities, 1.0])) < 0.3


@pytest.mark.parametrize("split", ["train", "test"])
def test_phases_are_a_random_draw(split: str) -> None:
    phases: list[float] = []

    def paint(scene: Scene) -> Picture:
        phases.append(scene.phase)
        return np.zeros((scene.size, scene.size, 3), np.float32)

    drawn = Category("drawn", (), paint)
    for index in range(200):
        photograph(drawn, split, "good", index, seed=0, image_size=32)
    assert np.histogram(phases, 4, (0, 1))[0].min() > 200 / 4 / 2
    gaps = np.diff(np.sort(phases)) * 200
    # Even steps, by the golden ratio or otherwise, leave neither narrow gaps nor wide ones.
    assert gaps.min() < 0.1
    assert gaps.max() > 3


def test_good_photographs_have_no_defect() -> None:
    for category in SAMPLE_CATEGORIES.values():
        shot = photograph(category, "test", "good", 0, seed=0, image_size=40)
        assert not shot.mask.any()
        assert shot.severity == 0
        np.testing.assert_array_equal(shot.image, shot.clean)


def test_picture_is_the_same_at_every_size() -> None:
    for category in SAMPLE_CATEGORIES.values():
        small, large = (
            photograph(category, "train", "good", 0, seed=0, image_size=size).image.astype(float)
            for size in (96, 192)
        )
        halved = large.reshape(96, 2, 96, 2, 3).mean((1, 3))
        assert np.corrcoef(small.ravel(), halved.ravel())[0, 1] > 0.9


def test_manifest_records_settings_and_severities(sample_set: Path) -> None:
    for category in SAMPLE_CATEGORIES.values():
        folder = sample_set / category.name
        manifest = json.loads((folder / "sample_set.json").read_text(encoding="utf-8"))
        assert {key: manifest[key] for key in SMALL} == SMALL
        assert manifest["seed"] == 0
        tested = {p.relative_to(folder).as_posix() for p in (folder / "test").rglob("*.png")}
        assert set(manifest["severity"]) == tested
        for name, severity in manifest["severity"].items():
            assert severity == 0 if "/good/" in name else 0 <= severity <= 1


def test_same_set_is_reused(sample_set: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in sample_set.rglob("*")}
    assert make_sample_set(sample_set, **SMALL) == sample_set
    assert {p: p.stat().st_mtime_ns for p in sample_set.rglob("*")} == before


def test_categories_can_be_added_later(tmp_path: Path) -> None:
    make_sample_set(tmp_path, categories=["brass_key"], **SMALL)
    first = hashes(tmp_path)
    make_sample_set(tmp_path, categories=["brass_key", "bottle_mouth"], **SMALL)
    assert first.items() <= hashes(tmp_path).items()
    assert {path.name for path in tmp_path.iterdir()} == {"brass_key", "bottle_mouth"}


def test_another_set_is_not_overwritten(sample_set: Path) -> None:
    before = hashes(sample_set)
    with pytest.raises(DataError, match=r"another sample set \(.*seed 0"):
        make_sample_set(sample_set, seed=1, **SMALL)
    assert hashes(sample_set) == before


def test_foreign_files_are_not_overwritten(tmp_path: Path) -> None:
    photo = tmp_path / "brass_key" / "train" / "good" / "000.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"mine")
    with pytest.raises(DataError, match="brass_key holds something other"):
        make_sample_set(tmp_path, **SMALL)
    assert list(hashes(tmp_path)) == ["brass_key/train/good/000.png"]
    with pytest.raises(DataError, match="is a file"):
        make_sample_set(photo, **SMALL)


def test_damaged_set_is_refused(tmp_path: Path) -> None:
    make_sample_set(tmp_path, categories=["brass_key"], **SMALL)
    (tmp_path / "brass_key" / "train" / "good" / "001.png").unlink()
    with pytest.raises(DataError, match=r"lost 1 of its images, train/good/001\.png"):
        make_sample_set(tmp_path, categories=["brass_key"], **SMALL)


def test_interrupted_category_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        make_sample_set(tmp_path, **SMALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"image_size": 8}, "image_size is 8"),
        ({"train": 0}, "train is 0"),
        ({"categories": ["hazelnut"]}, "no sample category 'hazelnut'; there are bottle_mouth"),
    ],
)
def test_senseless_arguments_are_refused(tmp_path: Path, arguments, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make_sample_set(tmp_path / "set", **arguments)
    assert not (tmp_path / "set").exists()
