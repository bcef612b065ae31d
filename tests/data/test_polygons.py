"""Outlines become pixels by the rule of pixel centres, whatever their numbers are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalist.data.polygons import Shape, draw
from tests.reference import polygons as reference

NUMBERS = st.one_of(
    st.integers(-4, 16).map(float), st.integers(-8, 32).map(lambda n: n / 2), st.floats(-5, 20)
)
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=8).map(np.array)


def drawn(kind: str, points: object, size: tuple[int, int] = (10, 13)) -> np.ndarray:
    canvas = np.zeros(size, bool)
    draw(Shape(kind, np.array(points, float)), canvas)
    return canvas


@settings(max_examples=150, derandomize=True, deadline=None)
@given(points=POINTS)
def test_a_pixel_belongs_to_an_outline_if_its_centre_does(points: np.ndarray) -> None:
    expected = reference.filled(points, (10, 13))
    canvas = np.zeros((10, 13), bool)
    how = draw(Shape("polygon", points), canvas)
    if expected.any():
        assert np.array_equal(canvas, expected)
        assert how == ""
    else:
        assert how == ("thin" if canvas.any() else "outside")


@settings(max_examples=50, derandomize=True, deadline=None)
@given(points=POINTS, cut=st.integers(1, 12))
def test_outlines_that_share_a_border_share_no_pixel(points: np.ndarray, cut: int) -> None:
    """What lies left and right of a line, such as a tile's border, covers all of it once."""
    whole = drawn("polygon", [(0, 0), (13, 0), (13, 10), (0, 10)])
    x0, x1 = float(cut), float(points[0, 0] % 13)
    left = drawn("polygon", [(0, 0), (x0, 0), (x1, 10), (0, 10)])
    right = drawn("polygon", [(x0, 0), (13, 0), (13, 10), (x1, 10)])
    assert whole.all()
    assert (left ^ right).all()


def test_circles() -> None:
    mask = drawn("circle", [(5, 5), (5, 8)])
    y, x = np.mgrid[:10, :13] + 0.5
    assert np.array_equal(mask, np.hypot(x - 5, y - 5) <= 3)
    assert drawn("circle", [(5, 5), (5, 5)]).sum() == 1


@pytest.mark.parametrize("end", [(12.5, 0.5), (12.5, 9.5), (0.5, 9.5), (3.2, 9.1), (11, 2.7)])
def test_lines_are_a_pixel_wide_and_whole(end: tuple[float, float]) -> None:
    from scipy import ndimage

    mask = drawn("lines", [(0.5, 0.5), end])
    assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
    assert mask[0, 0]
    assert mask[int(end[1]), int(end[0])]
    length = max(end[0], end[1])
    assert length - 1 <= mask.sum() <= 2 * length + 2


def test_a_scratch_thinner_than_a_pixel_stays_whole() -> None:
    canvas = np.zeros((10, 13), bool)
    outline = Shape("polygon", np.array([(1, 2.6), (12, 2.6), (12, 2.9), (1, 2.9)]))
    assert draw(outline, canvas) == "thin"
    assert canvas[2, 1:12].all()
    assert canvas.sum() <= 13


@pytest.mark.parametrize("kind", ["polygon", "circle", "lines", "points"])
def test_what_lies_outside_or_far_is_left_out(kind: str) -> None:
    far = [(1e12, 1e12), (1e12 + 1e3, 1e12), (1e12, 2e12)]
    assert not drawn(kind, far).any()
    assert draw(Shape(kind, np.array(far)), np.zeros((4, 4), bool)) == "outside"
    across = drawn("polygon", [(-1e9, 2), (1e9, 2), (1e9, 4), (-1e9, 4)])
    assert across[2:4].all()
    assert across.sum() == 26


def test_an_outline_of_many_points() -> None:
    angle = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    mask = drawn("polygon", np.stack([6 + 4 * np.cos(angle), 5 + 4 * np.sin(angle)], axis=1))
    y, x = np.mgrid[:10, :13] + 0.5
    assert np.array_equal(mask, np.hypot(x - 6, y - 5) <= 4)


def test_points_on_the_far_border_are_of_the_last_pixel() -> None:
    assert drawn("points", [(13, 10)])[9, 12]
    assert not drawn("points", [(13.5, 3)]).any()
