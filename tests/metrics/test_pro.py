from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anomalist.errors import DataError, ParameterError
from anomalist.metrics import extra_limits, pro, pro_curve
from tests.reference import pro as reference

Array = npt.NDArray[Any]
Masks = npt.NDArray[np.bool_]


def sample(kind: str) -> tuple[Array, Masks]:
    rng = np.random.default_rng(3)
    masks = np.zeros((6, 24, 31), dtype=bool)
    masks[2, 3:9, 4:12] = True
    masks[2, 9:12, 12:20] = True  # touches the one before at a corner only
    masks[3, 0, :] = True  # along a border
    masks[3, 20:, 28:] = True  # in a corner
    masks[4, 10, 10] = True  # one pixel
    masks[5, ::4, ::4] = True  # many regions
    maps = rng.normal(size=masks.shape) + 1.2 * masks
    if kind == "float32":
        return maps.astype(np.float32), masks
    if kind == "tied":
        return np.round(maps), masks
    if kind == "two values":
        return (maps > 0.5).astype(np.uint8), masks
    if kind == "constant":
        return np.full(maps.shape, 3.5), masks
    if kind == "perfect":
        return masks.astype(float), masks
    if kind == "reversed":
        return -maps, masks
    if kind == "mostly defective":
        return -maps, ~masks
    return maps, masks


KINDS = [
    "float64",
    "float32",
    "tied",
    "two values",
    "constant",
    "perfect",
    "reversed",
    "mostly defective",
]


@pytest.mark.parametrize("fpr_limit", [0.001, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_the_plain_evaluation(kind: str, fpr_limit: float) -> None:
    maps, masks = sample(kind)
    expected = reference.pro(maps.astype(float), masks, fpr_limit)
    assert pro(maps, masks, fpr_limit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_several_limits_give_an_array_and_one_a_number(kind: str) -> None:
    maps, masks = sample(kind)
    several = pro(maps, masks, [0.3, 0.05, 1.0])
    assert several.tolist() == [pro(maps, masks, limit) for limit in (0.3, 0.05, 1.0)]
    assert type(pro(maps, masks, 0.05)) is float
    assert pro(maps, masks, np.array([0.05])).tolist() == [pro(maps, masks, 0.05)]


def test_limits_with_metrics_of_their_own() -> None:
    assert extra_limits([]) == ()
    assert extra_limits((1, 0.3, 0.05, 0.05)) == (0.05, 1.0)
    for limits in ([0.0], [2], [float("nan")], [0.0500000001, 0.05], [0.30000001]):
        with pytest.raises(ParameterError, match="limit"):
            extra_limits(limits)


@given(
    arrays(np.int8, (2, 5, 6), elements=st.integers(-2, 2)),
    arrays(np.bool_, (2, 5, 6)).filter(lambda masks: 0 < masks.sum() < masks.size),
    st.sampled_from([0.05, 0.3, 0.5, 1.0]),
)
def test_equal_to_the_plain_evaluation_on_any_tied_maps(
    maps: Array, masks: Masks, fpr_limit: float
) -> None:
    expected = reference.pro(maps.astype(float), masks, fpr_limit)
    assert pro(maps, masks, fpr_limit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_curve_has_the_plain_evaluations_corners_and_area(kind: str) -> None:
    maps, masks = sample(kind)
    fpr, overlap = pro_curve(maps, masks)
    assert (fpr[0], overlap[0], fpr[-1]) == (0, 0, 1)
    assert overlap[-1] == pytest.approx(1, abs=1e-12)
    assert (np.diff(fpr) >= 0).all()
    assert (np.diff(overlap) >= 0).all()
    for limit in (0.05, 0.3, 1.0):
        area = reference.area_up_to(fpr, overlap, limit) / limit
        assert area == pytest.approx(pro(maps, masks, limit), abs=1e-12)
    ours = np.round(np.stack([fpr, overlap], axis=1), 9).tolist()
    theirs = np.round(np.stack(reference.pro_curve(maps.astype(float), masks), axis=1), 9).tolist()
    assert set(map(tuple, ours)) <= set(map(tuple, theirs))


def test_small_and_large_regions_count_alike() -> None:
    masks = np.zeros((1, 20, 20), dtype=bool)
    masks[0, :10, :10] = True
    masks[0, 15, 15] = True
    only_large = np.where(masks, 1.0, 0.0)
    only_large[0, 15, 15] = -1.0
    only_small = np.where(masks, -1.0, 0.0)
    only_small[0, 15, 15] = 1.0
    assert pro(only_large, masks) == pytest.approx(pro(only_small, masks))


def test_corner_contact_joins_regions() -> None:
    masks = np.zeros((1, 6, 6), dtype=bool)
    masks[0, 0, 0] = masks[0, 1, 1] = True
    maps = np.zeros((1, 6, 6))
    maps[0, 0, 0] = 1.0
    maps[0, 1, 1] = -1.0
    fpr, overlap = pro_curve(maps, masks)
    assert overlap.tolist() == [0, 0.5, 0.5, 1]
    assert fpr.tolist() == [0, 0, 1, 1]


def test_normal_pixels_of_good_images_count_as_false_positives() -> None:
    masks = np.zeros((2, 4, 4), dtype=bool)
    masks[1, 0, 0] = True
    maps = np.zeros((2, 4, 4))
    maps[1, 0, 0] = 1.0
    maps[0] = 2.0
    fpr, _ = pro_curve(maps, masks)
    assert 16 / 31 in fpr.tolist()
    assert pro(maps, masks, 0.3) == 0.0


def test_thinned_curve() -> None:
    maps, masks = sample("float64")
    fpr, overlap = pro_curve(maps, masks, max_points=50)
    assert len(fpr) <= 50
    assert (fpr[0], overlap[0], fpr[-1]) == (0, 0, 1)


def test_masks_of_other_types() -> None:
    maps, masks = sample("float64")
    assert pro(maps, masks.astype(np.uint8)) == pro(maps, masks)
    with pytest.raises(DataError, match="masks must be 0 or 1, not 255"):
        pro(maps, masks.astype(np.uint8) * 255)


@pytest.mark.parametrize("fpr_limit", [0.0, -0.1, 1.01, float("nan")])
def test_limits_without_meaning_are_refused(fpr_limit: float) -> None:
    maps, masks = sample("float64")
    with pytest.raises(ParameterError, match="fpr_limit"):
        pro(maps, masks, fpr_limit)
    with pytest.raises(ParameterError, match="fpr_limit"):
        pro(maps, masks, [0.3, fpr_limit])
    with pytest.raises(ParameterError, match=r"shape \(1, 1\)"):
        pro(maps, masks, np.full((1, 1), 0.3))


@pytest.mark.parametrize("function", [pro, pro_curve])
def test_degenerate_maps_and_masks_are_refused(function: Any) -> None:
    maps, masks = sample("float64")
    with pytest.raises(DataError, match="negative"):
        function(maps, np.zeros_like(masks))
    with pytest.raises(DataError, match="positive"):
        function(maps, np.ones_like(masks))
    with pytest.raises(DataError, match=r"shape \(N, H, W\)"):
        function(maps[2], masks[2])
    with pytest.raises(DataError, match="scores have shape"):
        function(maps[:, 1:], masks)
    with pytest.raises(DataError, match="finite"):
        function(np.where(maps > 2, np.nan, maps), masks)
