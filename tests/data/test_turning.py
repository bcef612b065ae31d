"""Turned copies: by the angles asked for, the same every time, and known by what they are."""

from __future__ import annotations

import numpy as np
import pytest

from anomalist.data import ImageSet, Sample
from anomalist.data.turning import Augmentation, Turned
from anomalist.errors import ParameterError

RNG = np.random.default_rng(0)


def noise(size: tuple[int, ...] = (40, 40), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_quarter_turns_of_a_square_move_whole_pixels(angle: int, mirrored: bool) -> None:
    samples = noise((40, 40, 1))
    wanted = np.rot90(samples[:, ::-1] if mirrored else samples, angle // 90)
    change = Turned(float(angle), mirrored)
    assert np.array_equal(change.image(samples, 255, RNG), wanted)
    mask = samples[..., 0] > 128
    assert np.array_equal(change.mask(mask), wanted[..., 0] > 128)


def test_samples_of_16_bits_stay_below_white_and_an_image_keeps_its_size() -> None:
    samples = (noise((30, 50, 1)).astype(np.uint16) * 16).clip(0, 4095)
    turned = Turned(33.0).image(samples, 4095, RNG)
    assert turned.shape == samples.shape
    assert turned.dtype == np.uint16
    assert turned.max() <= 4095


def test_copies_follow_their_photograph_and_divide_the_angles() -> None:
    images = ImageSet([Sample(f"{i}", image=noise(seed=i)) for i in range(3)], "good")
    made = Augmentation(turn=360, flip=True, copies=6).of(images, seed=1)
    assert len(made) == 21
    assert made.name == "good"
    assert [sample.path.name for sample in made] == [str(i) for i in range(3) for _ in range(7)]
    assert made[7].sha256() == images[1].sha256()
    assert len({sample.sha256() for sample in made}) == 21
    again = Augmentation(turn=360, flip=True, copies=6).of(images, seed=1)
    assert [s.sha256() for s in again] == [s.sha256() for s in made]
    other = Augmentation(turn=360, flip=True, copies=6).of(images, seed=2)
    assert other[1].sha256() != made[1].sha256()


def test_a_mirror_image_is_all_that_there_is_without_angles() -> None:
    image = noise()
    made = Augmentation(flip=True).of(ImageSet([Sample("a", image=image)]), seed=0)
    assert len(made) == 2
    assert np.array_equal(np.asarray(made[1].read())[..., 0], image[:, ::-1])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "makes nothing new"),
        ({"turn": 0}, "makes nothing new"),
        ({"turn": 361}, "from 0 to 360"),
        ({"turn": -1}, "from 0 to 360"),
        ({"turn": float("nan")}, "from 0 to 360"),
        ({"turn": True}, "from 0 to 360"),
        ({"turn": "much"}, "from 0 to 360"),
        ({"turn": 10, "flip": 1.0}, "flip must be true or false"),
        ({"turn": 10, "copies": 0}, "copies must be"),
        ({"turn": 10, "copies": 2.5}, "copies must be"),
        ({"turn": 10, "copies": 1000}, "from 1 to 64"),
        ({"turns": 10}, "no 'turns'"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        Augmentation.from_mapping(values)
