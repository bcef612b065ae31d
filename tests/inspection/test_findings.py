from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anomalist.inspection import find_regions


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
