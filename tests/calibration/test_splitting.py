from __future__ import annotations

import numpy as np
import pytest

from anomalist.calibration import affordable_split, count_held_out, fewest_images, hold_out
from anomalist.errors import DataError, ParameterError


@pytest.mark.parametrize("n", [2, 3, 10, 41])
@pytest.mark.parametrize("split", [0.01, 0.3, 0.5, 0.99])
def test_a_share_is_held_out_and_never_all_or_none(n: int, split: float) -> None:
    held = hold_out(n, split, seed=3)
    assert held.sum() == count_held_out(n, split)
    assert 0 < held.sum() < n
    assert (held == hold_out(n, split, seed=3)).all()


def test_every_image_is_held_out_as_often_as_another() -> None:
    often = np.mean([hold_out(10, 0.3, seed=seed) for seed in range(4000)], axis=0)
    assert np.abs(often - 0.3).max() < 0.04


def test_groups_never_straddle_the_split() -> None:
    rng = np.random.default_rng(0)
    for seed in range(50):
        groups = rng.integers(0, 12, 40)
        held = hold_out(40, 0.3, seed=seed, groups=groups)
        assert not set(groups[held]) & set(groups[~held])
        assert len(set(groups[held])) == count_held_out(len(set(groups)), 0.3)


@pytest.mark.parametrize(("n", "groups"), [(0, None), (1, None), (3, [7, 7, 7])])
def test_too_few_to_split_are_told(n: int, groups: list[int] | None) -> None:
    with pytest.raises(DataError, match="at least 2 good images, one to fit and one to"):
        hold_out(n, 0.3, groups=groups)


@pytest.mark.parametrize("split", [-0.1, 0.0, 1.0, 2.0, float("nan")])
def test_what_is_no_share_is_refused(split: float) -> None:
    with pytest.raises(ParameterError, match="split must be"):
        hold_out(10, split)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1, 0.3])
def test_a_share_is_spared_exactly_where_it_gives_a_threshold(alpha: float) -> None:
    for n in range(400):
        spared = affordable_split(n, alpha)
        enough = n > 1 and count_held_out(n, 0.3) >= fewest_images(alpha)
        assert spared == (0.3 if enough else 0.0)
