"""Many threads and processes ask one index; coresets are picked side by side."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
import torch

from anomalist.neighbors import Index, MatrixIndex, greedy_coreset_with_radius

Float32 = npt.NDArray[np.float32]
Answer = tuple[Float32, npt.NDArray[np.int64]]

THREADS = 8


@pytest.fixture(params=["boxes", "products"])
def bank_and_queries(request: pytest.FixtureRequest) -> tuple[Float32, Float32]:
    """Vectors that the search passes over by boxes, or bounds by products."""
    rng = np.random.default_rng(0)
    bank, queries = (rng.standard_normal((count, 64)).astype(np.float32) for count in (3000, 700))
    if request.param == "boxes":
        centres = 10 * rng.standard_normal((40, 64)).astype(np.float32)
        bank += centres[rng.integers(40, size=3000)]
        queries += centres[np.sort(rng.integers(40, size=700))]
    assert Index(bank)._bounds_pay(queries, 3) == (request.param == "boxes")
    return bank, queries


def assert_same(found: Answer, expected: Answer) -> None:
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def at_once(work: Callable[[int], object]) -> list[object]:
    """Do work(0), work(1), ... each in a thread, all of them started at the same moment."""
    barrier = threading.Barrier(THREADS)

    def started(number: int) -> object:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(started, range(THREADS)))


def test_threads_that_ask_at_once_get_the_bits_of_one(
    bank_and_queries: tuple[Float32, Float32],
) -> None:
    bank, queries = bank_and_queries
    index = Index(bank)
    # Others in every thread, so that an answer that strays into another's is seen.
    asked = [np.roll(queries, 100 * number, axis=0) for number in range(THREADS)]
    expected = [index.query(part, 3) for part in asked]

    def work(number: int) -> None:
        for _ in range(5):
            assert_same(index.query(asked[number], 3), expected[number])

    at_once(work)


def test_threads_that_ask_a_matrix_index_at_once_get_the_same_on_the_cpu(
    bank_and_queries: tuple[Float32, Float32],
) -> None:
    bank, queries = map(torch.from_numpy, bank_and_queries)
    index = MatrixIndex(bank, spare=16)
    expected = index.query(queries, 3)

    def work(_: int) -> None:
        distances, indices = index.query(queries, 3)
        assert torch.equal(distances, expected[0])
        assert torch.equal(indices, expected[1])

    at_once(work)


def test_threads_that_pick_coresets_at_once_pick_the_same(
    bank_and_queries: tuple[Float32, Float32],
) -> None:
    bank, _ = bank_and_queries
    expected, radius = greedy_coreset_with_radius(bank, 200)

    def work(_: int) -> None:
        picks, found = greedy_coreset_with_radius(bank, 200)
        np.testing.assert_array_equal(picks, expected)
        assert found == radius

    at_once(work)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_a_copy_answers_the_same_and_lives_alone(
    copied: Callable[[Index], Index], bank_and_queries: tuple[Float32, Float32]
) -> None:
    bank, queries = bank_and_queries
    expected = Index(bank).query(queries, 3)
    original = Index(bank.copy())
    twin = copied(original)
    original._bank[:] = 0
    assert_same(twin.query(queries, 3), expected)
    assert (twin.size, twin.dimensions) == (3000, 64)


def test_a_spawned_process_answers_the_same(bank_and_queries: tuple[Float32, Float32]) -> None:
    bank, queries = bank_and_queries
    index = Index(bank)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as processes:
        processes.submit(torch.set_num_threads, 1).result()
        found = processes.submit(Index.query, index, queries, 3).result()
    assert_same(found, index.query(queries, 3))
