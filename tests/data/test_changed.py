from __future__ import annotations

import dataclasses
import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.data import ImageSet, Sample, bit_depth_of
from anomalist.data.editing import Samples

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Halved:
    """Half of each value, turned upside down."""

    key: str = "halved"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        seen.append((samples.shape, samples.dtype.name, white, float(rng.random())))
        return samples[::-1] // 2

    def mask(self, mask: np.ndarray) -> np.ndarray:
        return mask[::-1]


seen: list[tuple[tuple[int, ...], str, int, float]] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


def saved(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_an_image_is_changed_when_it_is_read(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (6, 9, 3), np.uint8)
    path = saved(tmp_path / "a.png", pixels)
    for base in (Sample(path), Sample("a", image=pixels), Sample("a", image=path.read_bytes())):
        changed = base.changed(Halved())
        assert seen == []
        np.testing.assert_array_equal(np.asarray(changed.read()), pixels[::-1] // 2)
        np.testing.assert_array_equal(np.asarray(base.read()), pixels)
        assert (changed.size(), changed.nbytes()) == (base.size(), base.nbytes())
        content = changed.fetch()
        assert content.sha256 == changed.sha256() != base.sha256()
        np.testing.assert_array_equal(np.asarray(changed.decode(content)), pixels[::-1] // 2)
        seen.clear()


def test_what_is_changed_already_is_changed_further(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (6, 9, 3), np.uint8)
    for base in (Sample(saved(tmp_path / "a.png", pixels)), Sample("a", image=pixels)):
        once = base.changed(Halved("x"))
        twice = once.changed(Halved("y"))
        np.testing.assert_array_equal(np.asarray(twice.read()), pixels // 4)
        drawn = [random for *_, random in seen]
        once.read()
        assert seen[-1][3] == drawn[0] != drawn[1]
        seen.clear()


def test_the_hash_tells_content_and_change(tmp_path: Path) -> None:
    base = Sample(saved(tmp_path / "a.png", np.zeros((4, 4), np.uint8)))
    other = Sample(saved(tmp_path / "b.png", np.ones((4, 4), np.uint8)))
    made = [base, other, *(s.changed(Halved(key)) for s in (base, other) for key in ("x", "y"))]
    made.append(base.changed(Halved("x")).changed(Halved("y")))
    assert len({sample.sha256() for sample in made}) == len(made)
    assert len({ImageSet([sample]).content_hash() for sample in made}) == len(made)
    assert made[2] == base.changed(Halved("x"))
    assert made[2] != base
    assert made[2] != made[3]
    again = pickle.loads(pickle.dumps(made[2]))
    assert (again, again.sha256()) == (made[2], made[2].sha256())
    assert dataclasses.replace(base, label=False).sha256() == base.sha256()


def test_a_file_that_changes_has_another_hash_and_other_remarks(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", RNG.integers(0, 256, (40, 40), np.uint8))
    sample = Sample(path).changed(Halved())
    before = sample.sha256()
    assert sample.remarks() == ()
    saved(path, np.zeros((40, 41), np.uint8))
    assert sample.sha256() != before
    assert sample.remarks() == ("has one value everywhere",)


def test_each_image_has_random_numbers_of_its_own() -> None:
    pixels = RNG.integers(0, 256, (2, 6, 9, 3), np.uint8)
    for image in (pixels[0], pixels[1], pixels[0]):
        Sample("same name", image=image).changed(Halved()).read()
    drawn = [number for *_, number in seen]
    assert drawn[0] == drawn[2] != drawn[1]


def test_grey_is_changed_as_grey(tmp_path: Path) -> None:
    grey = RNG.integers(0, 256, (6, 9), np.uint8)
    for sample in (Sample("a", image=grey), Sample(saved(tmp_path / "a.png", grey))):
        found = np.asarray(sample.changed(Halved()).read())
        np.testing.assert_array_equal(found, np.repeat(grey[::-1, :, None] // 2, 3, axis=2))
    assert {(shape, kind, white) for shape, kind, white, _ in seen} == {((6, 9, 1), "uint8", 255)}


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3)])
def test_deep_images_keep_their_depth_and_the_white_of_the_camera(shape: tuple[int, ...]) -> None:
    deep = RNG.integers(0, 4096, shape, np.uint16)
    deep[0, 0] = 4095
    sample = Sample("deep", image=deep)
    changed = sample.changed(Halved())
    assert bit_depth_of([changed]) == bit_depth_of([sample]) == 12
    found = np.asarray(changed.read(12))
    assert seen[0][:3] == ((6, 9, 3 if len(shape) == 3 else 1), "uint16", 4095)
    expected = Sample("halved", image=deep[::-1] // 2).read(12)
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_a_file_of_sixteen_bits_keeps_them(tmp_path: Path) -> None:
    deep = RNG.integers(0, 2**16, (6, 9), np.uint16)
    changed = Sample(saved(tmp_path / "deep.png", deep)).changed(Halved())
    expected = Sample("halved", image=deep[::-1] // 2).read()
    np.testing.assert_array_equal(np.asarray(changed.read()), np.asarray(expected))
    assert seen[0][:3] == ((6, 9, 1), "uint16", 65535)


def test_what_is_partly_transparent_is_changed_as_it_is_seen() -> None:
    pixels = RNG.integers(0, 256, (6, 9, 4), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    plain = np.asarray(Sample("a", image=pixels).read())
    for image in (pixels, stream.getvalue()):
        found = np.asarray(Sample("a", image=image).changed(Halved()).read())
        np.testing.assert_array_equal(found, plain[::-1] // 2)


def test_a_mask_moves_with_its_image(tmp_path: Path) -> None:
    mask = np.zeros((6, 9), bool)
    mask[0, 2:4] = True
    image = RNG.integers(0, 256, (6, 9, 3), np.uint8)
    file = saved(tmp_path / "mask.png", mask.astype(np.uint8) * 255)
    for truth in (mask, file):
        sample = Sample("a", True, "cut", truth, image)
        assert sample.changed(Halved()).read_mask()[-1, 2:4].all()  # type: ignore[index]
        twice = sample.changed(Halved("x")).changed(Halved("y"))
        np.testing.assert_array_equal(twice.read_mask(), mask)
        np.testing.assert_array_equal(sample.read_mask(), mask)


def test_defects_of_loco_move_one_by_one(tmp_path: Path) -> None:
    class UpAway(Halved):
        def mask(self, mask: np.ndarray) -> np.ndarray:
            return np.concatenate([mask[3:], np.zeros_like(mask[:3])])

    config = tmp_path / "defects_config.json"
    config.write_text(
        '[{"defect_name": "cut", "pixel_value": 255, "saturation_threshold": 6,'
        ' "relative_saturation": false}]'
    )
    masks = []
    for i, rows in enumerate((slice(0, 2), slice(2, 5))):
        mask = np.zeros((6, 9), np.uint8)
        mask[rows, 2:4] = 255
        masks.append(saved(tmp_path / f"{i}.png", mask))
    image = RNG.integers(0, 256, (6, 9, 3), np.uint8)
    sample = Sample("a", True, "cut", tuple(masks), image, saturation=config)
    assert [defect.pixels.sum() for defect in sample.read_defects()] == [4, 6]
    (left,) = sample.changed(UpAway()).read_defects()
    assert (left.pixels.sum(), left.saturation) == (4, 4)
