"""Tiles cover a frame once, and their maps are one map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from anomalist.errors import ParameterError
from anomalist.features import Backbone
from anomalist.features.tiles import TileGrid

GRIDS = [
    TileGrid((64, 64), side=64),
    TileGrid((32, 320), side=64, overlap=32),
    TileGrid((224, 288), side=96, overlap=0),
    TileGrid((224, 288), side=96, overlap=40),
    TileGrid((256, 256), side=128, overlap=96),
]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_each_cell_is_that_of_the_whole_frame_where_no_surroundings_count(
    grid: TileGrid, stride: int
) -> None:
    pixels = torch.randint(0, 256, (2, *grid.frame, 3), dtype=torch.uint8)

    def run(tiles: Tensor) -> list[Tensor]:
        return [avg_pool2d(tiles.permute(0, 3, 1, 2).float(), stride)]

    (expected,) = run(pixels)
    for at_once in (None, 1, 5):
        (made,) = grid.maps(run, pixels, at_once=at_once)
        assert torch.equal(made, expected)


@pytest.mark.parametrize("grid", GRIDS)
def test_tiles_overlap_as_asked_and_reach_the_borders(grid: TileGrid) -> None:
    for starts, frame, tile in zip(grid.starts, grid.frame, grid.tile, strict=True):
        assert starts[0] == 0
        assert starts[-1] + tile == frame
        assert all(step <= tile - grid.overlap for step in np.diff(starts))
        assert all(start % 32 == 0 for start in starts)
    assert len(grid) == len(grid.starts[0]) * len(grid.starts[1])


def test_no_more_tiles_pass_at_once_than_asked() -> None:
    passed = []

    def run(tiles: Tensor) -> list[Tensor]:
        passed.append(len(tiles))
        return [tiles[:, ::8, ::8, 0][:, None].float()]

    grid = TileGrid((64, 160), side=64)
    grid.maps(run, torch.zeros(2, 64, 160, 3, dtype=torch.uint8), at_once=4)
    assert passed == [4, 2]


def test_with_an_overlap_maps_are_nearly_those_of_the_whole_frame() -> None:
    backbone = Backbone("efficientnet_lite0", ["stride8", "stride16"])
    pixels = torch.from_numpy(np.random.default_rng(0).integers(90, 160, (1, 128, 320, 3)))
    pixels = avg_pool2d(pixels.permute(0, 3, 1, 2).float(), 5, 1, 2).permute(0, 2, 3, 1).byte()
    whole = backbone(pixels)
    errors = []
    for overlap in (0, 64):
        made = TileGrid((128, 320), side=128, overlap=overlap).maps(backbone, pixels)
        pairs = zip(made, whole, strict=True)
        errors.append([float((a - b).norm() / b.norm()) for a, b in pairs])
    # An eighth of a frame, 32 pixels of surroundings: all that the shallow layer sees of them.
    assert errors[1][0] < 1e-3 < errors[0][0]
    assert errors[1][1] < 0.7 * errors[0][1]


@pytest.mark.parametrize(
    ("frame", "side", "overlap"),
    [
        ((100, 64), 64, 0),
        ((64, 64), 50, 0),
        ((64, 0), 64, 0),
        ((64, 64), 64, 64),
        ((64, 64), 64, -1),
    ],
)
def test_what_cannot_be_cut_is_refused(frame: tuple[int, int], side: int, overlap: int) -> None:
    with pytest.raises(ParameterError, match="tile"):
        TileGrid(frame, side, overlap)


def test_a_layer_whose_cells_end_elsewhere_is_refused() -> None:
    grid = TileGrid((64, 96), side=64)
    with pytest.raises(ParameterError, match="choose layers of stride 2, 4, 8, 16 or 32"):
        grid.maps(lambda tiles: [torch.zeros(len(tiles), 1, 7, 7)], torch.zeros(1, 64, 96, 3))
