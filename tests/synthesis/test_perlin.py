from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy
from torch.nn.functional import adaptive_max_pool2d

from anomalist.errors import ParameterError
from anomalist.synthesis import perlin_mask, perlin_noise, pool_mask
from tests.reference import perlin as reference

SIDES = st.integers(1, 40)
CELLS = st.integers(1, 50)


@settings(max_examples=60)
@given(SIDES, SIDES, CELLS, CELLS, st.integers(0, 99))
def test_noise_equals_the_slow_one(
    height: int, width: int, scale_y: int, scale_x: int, seed: int
) -> None:
    shape, scale = (height, width), (scale_y, scale_x)
    noise = perlin_noise(shape, scale, np.random.default_rng(seed))
    assert noise.dtype == np.float32
    expected = reference.perlin_noise(shape, scale, np.random.default_rng(seed))
    np.testing.assert_allclose(noise, expected, atol=2e-6)


def test_noise_is_continuous_across_cells() -> None:
    noise = perlin_noise((512, 512), (4, 2), np.random.default_rng(0))
    slope = max(np.abs(np.diff(noise, axis=0)).max() * 128, np.abs(np.diff(noise, axis=1)).max())
    assert slope < 4
    assert noise.std() > 0.2


@pytest.mark.parametrize(("shape", "scale"), [((0, 5), (1, 1)), ((5, 5), (0, 1))])
def test_noise_needs_positive_sizes(shape: tuple[int, int], scale: tuple[int, int]) -> None:
    with pytest.raises(ParameterError, match="1 or more"):
        perlin_noise(shape, scale, np.random.default_rng(0))


@settings(max_examples=60)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 45), st.integers(1, 45), st.integers(0)
)
def test_pooling_equals_the_slow_one_and_torch(
    height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) > 0.9
    pooled = pool_mask(mask, (rows, columns))
    assert pooled.shape == (rows, columns)
    assert np.array_equal(pooled, reference.pool_mask(mask, (rows, columns)))
    torchs = adaptive_max_pool2d(from_numpy(mask[None].astype(np.float32)), (rows, columns))
    assert np.array_equal(pooled, torchs[0].numpy() > 0)


def test_pooling_works_on_views() -> None:
    mask = np.zeros((8, 8), bool)
    mask[5, 0] = True
    assert np.array_equal(pool_mask(mask[::-1].T, (2, 2)), [[True, False], [False, False]])


@settings(max_examples=40)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 999), st.floats(0, 1))
def test_masks_are_inside_the_foreground_and_never_empty(
    height: int, width: int, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    foreground = rng.random((height, width)) < share
    mask = perlin_mask((height, width), (4, 4), rng, foreground)
    assert mask.shape == (height, width)
    assert mask.dtype == np.bool_
    assert mask.any()
    assert pool_mask(mask, (4, 4)).any()
    if foreground.any():
        assert not (mask & ~foreground).any()


def test_an_empty_foreground_counts_as_none() -> None:
    nowhere = np.zeros((64, 64), bool)
    expected = perlin_mask((64, 64), (8, 8), np.random.default_rng(3))
    mask = perlin_mask((64, 64), (8, 8), np.random.default_rng(3), nowhere)
    assert np.array_equal(mask, expected)


def test_noise_that_always_misses_ends_near_a_pixel_of_the_foreground(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "anomalist.synthesis.perlin.perlin_noise", lambda *_: np.zeros((64, 64), np.float32)
    )
    foreground = np.zeros((64, 64), bool)
    foreground[:, 10:12] = True
    mask = perlin_mask((64, 64), (8, 8), np.random.default_rng(0), foreground)
    assert mask.any()
    assert not (mask & ~foreground).any()
    assert np.ptp(np.nonzero(mask)[0]) <= 16


def test_masks_follow_the_generator_and_leave_the_foreground_as_it_is() -> None:
    foreground = np.ones((64, 64), bool)
    first, again, other = (
        perlin_mask((64, 64), (8, 8), np.random.default_rng(seed), foreground) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert foreground.all()


def test_masks_are_few_and_many_small_and_large() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([perlin_mask((288, 288), (36, 36), rng).mean() for _ in range(200)])
    # Two noises at 0.5 cover a tenth of an image at most, or nearly so.
    assert 0.02 < shares.mean() < 0.1
    assert shares.min() < 0.005
    assert shares.max() > 0.1


def test_a_foreground_of_another_shape_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"\(8, 9\)"):
        perlin_mask((8, 8), (2, 2), np.random.default_rng(0), np.ones((8, 9), bool))
