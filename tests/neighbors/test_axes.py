from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from anomalist.neighbors import boxes
from anomalist.neighbors.axes import PrincipalAxes
from anomalist.neighbors.nearest import BOX_DIMS

Float32 = npt.NDArray[np.float32]


def sloping(count: int, dimensions: int, seed: int = 0) -> Float32:
    """Vectors whose spread falls from coordinate to coordinate, far from the origin."""
    rng = np.random.default_rng(seed)
    scales = np.geomspace(1, 0.02, dimensions)
    return (rng.standard_normal((count, dimensions)) * scales + 3).astype(np.float32)


def distances(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return np.linalg.norm(vectors[:, np.newaxis].astype(np.float64) - vectors, axis=2)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 7, 40, 100])
@pytest.mark.parametrize("length", [1, 4, 32, 64])
def test_no_distance_gets_longer(dimensions: int, length: int) -> None:
    vectors = sloping(200, dimensions)
    axes = PrincipalAxes(vectors, length)
    short, norms = axes.shorten(vectors)
    assert short.shape == (200, length)
    assert (distances(short) <= distances(vectors) + 1e-6 * norms.max()).all()
    np.testing.assert_allclose(norms, np.linalg.norm(vectors - axes.mean, axis=1), rtol=1e-12)


def test_bounds_are_close_where_few_axes_hold_the_spread() -> None:
    vectors = sloping(200, 100)
    near, far = (distances(PrincipalAxes(vectors, n).shorten(vectors)[0]).sum() for n in (64, 4))
    exact = distances(vectors).sum()
    assert near > 0.99 * exact
    assert far < 0.9 * exact


def test_fewer_coordinates_are_the_first() -> None:
    vectors = sloping(50, 20)
    axes = PrincipalAxes(vectors, 16)
    whole, norms = axes.shorten(vectors)
    short, same = axes.shorten(vectors, length=5)
    np.testing.assert_array_equal(short[:, :4], whole[:, :4])
    np.testing.assert_array_equal(same, norms)
    expected = np.sqrt(np.maximum(norms**2 - (short[:, :4].astype(float) ** 2).sum(axis=1), 0))
    np.testing.assert_allclose(short[:, 4], expected, rtol=1e-5)


def test_chosen_rows_and_a_scale() -> None:
    vectors = sloping(50, 20)
    axes = PrincipalAxes(vectors, 8)
    rows = np.array([40, 3, 3])
    short, norms = axes.shorten(vectors)
    chosen, of_chosen = axes.shorten(vectors, rows, scale=2.0**-10)
    np.testing.assert_array_equal(chosen * np.float32(2**10), short[rows])
    np.testing.assert_array_equal(of_chosen, norms[rows])


def test_what_is_shortened_twice_lengthens_no_distance() -> None:
    vectors = sloping(200, 100)
    rows, norms = PrincipalAxes(vectors, 64).shorten(vectors)
    near = boxes._nearer(rows)
    assert near.shape == (200, BOX_DIMS)
    assert (distances(near) <= distances(rows) + 1e-6 * norms.max()).all()


def test_vectors_without_spread() -> None:
    vectors = np.full((30, 12), 0.1, np.float32)
    short, norms = PrincipalAxes(vectors, 8).shorten(vectors)
    np.testing.assert_allclose(short, 0, atol=1e-8)
    np.testing.assert_allclose(norms, 0, atol=1e-8)
