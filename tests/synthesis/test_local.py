from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional

from anomalist.data import Transform
from anomalist.errors import ParameterError
from anomalist.synthesis import LocalSynthesis, Textures, local


def synthesis(**changes: Any) -> LocalSynthesis:
    values: dict[str, Any] = {"textures": Textures(), "transform": Transform(64), "grid": (8, 8)}
    return LocalSynthesis(**values | changes)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (64, 64, 3), np.uint8)


def plain(tmp_path: Path, level: int, size: tuple[int, int] = (70, 90)) -> Textures:
    Image.new("L", size, level).save(tmp_path / "plain.png")
    return Textures(tmp_path)


def test_only_the_mask_changes_and_the_image_given_stays(image: np.ndarray) -> None:
    before = image.copy()
    foreground = np.zeros((64, 64), bool)
    foreground[10:50, 20:60] = True
    for seed in range(30):
        anomalous, mask = synthesis()(image, np.random.default_rng(seed), foreground)
        assert anomalous.dtype == np.uint8
        assert mask.any()
        assert not (mask & ~foreground).any()
        assert np.array_equal(anomalous[~mask], before[~mask])
        assert (anomalous != before).any()
    assert np.array_equal(image, before)


def test_blend_is_the_papers(image: np.ndarray, tmp_path: Path) -> None:
    textures = plain(tmp_path, 200)
    mixed = synthesis(textures=textures, mean=0.3, std=0.0, rand_aug=False)
    anomalous, mask = mixed(image, np.random.default_rng(0))
    expected = 0.7 * 200 + 0.3 * image[mask].astype(float)
    assert np.abs(anomalous[mask] - expected).max() <= 0.5 + 1e-4


@pytest.mark.parametrize(("mean", "kept"), [(0.0, 0.2), (1.0, 0.8)])
def test_opacity_is_cut(image: np.ndarray, tmp_path: Path, mean: float, kept: float) -> None:
    mixed = synthesis(textures=plain(tmp_path, 0), mean=mean, std=0.01, rand_aug=False)
    anomalous, mask = mixed(image, np.random.default_rng(1))
    assert np.abs(anomalous[mask] - kept * image[mask].astype(float)).max() <= 0.5 + 1e-4


def test_opacity_varies(tmp_path: Path) -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    mixed = synthesis(textures=plain(tmp_path, 0), rand_aug=False)
    rng = np.random.default_rng(0)
    betas = []
    for _ in range(200):
        anomalous, mask = mixed(white, rng)
        betas.append(anomalous[mask].mean() / 255)
    assert np.mean(betas) == pytest.approx(0.5, abs=0.03)
    assert np.std(betas) == pytest.approx(0.1, abs=0.02)


def test_everything_follows_the_generator(image: np.ndarray) -> None:
    first = [synthesis()(image, np.random.default_rng(s)) for s in range(12)]
    again = [synthesis()(image, np.random.default_rng(s)) for s in range(12)]
    for (a, m), (b, n) in zip(first, again, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(m, n)
    assert len({anomalous.tobytes() for anomalous, _ in first}) == 12


@pytest.mark.parametrize("size", [(30, 20), (20, 30), (500, 64), (64, 64), (1, 1)])
@pytest.mark.parametrize(
    "transform", [Transform(64), Transform((80, 64)), Transform(72, 64), Transform((64, 100), 48)]
)
def test_textures_of_any_shape_cover_the_image(
    tmp_path: Path, size: tuple[int, int], transform: Transform
) -> None:
    image = np.zeros((*transform.output_size, 3), np.uint8)
    mixed = synthesis(
        textures=plain(tmp_path, 255, size), transform=transform, std=0.0, rand_aug=False
    )
    anomalous, mask = mixed(image, np.random.default_rng(0))
    assert (anomalous[mask] == 128).all()


def test_textures_keep_their_proportions(tmp_path: Path) -> None:
    pixels = np.zeros((100, 400), np.uint8)
    pixels[:, 195:205] = 255  # 10 of 100 pixels high
    Image.fromarray(pixels).save(tmp_path / "line.png")
    texture = synthesis(textures=Textures(tmp_path), rand_aug=False)._texture(
        np.random.default_rng(0)
    )
    assert texture.shape == (64, 64, 3)
    assert (texture[30, :, 0] > 127).sum() == pytest.approx(6.4, abs=1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("_mirror", functional.hflip),
        ("_flip", functional.vflip),
        ("_grey", lambda picture: functional.to_grayscale(picture, 3)),
        ("_autocontrast", functional.autocontrast),
        ("_equalize", functional.equalize),
    ],
)
def test_fixed_augmentations_equal_torchvisions(ours: str, theirs: Any) -> None:
    picture = Textures()(np.random.default_rng(0))
    result = getattr(local, ours)(picture, np.random.default_rng(1))
    assert np.array_equal(np.asarray(result), np.asarray(theirs(picture)))


def test_random_augmentations_equal_torchvisions() -> None:
    picture = Textures()(np.random.default_rng(0))

    def drawn(low: float, high: float) -> float:
        return float(np.random.default_rng(1).uniform(low, high))

    factor = drawn(0.8, 1.2)
    rng = np.random.default_rng(1)
    factor_first, hue = rng.uniform(0.8, 1.2), rng.uniform(-0.2, 0.2)
    expected = {
        "_contrast": functional.adjust_contrast(picture, factor),
        "_brightness": functional.adjust_brightness(picture, factor),
        "_rotation": functional.rotate(picture, drawn(-45, 45)),
        "_colour": functional.adjust_hue(functional.adjust_saturation(picture, factor_first), hue),
    }
    for name, theirs in expected.items():
        ours = np.asarray(getattr(local, name)(picture, np.random.default_rng(1)), int)
        # Their hue is cut to a whole step where ours is rounded.
        assert np.abs(ours - np.asarray(theirs)).max() <= (12 if name == "_colour" else 0)


def test_augmentation_can_be_left_out(image: np.ndarray) -> None:
    augmented, _ = synthesis()(image, np.random.default_rng(0))
    plain_one, _ = synthesis(rand_aug=False)(image, np.random.default_rng(0))
    assert not np.array_equal(augmented, plain_one)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"grid": (0, 8)}, "grid"), ({"mean": 1.5}, "mean"), ({"std": -1.0}, "std")],
)
def test_parameters_that_make_no_sense(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        synthesis(**changes)


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ParameterError, match="64 x 64"):
        synthesis()(np.zeros((64, 60, 3), np.uint8), np.random.default_rng(0))
