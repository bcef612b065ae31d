from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.errors import DataError
from anomalist.synthesis import Textures
from anomalist.synthesis.patterns import PATTERNS, draw_pattern


def test_drawn_textures_follow_the_generator() -> None:
    textures = Textures()
    drawn = [np.asarray(textures(np.random.default_rng(seed))) for seed in (0, 0, 1)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.__name__)
def test_every_pattern_varies_from_draw_to_draw_and_pixel_to_pixel(
    pattern: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomalist.synthesis.patterns.PATTERNS", (pattern,))
    drawn = [draw_pattern(np.random.default_rng(seed), 96).astype(float) for seed in range(12)]
    assert all(picture.shape == (96, 96, 3) for picture in drawn)
    assert np.median([picture.std(axis=(0, 1)).max() for picture in drawn]) > 8
    assert np.std([picture.mean() for picture in drawn]) > 10


@pytest.mark.parametrize("size", [1, 2, 7, 300])
def test_patterns_of_any_size(size: int) -> None:
    for seed in range(60 if size < 10 else 5):
        assert draw_pattern(np.random.default_rng(seed), size).shape == (size, size, 3)


def test_textures_from_a_folder_at_any_depth(tmp_path: Path) -> None:
    for name, level in (("a/striped/1.png", 10), ("b/2.jpg", 200)):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("L", (30, 20), level).save(tmp_path / name)
    textures = Textures(tmp_path)
    rng = np.random.default_rng(0)
    drawn = [textures(rng) for _ in range(20)]
    assert {(t.mode, t.size) for t in drawn} == {("RGB", (30, 20))}
    assert {t.getpixel((0, 0)) for t in drawn} == {(10, 10, 10), (200, 200, 200)}


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        Textures(tmp_path / "nowhere")
    with pytest.raises(DataError, match=f"{tmp_path.name} holds no image"):
        Textures(tmp_path)
    (tmp_path / "torn.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"torn\.png"):
        Textures(tmp_path)(np.random.default_rng(0))
