from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anomalist.errors import ParameterError
from anomalist.neighbors.boxes import Boxes
from anomalist.neighbors.nearest import nothing_found
from anomalist.neighbors.search import Index, nearest_neighbors
from tests.reference.search import nearest_neighbors as brute_force

pytestmark = pytest.mark.usefixtures("two_threads")


def clustered(count, dimensions, seed, centres=20, spread=0.3):
    """Vectors as patch embeddings are: few directions hold most of the spread."""
    shape = np.random.default_rng(7)  # the same clusters for every seed
    rng = np.random.default_rng(seed)
    scales = np.geomspace(1, 0.02, dimensions)
    means = shape.standard_normal((centres, dimensions)) * scales * 5
    noise = rng.standard_normal((count, dimensions)) * scales * spread
    return (means[rng.integers(centres, size=count)] + noise).astype(np.float32)


def scattered(count, dimensions, seed):
    """Vectors without structure: no bound helps."""
    return np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)


def assert_equals_brute_force(queries, bank, k, found=None):
    distances, indices = nearest_neighbors(queries, bank, k) if found is None else found
    expected_distances, expected_indices = brute_force(queries, bank, k)
    assert distances.dtype == np.float32
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, expected_indices)
    # Both sum in float64, in another order: rounded to float32 they are at most neighbours.
    np.testing.assert_array_max_ulp(distances, expected_distances, maxulp=1)


def force_dense(monkeypatch):
    """Take matrix products whatever the probe finds."""
    monkeypatch.setattr(Index, "_bounds_pay", lambda *_: False)


@pytest.fixture(params=["boxes", "dense"])
def path(request, monkeypatch):
    if request.param == "dense":
        force_dense(monkeypatch)
    return request.param


@pytest.mark.usefixtures("path")
class TestBothWays:
    @pytest.mark.parametrize("make", [clustered, scattered])
    @pytest.mark.parametrize("dimensions", [1, 2, 15, 16, 40, 63, 64, 65, 152, 384])
    def test_equals_brute_force(self, make, dimensions):
        queries, bank = make(70, dimensions, 1), make(1300, dimensions, 2)
        assert_equals_brute_force(queries, bank, 1)
        assert_equals_brute_force(queries, bank, 9)

    def test_several_blocks_of_bank_and_queries(self):
        queries, bank = clustered(2100, 20, 1), clustered(4200, 20, 2)
        index = Index(bank)
        distances, indices = index.query(queries, 5)
        some = slice(None, None, 50)
        assert_equals_brute_force(queries[some], bank, 5, (distances[some], indices[some]))

    def test_ties_go_to_the_lowest_index(self):
        rng = np.random.default_rng(0)
        bank = rng.integers(0, 3, (900, 4)).astype(np.float32)  # 81 places: each many times
        queries = rng.integers(0, 3, (60, 4)).astype(np.float32)
        for k in (1, 7, 30):
            assert_equals_brute_force(queries, bank, k)

    def test_a_bank_of_one_vector_repeated(self):
        bank = np.full((200, 33), 0.1, np.float32)
        distances, indices = nearest_neighbors(bank[:3], bank, 4)
        np.testing.assert_array_equal(distances, 0)
        np.testing.assert_array_equal(indices, [[0, 1, 2, 3]] * 3)

    def test_all_of_the_bank(self):
        bank = clustered(150, 30, 1)
        assert_equals_brute_force(clustered(20, 30, 2), bank, len(bank))

    @pytest.mark.parametrize(("queries", "rows"), [(1, 50), (20, 1), (1, 1), (0, 30)])
    def test_few(self, queries, rows):
        assert_equals_brute_force(clustered(queries, 12, 1), clustered(rows, 12, 2), 1)

    def test_far_from_the_origin(self):
        # In float32 |q|^2 + |b|^2 - 2qb would be off by 1e4 times these distances.
        queries, bank = scattered(80, 50, 1) * 0.01 + 1000, scattered(700, 50, 2) * 0.01 + 1000
        assert_equals_brute_force(queries, bank, 5)

    def test_queries_far_from_the_bank(self):
        bank = scattered(600, 50, 2)
        assert_equals_brute_force(scattered(50, 50, 1) + 3000, bank, 3)

    @pytest.mark.parametrize("scale", [1e-40, 1e-25, 1e-12, 1e12, 1e25, 1e37])
    def test_any_magnitude(self, scale):
        queries = (scattered(30, 20, 1).astype(np.float64) * scale).astype(np.float32)
        bank = (scattered(300, 20, 2).astype(np.float64) * scale).astype(np.float32)
        assert_equals_brute_force(queries, bank, 3)

    def test_one_query_of_another_magnitude(self):
        queries, bank = scattered(30, 20, 1), scattered(300, 20, 2)
        queries[4] *= 1e30
        assert_equals_brute_force(queries, bank, 3)

    def test_near_equal_distances(self):
        # A shell about the query: float32 can't tell most of these distances apart.
        directions = scattered(800, 40, 1).astype(np.float64)
        shell = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        bank = (shell * (1 + 1e-7 * np.arange(800)[:, np.newaxis])).astype(np.float32)
        assert_equals_brute_force(np.zeros((2, 40), np.float32), bank, 10)

    @settings(max_examples=60)
    @given(st.data())
    def test_any_small_arrays(self, data):
        rows, queries = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 6))
        dimensions = data.draw(st.integers(1, 5))
        values = st.integers(-4, 4).map(float) | st.floats(-1e3, 1e3, width=16)
        bank = data.draw(hnp.arrays(np.float32, (rows, dimensions), elements=values))
        asked = data.draw(hnp.arrays(np.float32, (queries, dimensions), elements=values))
        k = data.draw(st.integers(1, rows))
        distances, indices = nearest_neighbors(asked, bank, k)
        expected, _ = brute_force(asked, bank, k)
        np.testing.assert_array_max_ulp(distances, expected, maxulp=1)
        assert all(len(set(row)) == k for row in indices.tolist())

    def test_batches_and_threads_change_no_bit(self):
        queries, bank = clustered(1500, 152, 1), clustered(3000, 152, 2)
        index = Index(bank)
        distances, indices = index.query(queries, 3)
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            whole = index.query(queries, 3)
            parts = [index.query(part, 3) for part in np.array_split(queries, 17)]
        finally:
            torch.set_num_threads(threads)
        np.testing.assert_array_equal(whole[0], distances)
        np.testing.assert_array_equal(whole[1], indices)
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), distances)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), indices)


def test_the_probe_tells_structure_from_none():
    queries, bank = clustered(600, 152, 1), clustered(3000, 152, 2)
    assert Index(bank)._bounds_pay(queries, 1)
    assert not Index(scattered(3000, 152, 2))._bounds_pay(scattered(600, 152, 1), 1)


def test_bounds_pass_over_most_of_a_structured_bank():
    queries, bank = clustered(300, 152, 1), clustered(5000, 152, 2)
    bounded, measured = Boxes(bank).search(queries, *nothing_found(300, 1))
    assert bounded < 0.5 * queries.shape[0] * bank.shape[0]
    assert measured < 0.1 * queries.shape[0] * bank.shape[0]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_converted(dtype):
    queries, bank = clustered(5, 8, 1).astype(dtype), clustered(50, 8, 2).astype(dtype)
    assert_equals_brute_force(queries.astype(np.float32), bank.astype(np.float32), 2)
    distances, _ = nearest_neighbors(queries, bank, 2)
    assert distances.dtype == np.float32


def test_arrays_in_any_memory_order():
    queries, bank = clustered(9, 8, 1), clustered(80, 8, 2)
    expected = nearest_neighbors(queries, bank, 2)
    found = nearest_neighbors(np.asfortranarray(queries), np.repeat(bank, 2, axis=1)[:, ::2], 2)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_are_answered_by_tensors(dtype):
    queries = torch.from_numpy(clustered(5, 8, 1)).to(dtype).requires_grad_()
    bank = torch.from_numpy(clustered(50, 8, 2)).to(dtype)
    distances, indices = nearest_neighbors(queries, bank, 2)
    assert distances.dtype == torch.float32
    assert indices.dtype == torch.int64
    found = distances.numpy(), indices.numpy()
    assert_equals_brute_force(queries.detach().float().numpy(), bank.float().numpy(), 2, found)


BANK = np.zeros((5, 3), np.float32)


@pytest.mark.parametrize(
    ("queries", "bank", "k", "message"),
    [
        (np.zeros((2, 4)), BANK, 1, "queries have 4 dimensions and the bank has 3"),
        (BANK, BANK, 0, "k must be between 1 and the bank's size, 5, but it is 0"),
        (BANK, BANK, 6, "but it is 6"),
        (BANK, BANK[:0], 1, "bank is empty"),
        (np.full((1, 3), np.nan), BANK, 1, "queries must be finite"),
        (BANK, np.full((1, 3), -np.inf), 1, "bank must be finite"),
        (np.full((1, 3), 1e300), BANK, 1, "queries must be finite float32"),
        (BANK[0], BANK, 1, "queries must be a matrix"),
        (BANK, BANK[np.newaxis], 1, "bank must be a matrix"),
        (torch.full((1, 3), torch.nan), BANK, 1, "queries must be finite"),
    ],
)
def test_says_what_is_wrong(queries, bank, k, message):
    with pytest.raises(ParameterError, match=message):
        nearest_neighbors(queries, bank, k)
