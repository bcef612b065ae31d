"""No ignored pixel is measured: the figures are those of what is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist import evaluate
from anomalist.calibration import Calibration
from anomalist.data import ImageSet, Sample, Transform
from anomalist.metrics import ranking
from anomalist.predictions import Predictions

SIDE = 48


def predictions(folder: Path, height: int = SIDE) -> Predictions:
    """Of good images and defects, whose lower halves are as full of both."""
    rng = np.random.default_rng(0)
    samples, masks = [], []
    for i in range(10):
        mask = np.zeros((SIDE, SIDE), np.bool_)
        if i > 4:
            for top, left in rng.integers(0, SIDE - 8, (4, 2)):
                mask[top : top + 7, left : left + 5] = True
        mask = mask[:height]
        Image.fromarray(mask).save(folder / f"{i}_{height}_mask.png")
        Image.new("RGB", (SIDE, height)).save(folder / f"{i}_{height}.png")
        path = folder / f"{i}_{height}_mask.png" if mask.any() else None
        samples.append(Sample(folder / f"{i}_{height}.png", i > 4, "x" if i > 4 else "good", path))
        masks.append(mask)
    stacked = np.stack(masks)
    maps = rng.normal(size=(10, SIDE, SIDE)).astype(np.float32)[:, :height] + 1.5 * stacked
    return Predictions(
        [s.path for s in samples],
        maps.max(axis=(1, 2)),
        maps,
        np.arange(10) > 4,
        stacked,
        images=ImageSet(samples),
        transform=Transform((height, SIDE)),
    )


@pytest.mark.parametrize("at", ["original", "input"])
@pytest.mark.parametrize("chunk", [ranking.CHUNK, 300])
def test_what_is_left_is_measured(
    at: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomalist.metrics.pixels.CHUNK", chunk)
    whole, upper = predictions(tmp_path), predictions(tmp_path, SIDE // 2)
    ignored = np.zeros(whole.maps.shape, np.bool_)
    ignored[:, SIDE // 2 :] = True
    maps = whole.maps.copy()
    maps[ignored] = maps.min()
    whole = replace(whole, maps=maps, ignored=ignored, scores=upper.scores)
    expected = evaluate(upper, at=at, intervals=True, n_bootstrap=20)  # type: ignore[arg-type]
    found = evaluate(whole, at=at, intervals=True, n_bootstrap=20)  # type: ignore[arg-type]
    assert found.evaluated_at == at
    assert found.as_dict() == pytest.approx(expected.as_dict(), rel=1e-12)
    for name, ends in expected.intervals.items():
        assert found.intervals[name] == pytest.approx(ends, rel=1e-9)
    assert evaluate(replace(whole, ignored=None), at=at).pixel_AUROC != expected.pixel_AUROC  # type: ignore[arg-type]


def test_a_pixel_into_which_an_ignored_value_is_mixed_is_not_measured(tmp_path: Path) -> None:
    whole = predictions(tmp_path)
    small = replace(whole, maps=whole.maps[:, ::2, ::2], masks=None, transform=Transform(24))
    masks = np.stack([small.transform.mask(mask) for mask in whole.masks])  # type: ignore
    ignored = np.zeros(small.maps.shape, np.bool_)
    ignored[:, 5:9, 5:9] = True
    found = []
    for value in (-50.0, 50.0):
        maps = small.maps.copy()
        maps[ignored] = value
        found.append(evaluate(replace(small, maps=maps, masks=masks, ignored=ignored)).as_dict())
    assert found[0] == found[1]


def test_calibration_counts_no_ignored_pixel(tmp_path: Path) -> None:
    good = predictions(tmp_path)[:5]
    ignored = np.zeros(good.maps.shape, np.bool_)
    ignored[:, :30] = True
    maps = good.maps.copy()
    maps[ignored] = maps.min()
    found = Calibration.of(replace(good, maps=maps, ignored=ignored), method="")
    expected = Calibration.of(replace(good, maps=good.maps[:, 30:], masks=None), method="")
    assert np.array_equal(found.pixel_values, expected.pixel_values)
    assert found.pixel_mean == expected.pixel_mean


def test_predictions_keep_it_when_they_are_picked_and_joined(tmp_path: Path) -> None:
    some = predictions(tmp_path)
    ignored = np.random.default_rng(0).random(some.maps.shape) < 0.5
    some = replace(some, ignored=ignored)
    again = Predictions.join([some[3:], some[[0, 1, 2]]])
    assert again.ignored is not None
    assert np.array_equal(again.ignored, np.concatenate([ignored[3:], ignored[:3]]))
    assert np.array_equal(np.isnan(some.visible_map(4)), ignored[4])
