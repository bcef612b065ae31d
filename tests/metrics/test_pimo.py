from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anomalist.errors import DataError, ParameterError
from anomalist.metrics import aupimo, pimo
from anomalist.metrics.pimo import PerImageOverlap
from anomalist.metrics.pixels import Pixels
from tests.reference import pimo as reference

Array = npt.NDArray[Any]
Masks = npt.NDArray[np.bool_]

BOUNDS = st.sampled_from([(1e-5, 1e-4), (0.02, 0.3), (0.1, 0.9), (0.5, 1.0)])


def drawn(n: int = 8, good: int = 3, side: int = 40, seed: int = 0) -> tuple[Array, Masks]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, side, side), bool)
    for mask in masks[good:]:
        y, x = rng.integers(0, side - 8, 2)
        mask[y : y + rng.integers(2, 9), x : x + rng.integers(2, 9)] = True
    return rng.normal(size=masks.shape) + 2.5 * masks, masks


@settings(max_examples=80, derandomize=True, deadline=None)
@given(
    arrays(np.int8, (4, 5, 6), elements=st.integers(-3, 3)),
    arrays(np.bool_, (4, 5, 6)),
    BOUNDS,
    st.sampled_from([1, 7, 1 << 22]),
)
def test_equal_to_the_definition_on_any_tied_maps(
    maps: Array, masks: Masks, bounds: tuple[float, float], chunk: int
) -> None:
    masks[0] = False
    masks[1, 2, 3] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("anomalist.metrics.pixels.CHUNK", chunk)
        mean, scores = aupimo(maps, masks, fpr_bounds=bounds)
    expected = reference.aupimo(maps, masks, *bounds)
    np.testing.assert_allclose(scores, expected, atol=1e-12)
    assert mean == pytest.approx(np.nanmean(expected), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("bounds", [(1e-3, 1e-2), (1e-5, 1e-4), (0.01, 1.0)])
def test_equal_to_the_definition(dtype: Any, bounds: tuple[float, float]) -> None:
    maps, masks = drawn()
    maps = maps.astype(dtype)
    _, scores = aupimo(maps, masks, fpr_bounds=bounds)
    expected = reference.aupimo(maps.astype(float), masks, *bounds)
    np.testing.assert_allclose(scores, expected, atol=1e-9)


def test_pixels_of_images_with_defects_are_no_false_positives() -> None:
    maps, masks = drawn()
    louder = np.where(~masks & masks.any(axis=(1, 2), keepdims=True), maps + 100, maps)
    np.testing.assert_array_equal(aupimo(louder, masks)[1], aupimo(maps, masks)[1])


def test_constant_maps_find_nothing_and_perfect_ones_all() -> None:
    maps, masks = drawn()
    assert aupimo(np.zeros_like(maps), masks)[0] == 0.0
    assert aupimo(masks.astype(float), masks)[0] == 1.0
    assert aupimo(-masks.astype(float), masks)[0] == 0.0


def test_what_is_kept_of_good_images_bears_out_the_value_whatever_the_ceiling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maps, masks = drawn(14, good=9)
    maps[0] += 3  # one image has nearly all that is false
    whole = aupimo(maps, masks, fpr_bounds=(1e-3, 1e-2))
    monkeypatch.setattr(pimo, "MOST_KEPT", 1)
    few = aupimo(maps, masks, fpr_bounds=(1e-3, 1e-2))
    np.testing.assert_allclose(few[1], whole[1], atol=1e-12)
    pixels = Pixels.of_arrays(maps, masks)
    found = PerImageOverlap(pixels, ~masks.any(axis=(1, 2)), (1e-3, 1e-2))
    assert sum(map(len, found._tops)) <= 9 * 1e-2 * masks[0].size + 1


@pytest.mark.parametrize("levels", [None, 3])
def test_resamples_are_what_they_would_be_by_themselves(levels: int | None) -> None:
    maps, masks = drawn(12, good=5, side=30)
    maps[0] += 1.5
    if levels is not None:
        maps = np.round(maps * levels) / levels
    bounds = (1e-2, 1e-1)
    good = ~masks.any(axis=(1, 2))
    found = PerImageOverlap(Pixels.of_arrays(maps, masks), good, bounds)
    rng = np.random.default_rng(1)
    times = np.concatenate(
        [
            np.ones((1, 12), int),
            [rng.multinomial(5, [0.2] * 5).tolist() + [1] * 7 for _ in range(9)],
        ]
    )
    times[5:, 5:] = rng.multinomial(7, [1 / 7] * 7, size=5)
    values = found.resampled(times)
    for row, value in zip(times, values, strict=True):
        again = np.repeat(np.arange(12), row)
        alone = reference.aupimo(maps[again], masks[again], *bounds)
        assert value == pytest.approx(np.nanmean(alone), abs=1e-9 if levels else 5e-3)
    assert values[0] == pytest.approx(found.mean, abs=5e-3)


def test_images_of_other_sizes_weigh_alike() -> None:
    # The shared rate is a mean over images, not over pixels.
    rng = np.random.default_rng(0)
    from anomalist.data import ImageSet, Sample, Transform
    from anomalist.data.loader import load_masks
    from anomalist.predictions import Predictions

    masks = [np.zeros((60, 50), bool), np.zeros((20, 90), bool), np.zeros((30, 30), bool)]
    masks[2][4:9, 4:9] = True
    samples = [
        Sample(
            f"{i}.png", bool(m.any()), mask=m if m.any() else None, image=np.zeros(m.shape, "u1")
        )
        for i, m in enumerate(masks)
    ]
    images, transform = ImageSet(samples), Transform(16)
    maps = rng.normal(size=(3, 16, 16)).astype(np.float32)
    maps[2] += 1
    shown = load_masks(images, transform)
    predictions = Predictions(
        images.paths, maps.max(axis=(1, 2)), maps, images.labels, shown, images=images,
        transform=transform,
    )  # fmt: skip
    pixels = Pixels.at_original(predictions)
    assert pixels is not None
    found = PerImageOverlap(pixels, np.array([True, True, False]), (0.01, 0.2))
    from tests.reference import mvtec

    large = [
        mvtec.enlarged(v, transform.region(m.shape), m.shape)
        for v, m in zip(maps, masks, strict=True)
    ]
    expected = reference.aupimo(large, masks, 0.01, 0.2)
    assert 0 < expected[2] < 1
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)


def test_what_has_no_meaning_is_refused() -> None:
    maps, masks = drawn()
    for bounds in ((0.0, 0.1), (0.2, 0.1), (0.1, 0.1), (0.1, 1.1), (float("nan"), 0.1)):
        with pytest.raises(ParameterError, match="fpr_bounds"):
            aupimo(maps, masks, fpr_bounds=bounds)
    with pytest.raises(DataError, match="with defects: none of 3 have one"):
        aupimo(maps[:3], masks[:3])
    with pytest.raises(DataError, match="without a defect: all 5 have one"):
        aupimo(maps[3:], masks[3:])
    with pytest.raises(DataError, match="finite"):
        aupimo(np.where(maps > 2, np.nan, maps), masks)
    with pytest.raises(DataError, match="finite"):
        aupimo(np.where(masks, np.inf, maps), masks)
    with pytest.raises(DataError, match="shape"):
        aupimo(maps[1:], masks)
