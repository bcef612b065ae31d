"""Tiles: a large frame passes the backbone piece by piece, and its feature maps are one again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from anomalist.errors import ParameterError

STEP = 32
"""Pixels of which the sides of frames and tiles are multiples, so that the cells of all layers of
the usual networks begin and end where tiles do."""


@dataclass(frozen=True)
class TileGrid:
    """Where a frame is cut into tiles, and which part of its maps each tile gives.

    Tiles are equal, overlap at least as asked, and reach the frame's borders; their distances are
    as even as the step allows. Borders between them lie in the middle of where two overlap, so that
    each location of a map is taken from the tile in which it lies most central: its surroundings
    are seen from there as they would be in the whole frame, as far as the overlap reaches.

    Parameters
    ----------
    frame : (int, int)
        Height and width in pixels of what is cut; multiples of 32.
    side : int
        Of a tile, in pixels of the frame; a multiple of 32. A frame that is narrower makes its
        tiles so.
    overlap : int
        Pixels of the frame that neighbouring tiles share at least; less than the side.

    Raises
    ------
    ParameterError
        If a side isn't a multiple of 32, or the overlap leaves no way from tile to tile.

    Examples
    --------
    >>> grid = TileGrid((128, 320), side=128, overlap=32)
    >>> grid.starts
    ((0,), (0, 96, 192))
    >>> len(grid)
    3
    """

    frame: tuple[int, int]
    side: int
    overlap: int = 0

    def __post_init__(self) -> None:
        for name, value in (("frame", max(self.frame)), ("side", self.side)):
            if min(self.frame) < STEP or value < STEP:
                raise ParameterError(f"a tile or frame has {STEP} pixels or more a side")
            if value % STEP or min(self.frame) % STEP:
                raise ParameterError(f"the {name} of tiles must be a multiple of {STEP}: {value}")
        if not 0 <= self.overlap <= self.side - STEP:
            raise ParameterError(
                f"tiles of {self.side} pixels overlap by 0 to {self.side - STEP}, not"
                f" {self.overlap}"
            )

    @property
    def key(self) -> str:
        """What feature maps that were made so are known by."""
        return f"tiles {self.frame} {self.side} {self.overlap}"

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of a tile in pixels."""
        height, width = self.frame
        return min(height, self.side), min(width, self.side)

    @property
    def starts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Where tiles begin, from top to bottom and from left to right, in pixels."""
        down, across = (
            _starts(whole, side, self.overlap)
            for whole, side in zip(self.frame, self.tile, strict=True)
        )
        return down, across

    def __len__(self) -> int:
        down, across = self.starts
        return len(down) * len(across)

    def maps(
        self,
        run: Callable[[Tensor], Sequence[Tensor]],
        pixels: Tensor,
        *,
        at_once: int | None = None,
    ) -> list[Tensor]:
        """Return the feature maps of frames, made tile by tile.

        Parameters
        ----------
        run : callable
            Gives feature maps (n, C, h, w), one a layer, of n tiles.
        pixels : Tensor of shape (B, H, W, 3)
            Frames.
        at_once : int, optional
            Tiles that are run at once, by default all: no more memory is taken for their pass,
            whatever the size of the frame.

        Returns
        -------
        list of tensors of shape (B, C, H * h / tile height, W * w / tile width)
            One a layer.

        Raises
        ------
        ParameterError
            If the cells of a layer don't end where tiles do.

        Examples
        --------
        >>> grid = TileGrid((64, 96), side=64, overlap=32)
        >>> pixels = torch.arange(64 * 96).reshape(1, 64, 96, 1).expand(-1, -1, -1, 3)
        >>> maps = grid.maps(lambda tiles: [tiles[:, ::8, ::8, 0][:, None]], pixels)
        >>> torch.equal(maps[0][0, 0], pixels[0, ::8, ::8, 0])
        True
        """
        down, across = self.starts
        places = [(top, left) for top in down for left in across]
        height, width = self.tile
        size = len(places) * len(pixels) if at_once is None else max(1, at_once)
        whole: list[Tensor] = []
        parts = [(image, place) for image in range(len(pixels)) for place in range(len(places))]
        for begin in range(0, len(parts), size):
            chosen = parts[begin : begin + size]
            tiles = torch.stack(
                [
                    pixels[image, top : top + height, left : left + width]
                    for image, (top, left) in ((i, places[p]) for i, p in chosen)
                ]
            )
            made = run(tiles)
            if not whole:
                shapes = self.shapes([_shape(layer) for layer in made])
                pairs = zip(made, shapes, strict=True)
                whole = [layer.new_empty((len(pixels), *shape)) for layer, shape in pairs]
            for layer, target in zip(made, whole, strict=True):
                for cells, (image, place) in zip(layer, chosen, strict=True):
                    rows, columns = self._kept(place, layer.shape[-2:])
                    target[image, :, rows.into, columns.into] = cells[:, rows.own, columns.own]
        return whole

    def traced(self, run: Callable[[Tensor], Sequence[Tensor]], pixels: Tensor) -> list[Tensor]:
        """Return what `maps` does by operations that can be traced, of pixels (B, 3, H, W).

        Tiles of a row pass at once: a graph can't wait for what it doesn't know the number of.
        """
        down, across = self.starts
        height, width = self.tile
        rows: list[list[Tensor]] = []
        for i, top in enumerate(down):
            tiles = [pixels[:, :, top : top + height, left : left + width] for left in across]
            made = [
                layer.reshape(len(across), -1, *layer.shape[1:]) for layer in run(torch.cat(tiles))
            ]
            self.shapes([_shape(layer[0]) for layer in made])
            row = []
            for layer in made:
                parts = []
                for j in range(len(across)):
                    kept = self._kept(i * len(across) + j, layer.shape[-2:])
                    parts.append(layer[j, :, :, kept[0].own, kept[1].own])
                row.append(torch.cat(parts, dim=3))
            rows.append(row)
        return [torch.cat(layers, dim=2) for layers in zip(*rows, strict=True)]

    def shapes(self, of_tile: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """Return the shapes (C, h, w) of maps of the frame, of those of a tile.

        Raises
        ------
        ParameterError
            If the cells of a layer don't end where tiles do.

        Examples
        --------
        >>> TileGrid((128, 320), side=128).shapes([(40, 16, 16)])
        [(40, 16, 40)]
        """
        found = []
        for channels, *sides in of_tile:
            for cells, tile in zip(sides, self.tile, strict=True):
                if STEP * cells % tile:
                    raise ParameterError(
                        f"a layer has {cells} cells to {tile} pixels of a tile, so that none ends"
                        f" after {STEP}: with tiles, choose layers of stride 2, 4, 8, 16 or 32"
                    )
            height, width = (
                frame * cells // tile
                for frame, cells, tile in zip(self.frame, sides, self.tile, strict=True)
            )
            found.append((channels, height, width))
        return found

    def _kept(self, place: int, cells: Sequence[int]) -> tuple[_Part, _Part]:
        """Which cells of a tile's map are taken, and where they go, down and across."""
        down, across = self.starts
        row, column = divmod(place, len(across))
        return (
            _part(down, row, self.tile[0], self.frame[0], cells[0]),
            _part(across, column, self.tile[1], self.frame[1], cells[1]),
        )


def _shape(layer: Tensor) -> tuple[int, int, int]:
    channels, height, width = layer.shape[1:]
    return int(channels), int(height), int(width)


@dataclass(frozen=True)
class _Part:
    """A run of cells of a tile's map, and of the whole map where it belongs."""

    own: slice
    into: slice


def _part(starts: Sequence[int], index: int, tile: int, frame: int, cells: int) -> _Part:
    edges = [0, *_borders(starts, tile), frame]
    start = starts[index] * cells // tile
    first, last = (edge * cells // tile for edge in edges[index : index + 2])
    return _Part(slice(first - start, last - start), slice(first, last))


def _starts(frame: int, tile: int, overlap: int) -> tuple[int, ...]:
    """Where tiles begin along a side: evenly, at multiples of the step."""
    if frame <= tile:
        return (0,)
    # What lies between two starts, and with it the overlap, is a multiple of the step.
    furthest = max(STEP, (tile - overlap) // STEP * STEP)
    count = math.ceil((frame - tile) / furthest)
    return tuple((frame - tile) // STEP * i // count * STEP for i in range(count + 1))


def _borders(starts: Sequence[int], tile: int) -> Iterator[int]:
    """The borders between tiles along a side: in the middle of what two share."""
    for left, right in pairwise(starts):
        yield (left + tile + right) // 2 // STEP * STEP
