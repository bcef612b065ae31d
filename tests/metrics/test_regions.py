from __future__ import annotations

import numpy as np

from anomalist.metrics.regions import find_regions


def test_diagonal_neighbors_are_one_region_and_borders_do_not_wrap() -> None:
    mask = np.array(
        [
            [1, 0, 0, 0, 1],
            [0, 1, 0, 0, 0],
            [0, 0, 0, 0, 0],
            [1, 0, 0, 1, 1],
        ],
        dtype=bool,
    )
    regions = find_regions(mask[None])
    assert regions.per_image.tolist() == [4]
    # Row by row: the diagonal pair, the upper right corner, the pair, the lower left, the two.
    assert regions.inverse_area[0].tolist() == [1 / 2, 1, 1 / 2, 1, 1 / 2, 1 / 2]


def test_every_region_weighs_the_same_whatever_its_size_and_image() -> None:
    masks = np.zeros((3, 8, 8), dtype=bool)
    masks[0, :4, :4] = True
    masks[0, 6, 6] = True
    masks[2, 7, :] = True
    regions = find_regions(masks)
    assert regions.per_image.tolist() == [2, 0, 1]
    weights = np.zeros(masks.shape)
    weights[masks] = regions.weights
    np.testing.assert_allclose(weights[0, :4, :4].sum(), 1 / 3)
    np.testing.assert_allclose(weights[0, 6, 6], 1 / 3)
    np.testing.assert_allclose(weights[2].sum(), 1 / 3)


def test_no_region_weighs_nothing() -> None:
    regions = find_regions(np.zeros((2, 4, 4), dtype=bool))
    assert regions.per_image.tolist() == [0, 0]
    assert regions.weights.shape == (0,)
