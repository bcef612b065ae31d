from __future__ import annotations

import time

import numpy as np
import pytest

from anomalist.data.runs import LEVEL, find_runs
from anomalist.errors import DataError


def frames(rng: np.random.Generator, scenes: int, each: int, step: float = 0.1) -> np.ndarray:
    """Features that walk away from each scene's own."""
    begin = rng.normal(size=(scenes, 1, 64))
    way = step * rng.normal(size=(scenes, each, 64)).cumsum(axis=1)
    return (begin + way).reshape(scenes * each, 64)


@pytest.mark.parametrize(("scenes", "each"), [(4, 10), (9, 10), (20, 5), (6, 4)])
def test_frames_of_a_run_are_one_scene(scenes: int, each: int) -> None:
    rng = np.random.default_rng(scenes)
    of = np.repeat(np.arange(scenes), each)
    for _ in range(3):
        found = find_runs(frames(rng, scenes, each))
        assert found.tolist() == of.tolist()


@pytest.mark.parametrize("n", [10, 20, 40, 200])
@pytest.mark.parametrize("dimensions", [1, 3, 64])
def test_independent_photographs_are_no_runs(n: int, dimensions: int) -> None:
    rng = np.random.default_rng(n + dimensions)
    for _ in range(10):
        assert len(set(find_runs(rng.normal(size=(n, dimensions))).tolist())) == n


def test_two_kinds_in_turn_are_no_runs() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 64)) + np.repeat([[0.8], [-0.8]], 20, axis=0)
    assert len(set(find_runs(points).tolist())) == 40


def test_frames_out_of_order_are_not_taken_for_runs() -> None:
    rng = np.random.default_rng(1)
    points = rng.permutation(frames(rng, 9, 10))
    assert len(set(find_runs(points).tolist())) == 90


def test_one_long_run_is_cut_where_it_has_left_what_it_began_with() -> None:
    rng = np.random.default_rng(2)
    found = find_runs(rng.normal(size=(120, 64)).cumsum(axis=0))
    assert 2 <= found.max() + 1 <= 30
    assert (np.diff(found) >= 0).all()


def test_the_rate_of_false_finds_is_stated() -> None:
    assert LEVEL == 0.001


def test_odd_features() -> None:
    assert find_runs(np.zeros((20, 4))).tolist() == list(range(20))
    assert find_runs(np.zeros((0, 4))).tolist() == []
    assert find_runs(np.ones((9, 4))).tolist() == list(range(9))
    rng = np.random.default_rng(3)
    alike = np.concatenate([np.zeros((15, 4)), rng.normal(size=(5, 4))])
    assert len(find_runs(alike)) == 20
    for bad in (np.zeros(3), np.full((12, 2), np.nan)):
        with pytest.raises(DataError, match="features must be finite"):
            find_runs(bad)


def test_thousands_take_seconds() -> None:
    rng = np.random.default_rng(4)
    begin = time.perf_counter()
    assert find_runs(frames(rng, 500, 8)).max() + 1 == 500
    assert time.perf_counter() - begin < 60
