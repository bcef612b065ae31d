from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from anomalist.data import Transform
from anomalist.errors import DataError
from anomalist.inspection import Rule
from anomalist.report import overlay
from anomalist.server.heatmaps import Heatmap

RULE = Rule(
    alpha=0.05, threshold=3.0, pixel_threshold=4.0, low=2.0, high=4.0, given=False, images=40,
    scenes=40,
)  # fmt: skip


def some_map() -> np.ndarray:
    rows, columns = np.mgrid[:32, :32]
    return (7 * np.exp(-((rows - 10) ** 2 + (columns - 20) ** 2) / 40)).astype(np.float32)


def test_it_is_drawn_as_the_map_itself_is() -> None:
    photograph = np.random.default_rng(0).integers(0, 255, (96, 80, 3), np.uint8)
    transform = Transform(40, crop_size=32)
    kept = Heatmap.from_bytes(Heatmap.of(some_map(), RULE, transform).to_bytes())
    drawn = kept.over(photograph).astype(int)
    placed = transform.on_original(some_map(), (96, 80))
    expected = overlay(photograph, placed, low=2.0, high=4.0, threshold=4.0).astype(int)
    # But for the levels: at most a shade, and a line that moves by a part of a pixel.
    apart = np.abs(drawn - expected).max(axis=2)
    assert np.median(apart) <= 1
    assert (apart > 8).mean() < 0.02


def test_it_is_small() -> None:
    values = np.kron(some_map(), np.ones((8, 8), np.float32))
    assert len(Heatmap.of(values, RULE, Transform(256)).to_bytes()) < 20_000


def test_without_a_calibration_it_has_its_own_scale() -> None:
    rule = dataclasses.replace(RULE, low=None, high=None, pixel_threshold=None)
    kept = Heatmap.of(some_map(), rule, Transform(32))
    assert kept.levels.max() == 255
    assert not kept.line
    flat = Heatmap.of(np.ones((8, 8), np.float32), rule, Transform(8))
    assert flat.levels.max() == 0


def test_a_layer_is_clear_where_all_is_good_and_where_nothing_was_seen() -> None:
    kept = Heatmap.of(some_map(), RULE, Transform(40, crop_size=32))
    layer = kept.layer((96, 80))
    assert layer.shape == (96, 80, 4)
    assert layer[0, 0, 3] == 0
    assert layer[..., 3].max() == 255


def test_what_is_ignored_is_kept_and_has_a_line_around_it() -> None:
    values = some_map()
    values[8:20, 4:12] = np.nan
    kept = Heatmap.from_bytes(Heatmap.of(values, RULE, Transform(32)).to_bytes())
    assert np.array_equal(kept.seen, ~np.isnan(values))
    assert not kept.mask((32, 32))[8:20, 4:12].any()
    assert not kept.layer((32, 32))[8:20, 4:12, 3].any()
    drawn = kept.over(np.full((96, 96, 3), 128, np.uint8))
    assert (drawn[30:54, 18:30] == 128).all()
    assert (drawn == 255).all(axis=2)[18:60, 6:42].sum() > 40


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_damaged_is_told(data: bytes) -> None:
    with pytest.raises(DataError, match="damaged"):
        Heatmap.from_bytes(data)
