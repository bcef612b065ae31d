"""How a part lies is found to a pixel, and what is shown of it goes back to where it was."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from anomalist.data import Transform
from anomalist.data.matching import Template
from anomalist.data.motion import Motion
from anomalist.data.moving import Affine, moved_plane, scaling
from anomalist.data.registration import Registration, Window, grey, reference_size
from anomalist.features.moving_back import moved_back


def key(size: tuple[int, int] = (128, 128)) -> np.ndarray:
    """A bright shape that looks alike at no other angle, on a dark ground."""
    picture = np.full((128, 128), 40, np.uint8)
    picture[50:66, 20:100] = picture[66:90, 20:36] = 180
    picture[40:50, 86:100] = 110
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC))


def laid(picture: np.ndarray, degrees: float, across: float, down: float) -> np.ndarray:
    """The picture as it must be moved back by that motion."""
    size = picture.shape[:2]
    motion = Motion(math.radians(degrees), across, down)
    return moved_plane(picture, motion.affine(size).inverse(), Image.Resampling.BICUBIC)


MOTIONS = [(0, 0, 0), (7, 0.02, -0.03), (90, 0.0, 0.0), (-133, 0.04, 0.05), (178, -0.05, 0.06)]


@pytest.mark.parametrize(("degrees", "across", "down"), MOTIONS)
def test_the_motion_is_found(degrees: float, across: float, down: float) -> None:
    moved = laid(key(), degrees, across, down).astype(np.float32)
    match = Template(key().astype(np.float32)).match(moved)
    off = (math.degrees(match.motion.turn) - degrees + 180) % 360 - 180
    assert abs(off) < 0.5
    assert abs(match.motion.across - across) < 0.005
    assert abs(match.motion.down - down) < 0.005
    assert match.likeness > 0.97
    assert match.margin > 0.15


def test_light_that_changes_and_noise_move_nothing() -> None:
    rng = np.random.default_rng(0)
    moved = laid(key(), 40, 0.03, 0.02).astype(np.float32)
    y, x = np.mgrid[:128, :128] / 128
    lit = moved * (0.6 + 0.5 * x) + 40 * y + rng.normal(0, 8, moved.shape)
    match = Template(key().astype(np.float32)).match(lit.astype(np.float32))
    assert abs(math.degrees(match.motion.turn) - 40) < 1
    assert abs(match.motion.across - 0.03) < 0.01


def test_what_is_round_has_no_margin_and_a_flat_picture_no_likeness() -> None:
    y, x = np.mgrid[:96, :96]
    disc = np.where(np.hypot(x - 47.5, y - 47.5) < 30, 180, 40).astype(np.float32)
    assert Template(disc).match(disc).margin < 0.02
    flat = np.full((96, 96), 90, np.float32)
    assert Template(disc).match(flat).likeness < 0.1
    assert Template(flat).match(disc).likeness < 0.1


def test_affine_maps_are_put_together_and_undone() -> None:
    one = Affine(0.9, 0.2, 3.0, -0.1, 1.1, -2.0)
    other = scaling(2.0, 3.0).after(one)
    assert other(1.0, 2.0) == pytest.approx((2 * one(1.0, 2.0)[0], 3 * one(1.0, 2.0)[1]))
    assert one.inverse()(*one(5.0, 7.0)) == pytest.approx((5.0, 7.0))


@pytest.fixture(scope="module", params=[(256, 256), (200, 300)])
def registered(request: pytest.FixtureRequest) -> tuple[Registration, np.ndarray]:
    """One that shows the shape alone, and the photograph of its reference."""
    photograph = key(request.param)
    reference = grey(Image.fromarray(photograph), reference_size(request.param))
    side = 1 / max(request.param)
    height, width = 0.45 * request.param[0] * side, 0.7 * request.param[1] * side
    window = Window(0.0, -0.03 * request.param[1] * side, 0.0, width, height)
    return Registration(
        reference.astype(np.uint8), 0.6, window, (64, 128), request.param
    ), photograph


@pytest.mark.parametrize(("degrees", "across", "down"), MOTIONS)
def test_what_is_shown_is_the_part_however_it_lies(
    registered: tuple[Registration, np.ndarray], degrees: float, across: float, down: float
) -> None:
    registration, photograph = registered
    wanted = registration.shown(Image.fromarray(photograph).convert("RGB"), None, "bilinear")
    moved = Image.fromarray(laid(photograph, degrees, across, down)).convert("RGB")
    motion = registration.find(moved, photograph.shape, "bilinear")
    assert motion is not None
    shown = registration.shown(moved, motion, "bilinear")
    assert shown.shape == (64, 128, 3)
    off = np.abs(shown.astype(float) - wanted)
    # Where a turn has moved something out of the picture it goes on the other way round.
    assert off.mean() < 6
    assert np.median(off) < 2


@pytest.mark.parametrize(("degrees", "across", "down"), MOTIONS[:4])
def test_a_map_goes_back_to_where_the_photograph_shows_it(
    registered: tuple[Registration, np.ndarray], degrees: float, across: float, down: float
) -> None:
    registration, photograph = registered
    size = photograph.shape
    spot = np.zeros(size, np.uint8)
    spot[size[0] // 2 - 5 : size[0] // 2 + 5, size[1] // 2 - 5 : size[1] // 2 + 5] = 255
    moved, at = (laid(picture, degrees, across, down) for picture in (photograph, spot))
    motion = registration.find(Image.fromarray(moved).convert("RGB"), size, "bilinear")
    seen = registration.shown(Image.fromarray(at).convert("RGB"), motion, "bilinear")[..., 0]
    maps = torch.from_numpy(seen.astype(np.float32))[None] + 3
    view = Transform((size[0] // 2, size[1] // 2))
    size_of_maps = view.output_size
    affine = registration.affine(motion, size_of_maps)
    back = moved_back(maps[0], affine, size_of_maps).numpy()
    assert back.shape == view.output_size
    assert back.min() == 3
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    weights = at.astype(float)
    middle = (weights * y).sum() / weights.sum() / 2, (weights * x).sum() / weights.sum() / 2
    y, x = np.mgrid[: back.shape[0], : back.shape[1]] + 0.5
    weights = back - 3
    found = (weights * y).sum() / weights.sum(), (weights * x).sum() / weights.sum()
    assert found == pytest.approx(middle, abs=0.7)


def test_another_thing_and_another_shape_cannot_be_registered(
    registered: tuple[Registration, np.ndarray],
) -> None:
    registration, photograph = registered
    noise = np.random.default_rng(0).integers(0, 256, (*photograph.shape, 3)).astype(np.uint8)
    assert registration.find(Image.fromarray(noise), photograph.shape, "bilinear") is None
    picture = Image.fromarray(photograph).convert("RGB")
    narrow = photograph.shape[0], photograph.shape[1] // 2
    assert registration.find(picture, narrow, "bilinear") is None


def test_a_photograph_that_was_brought_to_the_size_before_gives_the_same_bits(
    registered: tuple[Registration, np.ndarray],
) -> None:
    registration, photograph = registered
    large = (
        Image.fromarray(photograph)
        .convert("RGB")
        .resize((630, 630 * photograph.shape[0] // photograph.shape[1]))
    )
    size = large.height, large.width
    brought = registration.brings("bilinear").resized(large)
    motion = registration.find(large, size, "bilinear")
    assert registration.find(brought, size, "bilinear") == motion
    shown = [registration.shown(image, motion, "bilinear") for image in (large, brought)]
    assert np.array_equal(*shown)


def test_it_is_sent_without_what_follows_from_it(
    registered: tuple[Registration, np.ndarray],
) -> None:
    registration, photograph = registered
    picture = Image.fromarray(photograph).convert("RGB")
    motion = registration.find(picture, photograph.shape, "bilinear")
    sent = pickle.dumps(registration)
    assert len(sent) < 30_000
    assert pickle.loads(sent).find(picture, photograph.shape, "bilinear") == motion


def test_whoever_registers_nothing_imports_no_arithmetic() -> None:
    # A decoder's process has too little memory for torch.
    script = "import sys, anomalist.data; print({'torch', 'scipy.fft'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_the_key_tells_registrations_apart(registered: tuple[Registration, np.ndarray]) -> None:
    registration, _ = registered
    other = Registration(
        registration.reference, 0.61, registration.window, registration.frame, registration.source
    )
    assert registration.key != other.key
