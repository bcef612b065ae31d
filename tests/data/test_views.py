from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from anomalist.data import ImageSet, Sample, Transform
from anomalist.data.loader import load_chunks
from anomalist.data.views import check_side, view_of, view_size
from anomalist.errors import ParameterError


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((3000, 4000), (768, 1024)),
        ((4000, 3000), (1024, 768)),
        ((1024, 1024), (1024, 1024)),
        ((480, 640), (480, 640)),
        ((200, 10_000), (128, 6400)),  # of a line-scan camera
        ((100, 5000), (100, 5000)),
        ((200, 100_000), (16, 8192)),
        ((8, 8), (128, 128)),
        ((1, 100), (2, 200)),
        ((1, 1), (128, 128)),
    ],
)
def test_views_keep_proportions_and_can_be_looked_at(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert view_size(size, 1024) == expected
    if max(size) < 20_000:
        view = view_of(Image.new("RGB", size[::-1]), 1024)
        assert (view.height, view.width) == expected


def test_a_view_looks_like_its_image() -> None:
    y, x = np.mgrid[:900, :1200]
    smooth = (127 + 60 * np.sin(x / 90) + 60 * np.sin(y / 70)).astype(np.uint8)
    view = np.asarray(view_of(Image.fromarray(np.dstack([smooth] * 3)), 300)).astype(float)
    expected = smooth.reshape(225, 4, 300, 4).mean(axis=(1, 3))
    assert np.abs(view[..., 0] - expected).max() < 3


def test_a_view_is_kept_of_the_next_reading_and_of_no_other() -> None:
    pixels = np.full((600, 800), 4095, np.uint16)
    sample, transform = Sample("deep", image=pixels), Transform(8, bit_depth=12)
    sample.keep_view(400, 12)
    list(load_chunks(ImageSet([sample]), transform, 1))
    kept = sample.view(400, 12)
    assert (kept.size, kept.getpixel((5, 5))) == ((400, 300), (255, 255, 255))
    assert sample.view(400, 12) is kept
    assert sample.view(400, 16).getpixel((5, 5)) != (255, 255, 255)
    assert sample.view(200, 12).size == (200, 150)
    sample.drop_view()
    again = sample.view(400, 12)
    assert again is not kept
    assert again == kept


@pytest.mark.parametrize("side", [0, 15, -3, 100_001])
def test_senseless_sides_are_refused(side: int) -> None:
    with pytest.raises(ParameterError, match="heatmap_size must be from 16 to 100,000 pixels"):
        check_side("heatmap_size", side)
