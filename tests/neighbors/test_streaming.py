from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from anomalist.errors import ParameterError
from anomalist.neighbors import StreamingCoreset, greedy_coreset_with_radius

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture(scope="module")
def points() -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 24)) * 4
    return (centres[rng.integers(40, size=12_000)] + rng.normal(size=(12_000, 24))).astype(
        np.float32
    )


def fill(stream: StreamingCoreset, points: npt.NDArray[np.float32], chunk: int) -> None:
    for first in range(0, len(points), chunk):
        stream.add(points[first : first + chunk])


def covering_radius(points: npt.NDArray[np.float32], coreset: npt.NDArray[np.float32]) -> float:
    nearest = [((points - c) ** 2).sum(axis=1) for c in coreset.astype(float)]
    return float(np.sqrt(np.min(nearest, axis=0).max()))


def test_what_fits_is_the_exact_traversal(points: npt.NDArray[np.float32]) -> None:
    stream = StreamingCoreset(100, len(points), memory_limit_mb=100, seed=4)
    fill(stream, points, 777)
    coreset, arrivals, radius = stream.finish()
    start = int(np.random.default_rng(4).integers(len(points)))
    picks, expected = greedy_coreset_with_radius(points, 100, start=start)
    assert np.array_equal(coreset, points[picks])
    assert np.array_equal(arrivals, picks)
    assert radius == expected == pytest.approx(covering_radius(points, coreset), rel=1e-6)


@pytest.mark.parametrize("chunk", [100, 5000, 12_000])
def test_beyond_the_ceiling_the_bound_holds(points: npt.NDArray[np.float32], chunk: int) -> None:
    stream = StreamingCoreset(300, len(points), memory_limit_mb=0.2, seed=1)
    fill(stream, points, chunk)
    coreset, arrivals, bound = stream.finish()
    assert np.array_equal(coreset, points[arrivals])
    assert stream._rows.nbytes <= 0.2 * 2**20
    assert coreset.shape == (300, 24)
    among = {row.tobytes() for row in points}
    assert all(row.tobytes() in among for row in coreset)
    _, best = greedy_coreset_with_radius(points, 300)
    radius = covering_radius(points, coreset)
    assert radius <= bound
    assert radius <= 2 * best


def test_the_same_seed_gives_the_same_coreset(points: npt.NDArray[np.float32]) -> None:
    coresets = []
    for seed, chunk in ((0, 100), (0, 999), (1, 100)):
        stream = StreamingCoreset(50, len(points), memory_limit_mb=1, seed=seed)
        fill(stream, points, chunk)
        coresets.append(stream.finish()[0])
    assert np.array_equal(coresets[0], coresets[1])
    assert not np.array_equal(coresets[0], coresets[2])


def test_a_projection_keeps_whole_embeddings(points: npt.NDArray[np.float32]) -> None:
    stream = StreamingCoreset(50, len(points), projection_dim=4)
    fill(stream, points, 1000)
    coreset, _, _ = stream.finish()
    assert coreset.shape == (50, 24)


def test_requests_that_make_no_sense_are_refused(points: npt.NDArray[np.float32]) -> None:
    for size in (0, len(points) + 1):
        with pytest.raises(ParameterError, match="can't be picked"):
            StreamingCoreset(size, len(points))
    stream = StreamingCoreset(6000, len(points), memory_limit_mb=1)
    with pytest.raises(ParameterError, match="memory_limit_mb="):
        stream.add(points)
