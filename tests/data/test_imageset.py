from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

from anomalist.data import ImageSet, Sample, Transform
from anomalist.errors import DataError

SAMPLES = [
    Sample(Path("good/0.png"), False, "good"),
    Sample(Path("cut/1.png"), True, "cut", Path("masks/1.png")),
    Sample(Path("hole/2.png"), True, "hole"),
]


def test_is_a_sequence_of_samples() -> None:
    images = ImageSet(iter(SAMPLES), "screw/test")
    assert isinstance(images, Sequence)
    assert list(images) == SAMPLES
    assert (len(images), images.name, images[1], images[-1]) == (
        3,
        "screw/test",
        SAMPLES[1],
        SAMPLES[2],
    )
    assert images[np.int64(1)] == SAMPLES[1]
    assert images.paths == [Path("good/0.png"), Path("cut/1.png"), Path("hole/2.png")]
    assert images.defects == ["good", "cut", "hole"]
    with pytest.raises(IndexError):
        images[3]
    with pytest.raises(FrozenInstanceError):
        images[0].label = True  # type: ignore[misc]


def test_labels() -> None:
    labels = ImageSet(SAMPLES).labels
    assert labels is not None
    assert labels.dtype == np.bool_
    assert labels.tolist() == [False, True, True]
    assert ImageSet([*SAMPLES, Sample(Path("new.png"))]).labels is None
    assert ImageSet([]).labels.shape == (0,)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        ([2, 0], [2, 0]),
        (np.array([-1, 1, 1]), [2, 1, 1]),
        (np.array([False, True, False]), [1]),
        ([True, False, True], [0, 2]),
        ([], []),
    ],
)
def test_parts_are_image_sets(index: object, expected: list[int]) -> None:
    images = ImageSet(SAMPLES, "screw/test")
    part = images[index]
    assert isinstance(part, ImageSet)
    assert part.name == "screw/test"
    assert list(part) == [SAMPLES[i] for i in expected]


@pytest.mark.parametrize("index", [[3], np.array([True, False])])
def test_wrong_indices(index: object) -> None:
    with pytest.raises(IndexError):
        ImageSet(SAMPLES)[index]


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    root = tmp_path / "here"
    for i, name in enumerate(("test/good/0.png", "test/cut/1.png", "ground_truth/cut/1_mask.png")):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(bytes([i]))
    good = Sample(root / "test/good/0.png", False, "good")
    cut = Sample(root / "test/cut/1.png", True, "cut", root / "ground_truth/cut/1_mask.png")
    return ImageSet([good, cut], "screw/test")


def moved(images: ImageSet, old: Path, new: Path) -> ImageSet:
    def to(path: Path | None) -> Path | None:
        return path and new / path.relative_to(old)

    return ImageSet(replace(s, path=to(s.path), mask=to(s.mask)) for s in images)


def test_same_content_elsewhere_has_the_same_hash(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = images.content_hash()
    assert len(bytes.fromhex(expected)) == 32
    there = tmp_path / "over" / "there"
    shutil.copytree(tmp_path / "here", there)
    assert moved(images, tmp_path / "here", there).content_hash() == expected
    monkeypatch.chdir(there)
    assert moved(images, tmp_path / "here", Path()).content_hash() == expected


def test_hash_depends_on_all_that_a_result_can_depend_on(images: ImageSet, tmp_path: Path) -> None:
    good, cut = images
    renamed = cut.path.with_name("2.png")
    shutil.copy(cut.path, renamed)
    variants = [
        images,
        images[::-1],
        images[:1],
        images[[0, 1, 1]],
        ImageSet([good, replace(cut, mask=None)]),
        ImageSet([good, replace(cut, label=None)]),
        ImageSet([good, replace(cut, defect="hole")]),
        ImageSet([good, replace(cut, path=renamed)]),
        ImageSet([]),
    ]
    hashes = [variant.content_hash() for variant in variants]
    for path in (good.path, cut.mask):
        path.write_bytes(b"other")
        hashes.append(images.content_hash())
    assert len(set(hashes)) == len(hashes)


def test_a_group_is_part_of_a_sample_and_of_the_hash(images: ImageSet) -> None:
    grouped = ImageSet(
        Sample(s.path, s.label, s.defect, s.mask, group=f"run {i}") for i, s in enumerate(images)
    )
    assert grouped[0] != images[0]
    assert "group='run 0'" in repr(grouped[0])
    assert "group=" not in repr(images[0])
    assert grouped.content_hash() != images.content_hash()


def test_hash_names_a_file_that_is_gone(images: ImageSet) -> None:
    images[1].mask.unlink()
    with pytest.raises(DataError, match=r"1_mask\.png can't be read: No such file"):
        images.content_hash()


def test_images_in_memory_have_hashes_too(images: ImageSet) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (3, 6, 9), np.uint8)
    mask = frames[1] > 99
    cut = Sample("image-1", True, "cut", mask, frames[1])
    held = ImageSet([Sample("image-0", image=frames[0]), cut])
    variants = [
        held,
        held[::-1],
        images,
        ImageSet([*images, *held]),
        ImageSet([held[0], replace(cut, mask=~mask)]),
        ImageSet([held[0], replace(cut, mask=None)]),
        ImageSet([held[0], replace(cut, mask=images[1].mask)]),
        ImageSet([held[0], replace(cut, image=frames[2])]),
        ImageSet([held[0], replace(cut, path=Path("image-2"))]),
    ]
    assert len({variant.content_hash() for variant in variants}) == len(variants)
    again = ImageSet([Sample("image-0", image=frames[0].copy()), replace(cut, mask=mask.copy())])
    assert again.content_hash() == held.content_hash()


def test_images_shared_in_files_and_in_memory(images: ImageSet) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 6, 9), np.uint8)
    upload = Sample("upload", image=images[0].path.read_bytes())
    pixels = Sample("pixels", image=np.zeros((1, 1), np.uint8))  # as many bytes as the files
    held = ImageSet([upload, pixels, Sample("frame", image=frames[0])])
    assert held.shared_with(images) == [Path("upload")]
    assert images.shared_with(held) == [images[0].path]
    others = ImageSet([Sample("same", image=frames[0].copy()), Sample("new", image=frames[1])])
    assert held.shared_with(others) == [Path("frame")]
    assert others[1:].shared_with(held) == []
    images[0].path.unlink()
    with pytest.raises(DataError, match=r"0\.png can't be read: No such file"):
        held.shared_with(images)


def test_a_look_is_of_what_the_transform_takes_for_white() -> None:
    sample = Sample("frame", image=np.full((8, 8), 2048, np.uint16))
    assert sample.look(Transform(8, bit_depth=12)).brightness == pytest.approx(128, abs=1)
