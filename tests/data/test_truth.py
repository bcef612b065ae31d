"""A sample's ground truth: its mask files together, brought to its photograph."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.data import ImageSet, Sample, Transform, gather_mask_remarks, load_masks, read_image
from anomalist.errors import DataError

ORIENTATION = 0x0112
SIZE = 20, 30
HALF = "marks more than half of its image; if black is what it marks, invert it"
TURNED = "fits its photograph as it is stored, and was turned as its EXIF orientation asks"


def marks(*boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def photograph(path: Path, size: tuple[int, int] = SIZE, turn: int = 1) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    Image.new("RGB", size[::-1], (90, 90, 90)).save(path, exif=exif)
    return path


def saved(path: Path, mask: np.ndarray) -> Path:
    Image.fromarray((mask * 255).astype(np.uint8)).save(path)
    return path


def outlines(path: Path, box: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> Path:
    top, bottom, left, right = box
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    shape = {"label": "cut", "points": corners}
    values = {"shapes": [shape], "imageHeight": size[0], "imageWidth": size[1]}
    path.write_text(json.dumps(values))
    return path


A, B, C = (2, 6, 3, 9), (10, 12, 20, 28), (14, 18, 4, 8)


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """One defect a file, one of them in outlines."""
    parts = (
        saved(tmp_path / "a.png", marks(A)),
        saved(tmp_path / "b.png", marks(B)),
        outlines(tmp_path / "c.json", C),
    )
    return Sample(photograph(tmp_path / "0.png"), True, "cut", parts)


def test_several_files_are_one_mask(sample: Sample) -> None:
    assert np.array_equal(sample.read_mask(), marks(A, B, C))
    assert sample.mask_remarks() == ()
    masks = load_masks(ImageSet([sample]), Transform(SIZE))
    assert np.array_equal(masks[0], marks(A, B, C))


def test_a_sample_of_several_files_is_as_others(sample: Sample) -> None:
    same = Sample(sample.path, True, "cut", list(map(str, sample.mask)))
    assert same == sample
    assert hash(same) == hash(sample)
    assert same.mask == sample.mask
    assert Sample(sample.path, True, "cut", sample.mask[:2]) != sample
    sample.read_mask()
    again = pickle.loads(pickle.dumps(sample))
    assert again == sample
    assert np.array_equal(again.read_mask(), sample.read_mask())
    assert "a.png" in repr(sample)
    assert dataclasses.replace(sample, label=None).mask == sample.mask


def test_the_content_of_all_files_counts(sample: Sample) -> None:
    before = ImageSet([sample]).content_hash()
    assert ImageSet([sample]).content_hash() == before
    assert ImageSet([dataclasses.replace(sample, mask=sample.mask[:2])]).content_hash() != before
    for path in sample.mask:
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert ImageSet([sample]).content_hash() != before
        path.write_bytes(content)


def test_one_file_of_outlines_is_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = outlines(tmp_path / "all.json", A)
    images = [photograph(tmp_path / f"{i}.png") for i in range(5)]
    samples = ImageSet(Sample(image, True, "cut", path) for image in images)
    read = []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda p, *a, **k: (read.append(p), real(p, *a, **k))[1])
    samples.content_hash()
    assert read.count(path) <= 1


def test_remarks_are_kept_with_the_state_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = saved(tmp_path / "mask.png", ~marks(A))
    sample = Sample(photograph(tmp_path / "0.png"), True, "cut", mask)
    sample.read_mask()
    with monkeypatch.context() as patch:
        patch.setattr("anomalist.data.sample.read_truth", None)
        assert sample.mask_remarks() == (HALF,)
    saved(mask, marks(A, B))
    assert sample.mask_remarks() == ()


def test_masks_that_mark_most_are_told_and_kept_as_they_are() -> None:
    image = np.zeros(SIZE, np.uint8)
    sample = Sample("frame", True, "cut", ~marks(A), image)
    assert np.array_equal(sample.read_mask(), ~marks(A))
    assert sample.mask_remarks() == (HALF,)
    assert Sample("frame", True, "cut", marks(A), image).mask_remarks() == ()
    every = Sample("frame", True, "cut", np.ones(SIZE, bool), image)
    assert every.mask_remarks() == ("marks every pixel of its image",)


def test_remarks_in_lines(tmp_path: Path) -> None:
    image = photograph(tmp_path / "0.png")
    usual = Sample(image, True, "cut", saved(tmp_path / "m.png", marks(A)))
    odd = [Sample(image, True, "cut", saved(tmp_path / f"{i}.png", ~marks(A))) for i in range(1, 6)]
    assert gather_mask_remarks([usual, Sample(image, False, "good"), Sample(image)]) == []
    assert gather_mask_remarks([usual, odd[0]]) == [f"the mask {tmp_path / '1.png'} {HALF}"]
    names = ", ".join(str(tmp_path / f"{i}.png") for i in (1, 2, 3))
    assert gather_mask_remarks([usual, *odd]) == [f"of 5 masks ({names}, ...) each {HALF}"]
    assert gather_mask_remarks(odd) == [f"each of the 5 masks {HALF}"]
    good = dataclasses.replace(usual, label=False, defect="good")
    assert gather_mask_remarks([good, odd[0]])[0] == (
        f"the mask {tmp_path / 'm.png'} marks a defect, but its image is a good one and counts as"
        " such"
    )


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "bytes"])
@pytest.mark.parametrize("of", ["picture", "outlines"])
def test_a_mask_of_a_turned_photograph(tmp_path: Path, turn: int, kind: str, of: str) -> None:
    """It was drawn on the photograph as one sees it, or as it is stored."""
    stored = photograph(tmp_path / f"0.{kind if kind != 'bytes' else 'png'}", turn=turn)
    image = stored.read_bytes() if kind == "bytes" else None
    seen = read_image(stored).size[::-1]
    # What the photograph would look like, had the mask been drawn on it.
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    Image.fromarray((marks(A) * 255).astype(np.uint8)).save(tmp_path / "m.bmp.png", exif=exif)
    turned = np.asarray(read_image(tmp_path / "m.bmp.png"))[..., 0] > 0
    for drawn, told in ((turned, None), (marks(A), TURNED)):
        if of == "picture":
            path = saved(tmp_path / "mask.png", drawn)
        else:
            rows, columns = np.nonzero(drawn)
            box = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
            path = outlines(tmp_path / "mask.json", tuple(map(int, box)), drawn.shape)
        sample = Sample(stored, True, "cut", path, image)
        if told and turn < 5:  # of one size either way: as one sees it, and the doubt is told
            continue
        assert np.array_equal(sample.read_mask(), turned)
        assert sample.read_mask().shape == seen
        remarks = sample.mask_remarks()
        if told:
            assert remarks == (told,)
        elif turn in (2, 3, 4):
            assert remarks == (
                "is taken as drawn on its photograph as one sees it, which EXIF orientation"
                f" {turn} turns",
            )
        else:
            assert remarks == ()


@pytest.mark.parametrize(
    ("size", "way"),
    [
        ((30, 20), "turn one of them by a right angle"),
        ((10, 15), "if it shows the same, bring it to that size"),
        ((40, 60), "if it shows the same, bring it to that size"),
        ((30, 30), "it shows something else, or a part"),
    ],
)
def test_a_mask_of_another_size(tmp_path: Path, size: tuple[int, int], way: str) -> None:
    mask = saved(tmp_path / "mask.png", marks(A, size=size))
    sample = Sample(photograph(tmp_path / "0.png"), True, "cut", mask)
    shown = f"{size[1]} x {size[0]} pixels"
    with pytest.raises(
        DataError, match=rf"mask\.png is {shown}, but its image .*0\.png is 30 x 20: {way}"
    ):
        sample.read_mask()


def test_outlines_for_another_size(tmp_path: Path) -> None:
    image = photograph(tmp_path / "0.png")
    sample = Sample(image, True, "cut", outlines(tmp_path / "a.json", (4, 12, 6, 18), (40, 60)))
    assert np.array_equal(sample.read_mask(), marks(A))
    assert sample.mask_remarks() == ("is drawn for 60 x 40 pixels, and was scaled",)
    sample = Sample(image, True, "cut", outlines(tmp_path / "a.json", A, (30, 30)))
    with pytest.raises(
        DataError,
        match=r"outlines in .*a\.json are drawn for 30 x 30 pixels, but the image .*0\.png",
    ):
        sample.read_mask()


@pytest.mark.parametrize("name", ["0.xml", "0.txt", "0.geojson"])
def test_outlines_of_other_kinds_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("0 0.5 0.5 0.1 0.1")
    sample = Sample(photograph(tmp_path / "0.png"), True, "cut", tmp_path / name)
    with pytest.raises(DataError, match=rf"the mask .*{name} isn't a picture: .* LabelMe and COCO"):
        sample.read_mask()


def test_masks_of_wrong_types() -> None:
    for mask in ((), [np.ones((2, 2))], ("a.png", 3)):
        with pytest.raises(DataError, match="give a path, several of them, or an array"):
            Sample("a", True, "cut", mask)
