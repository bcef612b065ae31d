from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anomalist.data import Sample, Transform
from anomalist.inspection import Rule, find_regions


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_regions_cover_what_is_above_and_nothing_else(seed: int, threshold: float) -> None:
    values = np.random.default_rng(seed).random((9, 12)).astype(np.float32)
    values[:2] = np.nan
    above = values > np.float32(threshold)
    regions = find_regions(values, float(np.float32(threshold)))
    assert sum(region.area for region in regions) == above.sum()
    covered = np.zeros_like(above)
    for region in regions:
        x, y, width, height = region.box
        inside = above[y : y + height, x : x + width]
        assert inside.any(axis=0).any()
        assert inside[0].any() and inside[-1].any()  # noqa: PT018 - no wider than it must be
        assert inside[:, 0].any() and inside[:, -1].any()  # noqa: PT018
        covered[y : y + height, x : x + width] = True
    assert not (above & ~covered).any()
    peaks = [region.peak for region in regions]
    assert peaks == sorted(peaks, reverse=True)
    if peaks:
        assert peaks[0] == values[above].max()


@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0.0, 0.3),
    size=st.tuples(st.integers(8, 90), st.integers(8, 90)),
    crop=st.sampled_from([None, 12, 15]),
)
def test_regions_on_a_photograph_are_those_of_the_whole_map(
    seed: int, share: float, size: tuple[int, int], crop: int | None
) -> None:
    rng = np.random.default_rng(seed)
    transform = Transform((16, 18), crop_size=crop)
    values = rng.normal(0, 0.1, transform.output_size).astype(np.float32)
    values[rng.random(values.shape) < share] += 2
    rule = Rule(
        alpha=0.05, threshold=1.0, pixel_threshold=1.0, low=0.0, high=1.0, given=False, images=20,
        scenes=20,
    )  # fmt: skip
    sample = Sample("a", image=np.zeros(size, np.uint8))
    found = rule._regions(transform, sample, values)
    whole = find_regions(transform.on_original(values, size), 1.0)
    assert found is not None
    assert [one.box for one in found] == [one.box for one in whole]
    assert [one.area for one in found] == [one.area for one in whole]
    np.testing.assert_allclose([one.peak for one in found], [one.peak for one in whole], rtol=1e-5)
