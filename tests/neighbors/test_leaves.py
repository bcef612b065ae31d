from __future__ import annotations

import numpy as np
import pytest

from anomalist.neighbors.leaves import leaf_order


@pytest.mark.parametrize(("leaf", "group"), [(16, 512), (16, None), (64, None)])
def test_leaves_hold_every_row_once(leaf: int, group: int | None) -> None:
    points = np.zeros((1300, 5), np.float32)
    points[:, 2] = np.random.default_rng(0).standard_normal(1300)
    order = leaf_order(points, leaf, group)
    np.testing.assert_array_equal(np.sort(order), np.arange(1300))
    # Along one axis the boxes don't overlap: each leaf begins where the one before ended.
    leaves = points[order, 2][: 1300 // leaf * leaf].reshape(-1, leaf)
    assert (leaves.max(axis=1)[:-1] <= leaves.min(axis=1)[1:]).all()


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 512, 513])
def test_any_number_of_points(count: int) -> None:
    points = np.random.default_rng(count).integers(3, size=(count, 2)).astype(np.float32)
    np.testing.assert_array_equal(np.sort(leaf_order(points, 16, 512)), np.arange(count))


def test_groups_fill_small_boxes() -> None:
    points = np.random.default_rng(0).random((4096, 2), np.float32)
    groups = points[leaf_order(points, 16, 512)].reshape(8, 512, 2)
    areas = np.ptp(groups, axis=1).prod(axis=1)
    assert areas.sum() == pytest.approx(1, abs=0.05)  # they tile the square
