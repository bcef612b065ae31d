"""What happens to transformed photographs before a backbone sees them, and to maps afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.data import ImageSet, Sample, Transform
from anomalist.data.ignoring import Filled, Ignored, Sight
from anomalist.data.motion import Motion
from anomalist.data.registration import Registration
from anomalist.features.backbone import Backbone
from anomalist.features.moving_back import moved_back
from anomalist.features.tiles import TileGrid

# What is ignored by as much of a pixel is ignored.
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class Preparation:
    """What is done to photographs before the backbone sees them, and undone to its maps.

    They are registered, so that the part alone is shown; then what is ignored is filled with what
    is usual there, and a large frame passes the backbone tile by tile. Methods, calibration,
    metrics and reports know nothing of it: feature maps are those of good photographs, and maps lie
    in the frame that the transform gives.

    Parameters
    ----------
    ignored : Ignored, optional
        Which pixels count for nothing, of those that the backbone sees; none do by default.
    tiles : TileGrid, optional
        Where the frame is cut; by default it passes as one.
    at_once : int
        Tiles that pass the backbone at once.
    registration : Registration, optional
        Finds the part; by default photographs are seen as they are transformed.
    """

    ignored: Ignored | None = None
    tiles: TileGrid | None = None
    at_once: int = 8
    registration: Registration | None = None

    @property
    def key(self) -> str:
        """What feature maps that were made so are known by; empty if it does nothing."""
        steps = (self.registration, self.ignored, self.tiles)
        return " ".join(step.key for step in steps if step is not None)

    def photographs_at_once(self, batch_size: int) -> int:
        """Return how many photographs have no more pixels than so many tiles."""
        if self.tiles is None:
            return batch_size
        (height, width), (down, across) = self.tiles.frame, self.tiles.tile
        return max(1, batch_size * down * across // (height * width))

    def sight(self, transform: Transform) -> Sight:
        """Return how photographs are seen that pass a transform first."""
        if self.ignored is None or self.registration is not None:
            return transform
        return Filled(transform, self.ignored)

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
            seen = frame if self.registration is None else self.registration.frame
            return backbone.shapes(*seen)
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

    def motions(self, images: Iterable[Sample], view: Transform) -> list[Motion | None]:
        """Return how the part lies in each photograph; None where that can't be told, or isn't.

        Those that were just seen know it, others are read.
        """
        if self.registration is None:
            return [None for _ in images]
        found = []
        for sample in images:
            known = sample.motion(self.registration.key)
            if known is None:
                image = sample.read(view.bit_depth)
                known = (self.registration.find(image, sample.size(), view.interpolation),)
                sample.keep_motion(self.registration.key, known[0])
            found.append(known[0])
        return found

    def ignored_in(self, images: ImageSet, view: Transform) -> npt.NDArray[np.bool_] | None:
        """Return where photographs are ignored, (N, H, W), in the frame of their maps.

        Parameters
        ----------
        images : ImageSet
            N photographs.
        view : Transform
            Brings them to that frame.

        Returns
        -------
        bool array or None
            None where nothing is.
        """
        if self.ignored is None:
            return None
        if self.registration is None:
            size = view.output_size
            return np.broadcast_to(self.ignored.resized(size).mask, (len(images), *size))
        mask = torch.from_numpy(self.ignored.mask[None].astype(np.float32))
        placed = [
            moved_back(
                mask[0], self.registration.affine(motion, view.output_size), view.output_size
            )
            for motion in self.motions(images, view)
        ]
        return (torch.stack(placed) > _HALF).numpy()

    def back(self, maps: Tensor, images: Iterable[Sample], view: Transform) -> Tensor:
        """Return anomaly maps in the frame of the photographs.

        Parameters
        ----------
        maps : tensor of shape (B, H, W)
            As large as what the backbone sees.
        images : iterable of Sample
            The photographs.
        view : Transform
            Brings them to the frame.

        Returns
        -------
        tensor of shape (B, h, w)
            With the lowest value of each where it is ignored, or wasn't seen.
        """
        counted = self.lowered(maps)
        if self.registration is None:
            return counted
        size = view.output_size
        placed = [
            moved_back(values, self.registration.affine(motion, size), size)
            for values, motion in zip(counted, self.motions(images, view), strict=True)
        ]
        return torch.stack(placed)

    def lowered(self, maps: Tensor) -> Tensor:
        """Return anomaly maps (B, H, W) with the lowest value of each where it is ignored.

        The lowest is that of the pixels that count.
        """
        if self.ignored is None:
            return maps
        height, width = maps.shape[-2:]
        mask = torch.from_numpy(self.ignored.resized((height, width)).mask).to(maps.device)
        lowest = maps.masked_fill(mask, torch.inf).amin(dim=(1, 2), keepdim=True)
        return torch.where(mask, lowest, maps)
