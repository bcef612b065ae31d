from __future__ import annotations

from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalist.errors import ParameterError
from anomalist.neighbors.coreset import (
    LANES,
    greedy_coreset,
    greedy_coreset_with_radius,
    random_projection,
)
from tests.reference.coreset import greedy_coreset as slow_coreset

pytestmark = pytest.mark.usefixtures("two_threads")
BOTTLE = Path(__file__).parents[3] / "shared" / "data" / "mvtec_ad" / "bottle" / "train" / "good"


def assert_exact(embeddings, size, start=0):
    indices, radius = greedy_coreset_with_radius(embeddings, size, start=start)
    expected, expected_radius = slow_coreset(embeddings, size, start)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, expected)
    assert radius == expected_radius


def clustered(rng, n, d):
    centres = 10 * rng.normal(size=(20, d))
    return (centres[rng.integers(20, size=n)] + 0.3 * rng.normal(size=(n, d))).astype(np.float32)


KINDS = {
    "clustered": clustered,
    "normal": lambda rng, n, d: rng.normal(size=(n, d)).astype(np.float32),
    "uniform": lambda rng, n, d: rng.random((n, d), dtype=np.float32),
    "binary": lambda rng, n, d: rng.integers(2, size=(n, d)).astype(np.float32),
    "small integers": lambda rng, n, d: rng.integers(-2, 3, (n, d)).astype(np.float32),
    "tenths": lambda rng, n, d: rng.integers(5, size=(n, d)).astype(np.float32) / np.float32(10),
    "duplicates": lambda rng, n, d: clustered(rng, n, d)[rng.integers(1 + n // 10, size=n)],
    "far from zero": lambda rng, n, d: clustered(rng, n, d) + np.float32(1e5),
    "huge": lambda rng, n, d: clustered(rng, n, d) * np.float32(1e36),
    "subnormal": lambda rng, n, d: clustered(rng, n, d) * np.float32(1e-40),
    "one outlier": lambda rng, n, d: np.concatenate(
        [clustered(rng, n - 1, d), np.full((1, d), 1e20, np.float32)]
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "d", "size"),
    [(65, 2, 65), (700, 1, 500), (1500, 31, 400), (1500, 32, 400), (3000, 152, 300)],
)
def test_equals_the_slow_traversal(kind, n, d, size):
    rng = np.random.default_rng(n + d)
    assert_exact(KINDS[kind](rng, n, d), size, start=int(rng.integers(n)))


@pytest.mark.parametrize("n", [1, 2, LANES - 1, LANES, LANES + 1, 16 * LANES, 17 * LANES + 1])
def test_picks_everything_around_the_sizes_of_tiles(n):
    embeddings = np.random.default_rng(n).integers(4, size=(n, 3)).astype(np.float32)
    assert_exact(embeddings, n, start=n - 1)


@pytest.mark.parametrize("d", [7, 8, 9, 15, 128, 129, 136, 137, 300, 1025])
def test_sums_in_the_order_of_numpy(d):
    # Permuted coordinates have equal distances up to the rounding of their sum.
    rng = np.random.default_rng(d)
    row = rng.normal(size=d).astype(np.float32)
    assert_exact(
        np.stack([np.zeros(d, np.float32), *(rng.permutation(row) for _ in range(99))]), 99
    )


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 2 * LANES + 2), st.integers(1, 9)),
        elements=st.floats(-(2.0**60), 2.0**60, width=32) | st.integers(-2, 2),
    ),
    st.data(),
)
@settings(max_examples=150)
def test_equals_the_slow_traversal_on_anything(embeddings, data):
    n = len(embeddings)
    assert_exact(embeddings, data.draw(st.integers(1, n)), data.draw(st.integers(0, n - 1)))


def test_equals_the_slow_traversal_on_bottles():
    if not BOTTLE.is_dir():
        pytest.skip(f"{BOTTLE} isn't there")
    features = pytest.importorskip("anomalist.features")
    from PIL import Image

    images = [
        np.asarray(Image.open(path).convert("RGB").resize((256, 256)))
        for path in sorted(BOTTLE.glob("*.png"))[:3]
    ]
    maps = features.Backbone("efficientnet_lite0", ["stride8", "stride16"])(np.stack(images))
    assert_exact(features.patch_embeddings(maps).flatten(0, 2).numpy(), 307)


def test_does_not_depend_on_threads():
    embeddings = clustered(np.random.default_rng(0), 20_000, 24)
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            results.append(greedy_coreset_with_radius(embeddings, 2000))
    finally:
        torch.set_num_threads(threads)
    for indices, radius in results[1:]:
        np.testing.assert_array_equal(indices, results[0][0])
        assert radius == results[0][1]


def test_leaves_its_input_alone():
    embeddings = clustered(np.random.default_rng(0), 1000, 16)
    before = embeddings.copy()
    embeddings.flags.writeable = False
    greedy_coreset(embeddings, 100)
    np.testing.assert_array_equal(embeddings, before)


def test_other_types_and_layouts():
    embeddings = KINDS["small integers"](np.random.default_rng(0), 500, 6)
    expected = greedy_coreset(embeddings, 80)
    for same in (
        embeddings.astype(np.float64),
        embeddings.astype(np.int64),
        np.asfortranarray(embeddings),
        np.repeat(embeddings, 2, axis=1)[:, ::2],
        torch.from_numpy(embeddings),
        torch.from_numpy(embeddings).half().requires_grad_(),
    ):
        np.testing.assert_array_equal(greedy_coreset(same, 80), expected)


@pytest.mark.parametrize(
    ("shape", "size", "start", "message"),
    [
        ((10,), 3, 0, "matrix"),
        ((10, 2, 2), 3, 0, "matrix"),
        ((0, 4), 1, 0, "matrix"),
        ((10, 0), 1, 0, "matrix"),
        ((10, 2), 0, 0, "size must be from 1 to 10"),
        ((10, 2), 11, 0, "size must be from 1 to 10"),
        ((10, 2), 3, -1, "start must be from 0 to 9"),
        ((10, 2), 3, 10, "start must be from 0 to 9"),
    ],
)
def test_bad_arguments(shape, size, start, message):
    with pytest.raises(ParameterError, match=message):
        greedy_coreset(np.zeros(shape, np.float32), size, start=start)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_names_the_first_row_that_is_not_finite(value):
    embeddings = np.zeros((200, 3))
    embeddings[70, 2] = embeddings[150, 0] = value
    with pytest.raises(ParameterError, match="embedding 70 "):
        greedy_coreset(embeddings, 5)


def test_random_projection_keeps_distances():
    rows = np.random.default_rng(0).normal(size=(200, 400))
    short = random_projection(rows, 256, seed=1)
    assert short.shape == (200, 256)
    assert short.dtype == np.float32
    ratio = np.linalg.norm(short[::2] - short[1::2], axis=1)
    ratio /= np.linalg.norm(rows[::2] - rows[1::2], axis=1)
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert ratio.std() < 2 / np.sqrt(2 * 256)


def test_random_projection_is_its_seeds():
    rows = np.random.default_rng(0).normal(size=(20, 30))
    first = random_projection(rows, 4, seed=1)
    np.testing.assert_array_equal(first, random_projection(torch.from_numpy(rows), 4, seed=1))
    assert not np.array_equal(first, random_projection(rows, 4, seed=2))


def test_random_projection_refuses_bad_arguments():
    with pytest.raises(ParameterError, match="dim must be positive"):
        random_projection(np.zeros((3, 2)), 0, seed=0)
    with pytest.raises(ParameterError, match="matrix"):
        random_projection(np.zeros(3), 2, seed=0)
