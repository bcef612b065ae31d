from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from anomalist.benchmark.stress_cases import CONDITIONS
from anomalist.benchmark.stress_changes import CHANGES, from_light, to_light
from anomalist.benchmark.stress_sets import MadeDefect
from anomalist.data import Sample
from anomalist.data.editing import Samples

RNG = np.random.default_rng(0)
EIGHT = RNG.integers(0, 256, (30, 40, 3), np.uint8)
DEEP = RNG.integers(0, 4096, (30, 40, 1), np.uint16)


def changed(name: str, level: float, samples: Samples, white: int = 255) -> np.ndarray:
    return CHANGES[name](level).image(samples, white, np.random.default_rng(1))


def light_of(samples: np.ndarray) -> np.ndarray:
    """The curve of sRGB as IEC 61966-2-1 has it."""
    stored = samples / 255
    return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)


def stored_of(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return 255 * curve


def near(found: np.ndarray, expected: np.ndarray) -> None:
    """Rounded to a whole number, but for what single precision rounds the other way."""
    assert np.abs(found - expected).max() <= 0.502


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize(("samples", "white"), [(EIGHT, 255), (EIGHT[..., :1], 255), (DEEP, 4095)])
def test_it_leaves_size_depth_and_its_input(name: str, samples: Samples, white: int) -> None:
    before = samples.copy()
    level = CONDITIONS[name].levels[-1] * (4 if name == "focus" else 1)
    found = changed(name, level, samples, white)
    assert (found.shape, found.dtype) == (samples.shape, samples.dtype)
    assert found.max() <= white
    np.testing.assert_array_equal(samples, before)
    np.testing.assert_array_equal(found, changed(name, level, samples, white))
    assert (found != samples).any()


@pytest.mark.parametrize("name", [n for n in CHANGES if CONDITIONS[n].neutral is not None])
@pytest.mark.parametrize(("samples", "white"), [(EIGHT, 255), (DEEP, 4095)])
def test_the_neutral_level_changes_nothing(name: str, samples: Samples, white: int) -> None:
    level = CONDITIONS[name].neutral
    assert level is not None
    np.testing.assert_array_equal(changed(name, level, samples, white), samples)


def test_light_goes_there_and_back() -> None:
    for white in (255, 4095, 65535):
        every = np.arange(white + 1, dtype=np.uint8 if white == 255 else np.uint16)
        np.testing.assert_array_equal(from_light(to_light(every, white), white), every)


@pytest.mark.parametrize("level", [0.5, 1.1, 3])
def test_brightness_multiplies_light(level: float) -> None:
    near(changed("brightness", level, EIGHT), stored_of(light_of(EIGHT) * level))
    near(changed("brightness", level, DEEP, 4095), np.minimum(DEEP * level, 4095))


def test_gamma_is_of_stored_values() -> None:
    near(changed("gamma", 1.25, EIGHT), 255 * (EIGHT / 255) ** 1.25)


def test_a_gradient_darkens_the_left_as_much_as_it_brightens_the_right() -> None:
    across = (np.arange(40) + 0.5) / 40
    factor = (1 + 0.4 * (across - 0.5))[None, :, None]
    near(changed("gradient", 0.4, EIGHT), stored_of(light_of(EIGHT) * factor))
    near(changed("gradient", 0.4, DEEP, 4095), np.minimum(DEEP * factor, 4095))


def test_focus_keeps_the_light_and_blurs_by_its_deviation() -> None:
    point = np.zeros((101, 101, 1), np.uint16)
    point[50, 50] = 65535
    found = changed("focus", 4 / 101, point, 65535)[..., 0].astype(float)
    places = np.arange(101) - 50
    assert found.sum() == pytest.approx(65535, rel=0.01)
    variance = (found.sum(axis=0) * places**2).sum() / found.sum()
    assert variance == pytest.approx(16, rel=0.03)


def test_noise_has_its_deviation_and_differs_from_image_to_image() -> None:
    grey = np.full((200, 200), 128, np.uint8)
    noise = CHANGES["noise"](0.05)
    found = [np.asarray(Sample("a", image=grey + i).changed(noise).read()) for i in range(2)]
    deviation = found[0].astype(float) - grey[..., None]
    assert deviation.std() == pytest.approx(0.05 * 255, rel=0.02)
    assert (found[0][..., 0] == found[0][..., 2]).all()  # grey stays grey
    assert (found[0] + 1 != found[1]).any()
    colour = np.dstack([grey, grey, grey + 1])
    assert np.ptp(np.asarray(Sample("b", image=colour).changed(noise).read()), axis=2).any()


def test_jpeg_is_what_a_file_would_be() -> None:
    file = io.BytesIO()
    Image.fromarray(EIGHT).save(file, "JPEG", quality=50, subsampling="4:2:0")
    np.testing.assert_array_equal(changed("jpeg", 50, EIGHT), np.asarray(Image.open(file)))


def oracle(name: str, level: float, mask: np.ndarray) -> np.ndarray:
    """Each pixel from the one whose centre is nearest to where it comes from, mirrored at edges."""
    height, width = mask.shape
    found = np.zeros_like(mask)
    angle = np.radians(level)
    for y in range(height):
        for x in range(width):
            across, down = x + 0.5 - width / 2, y + 0.5 - height / 2
            if name == "turn":  # counterclockwise as seen, with rows that go down
                across, down = (
                    np.cos(angle) * across - np.sin(angle) * down,
                    np.sin(angle) * across + np.cos(angle) * down,
                )
            else:
                across, down = across / level, down / level
            row, column = int(np.floor(down + height / 2)), int(np.floor(across + width / 2))
            row, column = row % (2 * height), column % (2 * width)
            row = row if row < height else 2 * height - 1 - row
            found[y, x] = mask[row, column if column < width else 2 * width - 1 - column]
    return found


@pytest.mark.parametrize(
    ("name", "level"),
    [("turn", 7.3), ("turn", -40), ("turn", 91.7), ("scale", 0.713), ("scale", 1.213)],
)
@pytest.mark.parametrize("shape", [(20, 31), (31, 20), (16, 16)])
def test_masks_move_as_their_pixels_do(name: str, level: float, shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(3).random(shape) > 0.6
    np.testing.assert_array_equal(CHANGES[name](level).mask(mask), oracle(name, level, mask))


@pytest.mark.parametrize("level", [0.1, -0.3, 0.5])
def test_a_shift_moves_whole_pixels_and_mirrors_the_border(level: float) -> None:
    down, across = round(level * 30), round(level * 40)
    wide = np.pad(EIGHT, ((30, 30), (40, 40), (0, 0)), "symmetric")
    expected = wide[30 - down : 60 - down, 40 - across : 80 - across]
    np.testing.assert_array_equal(changed("shift", level, EIGHT), expected)
    marked = EIGHT[..., 0] > 200
    np.testing.assert_array_equal(CHANGES["shift"](level).mask(marked), expected[..., 0] > 200)


@pytest.mark.parametrize("name", ["shift", "turn", "scale"])
def test_a_defect_and_its_mask_stay_together(name: str) -> None:
    mask = np.zeros((80, 80), bool)
    mask[50:60, 20:35] = True
    image = np.where(mask[..., None], np.uint8(200), np.uint8(50))
    change = CHANGES[name](CONDITIONS[name].levels[-1])
    seen = change.image(image, 255, np.random.default_rng())[..., 0] > 125
    assert (seen ^ change.mask(mask)).sum() <= 0.1 * mask.sum()  # half a pixel along its outline


def test_a_made_defect_is_on_part_of_the_photograph_at_its_depth() -> None:
    for samples, white in (
        (EIGHT, 255),
        (DEEP, 4095),
        (np.full((30, 40, 1), 900, np.uint16), 1023),
    ):
        found = MadeDefect().image(samples, white, np.random.default_rng(0))
        assert (found.shape, found.dtype) == (samples.shape, samples.dtype)
        assert 0 < (found != samples).any(axis=2).mean() < 1
