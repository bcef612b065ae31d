from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from anomalist.drawing import colour_map, overlay
from anomalist.errors import DataError, ParameterError
from tests.drawing.eyes import CYAN, SCALE, VISION, cie_lightness, grey, is_colour


@pytest.mark.parametrize("vision", VISION)
def test_lightness_rises_with_the_anomaly_for_every_eye(vision: str) -> None:
    lightness = cie_lightness(colour_map(np.linspace(0, 1, 50)), vision)
    assert (np.diff(lightness) > 0).all()
    assert lightness[-1] - lightness[0] > 65


def test_one_colour_means_the_same_in_every_picture() -> None:
    values = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 99.0]])
    photograph = grey(1, 7)
    picture = overlay(photograph, values, **SCALE, opacity=1.0)
    assert np.array_equal(picture[0, :2], photograph[0, :2])
    expected = colour_map(np.array([0.5, 0.75, 1.0, 1.0])).astype(int)
    assert np.abs(picture[0, 3:].astype(int) - expected).max() <= 2
    for i in range(7):
        alone = overlay(photograph[:, :1], values[:, i : i + 1], **SCALE, opacity=1.0)
        assert np.array_equal(alone[0, 0], picture[0, i])


def test_a_good_part_looks_like_its_photograph() -> None:
    rng = np.random.default_rng(0)
    photograph = rng.integers(0, 256, (32, 32, 3), np.uint8)
    typical = overlay(photograph, np.full((32, 32), 2.5), **SCALE, threshold=4.0)
    assert np.abs(typical.astype(int) - photograph).max() < 12
    below = overlay(photograph, np.full((32, 32), -5.0), **SCALE, threshold=4.0)
    assert np.array_equal(below, photograph)


def test_more_anomalous_covers_more() -> None:
    values = np.linspace(2, 4, 40)[None]
    black, white = (overlay(grey(1, 40, v), values, **SCALE).astype(int) for v in (0, 255))
    through = (white - black).mean(axis=2)[0] / 255
    assert through[0] == 1
    assert (np.diff(through) <= 0).all()
    assert through[-1] == pytest.approx(0.4, abs=0.01)


def test_a_line_runs_around_what_is_above_the_threshold() -> None:
    values = np.full((40, 50), 2.0)
    values[10:20, 15:30] = 4.0
    photograph = grey(40, 50)
    # Exactly at the threshold is normal.
    assert not is_colour(overlay(photograph, values, **SCALE, threshold=4.0), CYAN).any()
    picture = overlay(photograph, values, **SCALE, threshold=3.9)
    above = values > 3.9
    line = is_colour(picture, CYAN)
    assert np.array_equal(line, ndimage.binary_dilation(above, np.ones((5, 5))) & ~above)
    edge = is_colour(picture, (0, 0, 0))
    assert np.array_equal(edge | line, ndimage.binary_dilation(above, np.ones((7, 7))) & ~above)
    assert np.array_equal(picture[~(edge | line | above)], photograph[~(edge | line | above)])
    assert not is_colour(overlay(photograph, values, **SCALE), CYAN).any()


@settings(max_examples=60)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_dashes_of_black_and_white_run_around_the_truth(
    height: int, width: int, share: float, seed: int
) -> None:
    rough = np.random.default_rng(seed).random((height, width))
    truth = ndimage.uniform_filter(rough, 3) < share
    photograph = grey(height, width)
    picture = overlay(photograph, np.zeros((height, width)), **SCALE, truth=truth)
    black, white = is_colour(picture, (0, 0, 0)), is_colour(picture, (255, 255, 255))
    around = ndimage.binary_dilation(truth, np.ones((5, 5))) & ~truth
    assert np.array_equal(black | white, around)
    assert np.array_equal(picture[~around], photograph[~around])
    inner = np.pad(truth, 3)
    whole = overlay(grey(*inner.shape), np.zeros(inner.shape), **SCALE, truth=inner)
    for colour in ((0, 0, 0), (255, 255, 255)):
        assert is_colour(whole, colour).any() == truth.any()


def test_truth_and_threshold_are_told_apart_in_grey_and_by_every_eye() -> None:
    area = np.zeros((120, 160), bool)
    area[30:80, 40:110] = True
    photograph = grey(120, 160)
    zeros = np.zeros(area.shape)
    dashed = overlay(photograph, zeros, **SCALE, truth=area)
    solid = overlay(photograph, np.where(area, 4.0, 0.0), **SCALE, threshold=3.0)
    ring = ndimage.binary_dilation(area, np.ones((5, 5))) & ~area
    for vision in VISION:
        dashes = cie_lightness(dashed[ring], vision)
        assert np.mean(dashes < 5) == pytest.approx(0.5, abs=0.1)
        assert np.mean(dashes > 95) == pytest.approx(0.5, abs=0.1)
        line = cie_lightness(solid[ring], vision)
        assert line.min() > 75
        assert np.ptp(line) < 1
    # Nothing of the defect itself is hidden.
    assert np.array_equal(dashed[area], photograph[area])


def test_a_map_is_brought_to_the_size_of_the_photograph() -> None:
    coarse = np.array([[2.0, 4.0], [2.0, 4.0]])
    picture = overlay(grey(40, 80), coarse, **SCALE, opacity=1.0)
    assert picture.shape == (40, 80, 3)
    bilinear = np.clip((np.arange(80) + 0.5) / 40 - 0.5, 0, 1)[None].repeat(40, 0)
    whole = overlay(grey(40, 80), 2 + 2 * bilinear, **SCALE, opacity=1.0)
    assert np.abs(picture.astype(int) - whole).max() <= 3


def test_what_the_detector_did_not_see_stays_as_it_is() -> None:
    values = np.full((30, 30), np.nan)
    values[8:22, 8:22] = 9.0
    photograph = grey(30, 30)
    picture = overlay(photograph, values, **SCALE)
    outside = np.ones((30, 30), bool)
    outside[6:24, 6:24] = False
    assert np.array_equal(picture[outside], photograph[outside])
    assert is_colour(picture, (255, 255, 255))[7, 7:23].all()
    assert is_colour(picture, (0, 0, 0))[6, 6:24].all()


def test_a_scale_without_extent_shows_what_lies_above_it() -> None:
    picture = overlay(grey(1, 2), np.array([[1.0, 1.1]]), low=1.0, high=1.0, opacity=1.0)
    assert picture[0].tolist() == [[120, 120, 120], colour_map(np.array(1.0)).tolist()]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"low": 5.0}, ParameterError, "high not below low, not 5.0, 4.0"),
        ({"high": np.inf}, ParameterError, "must be finite"),
        ({"low": np.nan}, ParameterError, "must be finite"),
        ({"opacity": 1.5}, ParameterError, "opacity must be from 0 to 1"),
        ({"truth": np.zeros((3, 3), bool)}, DataError, r"truth has shape \(3, 3\)"),
        ({"photograph": np.zeros((4, 4), np.uint8)}, DataError, "uint8 array of shape"),
        ({"photograph": np.zeros((4, 4, 3))}, DataError, "not float64"),
    ],
)
def test_senseless_overlays_are_refused(changes: Any, error: Any, message: str) -> None:
    arguments = {"photograph": grey(4, 4), "anomaly_map": np.zeros((4, 4)), **SCALE, **changes}
    with pytest.raises(error, match=message):
        overlay(**arguments)
