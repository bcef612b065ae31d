from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anomalist.data import Defect
from anomalist.errors import DataError, ParameterError
from anomalist.metrics import SPRO_LIMITS, pro, spro, summary
from tests.reference import spro as reference

Array = npt.NDArray[Any]


def plain(defects: list[list[Defect]]) -> list[list[tuple[Array, float]]]:
    return [[(d.pixels, d.saturation) for d in of_image] for of_image in defects]


@settings(max_examples=80, derandomize=True, deadline=None)
@given(
    arrays(np.int8, (3, 5, 6), elements=st.integers(-3, 3)),
    arrays(np.bool_, (4, 5, 6)),
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
    st.lists(st.sampled_from([1, 2, 5, 2.5, 30, 1000]), min_size=4, max_size=4),
    st.sampled_from([1, 5, 1 << 22]),
)
def test_equal_to_the_definition_on_any_tied_maps_and_defects_that_overlap(
    maps: Array, shapes: Array, images: list[int], areas: list[float], positives: int
) -> None:
    defects: list[list[Defect]] = [[], [], []]
    for pixels, image, area in zip(shapes, images, areas, strict=True):
        pixels[0, 0] = True
        pixels[4] = False  # somewhere nothing is defective
        # A saturation area is at most the defect's.
        defects[image].append(Defect(pixels, min(area, float(pixels.sum()))))
    limits = [0.01, 0.3, 0.6, 1.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summary, "POSITIVES", positives)
        ours = spro(maps, defects, limits)
    expected = [reference.spro(maps, plain(defects), limit) for limit in limits]
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def drawn(seed: int = 0) -> tuple[Array, list[list[Defect]]]:
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(5, 24, 31))
    defects: list[list[Defect]] = [[]]
    for values in maps[1:]:
        of_image = []
        for _ in range(rng.integers(1, 4)):
            pixels = np.zeros(values.shape, bool)
            y, x = rng.integers(0, 16, 2)
            pixels[y : y + rng.integers(2, 8), x : x + rng.integers(2, 9)] = True
            values[pixels] += 0.8
            of_image.append(Defect(pixels, float(rng.integers(1, pixels.sum() + 1))))
        defects.append(of_image)
    return maps, defects


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.uint8])
def test_equal_to_the_definition(dtype: Any) -> None:
    maps, defects = drawn()
    maps = (40 * maps + 128).astype(dtype)
    expected = [reference.spro(maps.astype(float), plain(defects), limit) for limit in SPRO_LIMITS]
    assert spro(maps, defects, SPRO_LIMITS) == pytest.approx(expected, abs=1e-12)
    assert spro(maps, defects) == spro(maps, defects, SPRO_LIMITS)[1]


def test_saturated_at_their_own_area_single_regions_give_pro() -> None:
    maps, _ = drawn()
    masks = np.zeros(maps.shape, bool)
    masks[1, 3:9, 4:12] = masks[2, 10:12, 20:22] = masks[3, :, 0] = True
    defects = [[Defect(mask, float(mask.sum()))] if mask.any() else [] for mask in masks]
    for limit in SPRO_LIMITS:
        assert spro(maps, defects, limit) == pytest.approx(pro(maps, masks, limit), abs=1e-12)


def test_constant_and_perfect_maps() -> None:
    maps, defects = drawn()
    assert spro(np.zeros(maps.shape), defects, 0.3) == pytest.approx(0.15)
    marked = [np.any([d.pixels for d in of] or [np.zeros(maps[0].shape)], axis=0) for of in defects]
    assert spro(np.array(marked, float), defects, 0.05) == pytest.approx(1, abs=1e-12)


def test_what_has_no_meaning_is_refused() -> None:
    maps, defects = drawn()
    shape = maps[0].shape
    for wrong in (
        Defect(np.zeros(shape, bool), 3.0),
        Defect(np.ones(shape, bool), 0.0),
        Defect(np.ones(shape, bool), float("nan")),
    ):
        with pytest.raises(DataError, match="both must be above 0"):
            spro(maps, [[wrong], *defects[1:]])
    with pytest.raises(DataError, match="don't fit"):
        spro(maps[:, 1:], defects)
    with pytest.raises(DataError, match="don't fit"):
        spro(maps, defects[1:])
    with pytest.raises(DataError, match="negative"):
        spro(maps, [[]] * len(maps))
    with pytest.raises(DataError, match="positive"):
        spro(maps, [[Defect(np.ones(shape, bool), 1.0)]] * len(maps))
    with pytest.raises(DataError, match="finite"):
        spro(np.where(maps > 2, np.nan, maps), defects)
    with pytest.raises(ParameterError, match="fpr_limit"):
        spro(maps, defects, [0.05, 0])
