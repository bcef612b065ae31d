"""What happens to transformed photographs before a backbone sees them, and to maps afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.data import Transform
from anomalist.data.ignoring import Filled, Ignored, Sight
from anomalist.features.backbone import Backbone
from anomalist.features.tiles import TileGrid


@dataclass(frozen=True, eq=False)
class Preparation:
    """Between the transform and the backbone: what is ignored is filled with what is usual there.

    A large frame then passes the backbone tile by tile.

    Methods, calibration, metrics and reports know nothing of it: feature maps are those of good
    photographs, and maps lie in the frame that the transform gives.

    Parameters
    ----------
    ignored : Ignored, optional
        Which pixels count for nothing; none do by default.
    tiles : TileGrid, optional
        Where the frame is cut; by default it passes as one.
    at_once : int
        Tiles that pass the backbone at once.
    """

    ignored: Ignored | None = None
    tiles: TileGrid | None = None
    at_once: int = 8

    @property
    def key(self) -> str:
        """What feature maps that were made so are known by; empty if it does nothing."""
        steps = ["" if step is None else step.key for step in (self.ignored, self.tiles)]
        return " ".join(filter(None, steps))

    def photographs_at_once(self, batch_size: int) -> int:
        """Return how many photographs have no more pixels than so many tiles."""
        if self.tiles is None:
            return batch_size
        (height, width), (down, across) = self.tiles.frame, self.tiles.tile
        return max(1, batch_size * down * across // (height * width))

    def sight(self, transform: Transform) -> Sight:
        """Return how photographs are seen that pass a transform first."""
        return transform if self.ignored is None else Filled(transform, self.ignored)

    def pixels(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return transformed photographs (B, H, W, 3) as the backbone sees them."""
        return pixels if self.ignored is None else self.ignored(pixels)

    def maps(self, backbone: Backbone, pixels: npt.NDArray[np.uint8]) -> list[Tensor]:
        """Return the feature maps of transformed photographs.

        Parameters
        ----------
        backbone : Backbone
            Whose layers are asked for.
        pixels : uint8 array of shape (B, H, W, 3)
            As the transform gives them, or `pixels`.

        Returns
        -------
        list of float32 tensors of shape (B, C, h, w)
            One a layer.
        """
        filled = self.pixels(pixels)
        if self.tiles is None:
            return backbone(filled)
        return self.tiles.maps(backbone, torch.as_tensor(filled), at_once=self.at_once)

    def shapes(self, backbone: Backbone, frame: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Return the shapes (C, h, w) of the feature maps of a frame, computing none.

        Raises
        ------
        ParameterError
            If the network can't take images, or tiles, of that size.
        """
        if self.tiles is None:
            return backbone.shapes(*frame)
        return self.tiles.shapes(backbone.shapes(*self.tiles.tile))

    def traced(self, backbone: Backbone, pixels: Tensor) -> list[Tensor]:
        """Return the same of uint8 pixels (B, 3, H, W), by operations that can be traced."""
        if self.ignored is not None:
            mask = torch.from_numpy(self.ignored.mask)
            usual = torch.from_numpy(self.ignored.picture).permute(2, 0, 1)
            pixels = torch.where(mask, usual, pixels)
        if self.tiles is None:
            return backbone.traced(pixels)
        return self.tiles.traced(backbone.traced, pixels)

    def ignored_in(self, images: int, size: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """Return where so many images are ignored, (N, H, W), in the frame of maps of a size.

        Returns
        -------
        bool array or None
            None where nothing is.
        """
        if self.ignored is None:
            return None
        return np.broadcast_to(self.ignored.resized(size).mask, (images, *size))

    def back(self, maps: Tensor) -> Tensor:
        """Return anomaly maps (B, H, W) with the lowest value of each where it is ignored.

        The lowest is that of the pixels that count.
        """
        if self.ignored is None:
            return maps
        height, width = maps.shape[-2:]
        mask = torch.from_numpy(self.ignored.resized((height, width)).mask).to(maps.device)
        lowest = maps.masked_fill(mask, torch.inf).amin(dim=(1, 2), keepdim=True)
        return torch.where(mask, lowest, maps)
