from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from anomalist.errors import ParameterError
from anomalist.neighbors import (
    CoresetSummary,
    StreamingCoreset,
    greedy_coreset_with_radius,
    summary_size,
)
from tests.reference.sharded import merged_coreset

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


def summarised(
    shards: list[npt.NDArray[np.float32]], size: int, memory_limit_mb: float | None = None
) -> list[CoresetSummary]:
    total, summaries = sum(map(len, shards)), []
    for rows in shards:
        share = summary_size(size, len(rows), total)
        stream = StreamingCoreset(share, len(rows), memory_limit_mb=memory_limit_mb)
        fill(stream, rows, 500)
        summaries.append(stream.finish())
    return summaries


def merged(
    summaries: list[CoresetSummary], size: int, memory_limit_mb: float | None = None
) -> CoresetSummary:
    total = sum(len(summary.embeddings) for summary in summaries)
    stream = StreamingCoreset(size, total, memory_limit_mb=memory_limit_mb)
    for summary in summaries:
        stream.merge(summary)
    return stream.finish()


@pytest.mark.parametrize("cuts", [[3000], [10, 4000], [1, 2, 1500, 2999]])
def test_summaries_merge_to_the_traversal_of_their_union(
    points: npt.NDArray[np.float32], cuts: list[int]
) -> None:
    rows = points[:3000]
    shards = [part for part in np.split(rows, cuts) if len(part)]
    coreset, bound = merged_coreset(shards, 100, seed=0)
    found = merged(summarised(shards, 100), 100)
    assert np.array_equal(found.embeddings, coreset)
    assert found.radius == pytest.approx(bound, rel=1e-6)
    assert covering_radius(rows, coreset) <= found.radius


@pytest.mark.parametrize("limit", [None, 0.15, 0.1])
def test_the_bound_of_merged_summaries_holds_within_a_ceiling(
    points: npt.NDArray[np.float32], limit: float | None
) -> None:
    """Shards that have nothing in common, under ceilings that reduce them, and their merge, too."""
    order = np.argsort(points[:, 0], kind="stable")
    shards = np.array_split(points[order], [1000, 1010, 7000])
    summaries = summarised(shards, 300, limit)
    found = merged(summaries, 300, limit)
    assert found.embeddings.shape == (300, 24)
    assert covering_radius(points, found.embeddings) <= found.radius
    for rows, summary in zip(shards, summaries, strict=True):
        assert covering_radius(rows, summary.embeddings) <= summary.radius * (1 + 1e-9)
        assert np.array_equal(rows[summary.arrivals], summary.embeddings)


def test_a_ceiling_too_low_is_told_before_any_embedding() -> None:
    with pytest.raises(ParameterError, match="memory_limit_mb=5"):
        StreamingCoreset(20_000, 100_000, memory_limit_mb=2).check_ceiling(24)


def test_requests_that_make_no_sense_are_refused(points: npt.NDArray[np.float32]) -> None:
    for size in (0, len(points) + 1):
        with pytest.raises(ParameterError, match="can't be picked"):
            StreamingCoreset(size, len(points))
    stream = StreamingCoreset(6000, len(points), memory_limit_mb=1)
    with pytest.raises(ParameterError, match="memory_limit_mb="):
        stream.add(points)
