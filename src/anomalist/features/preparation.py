"""What happens to transformed photographs before a backbone sees them, and to maps afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.data.ignoring import Ignored
from anomalist.features.backbone import Backbone


@dataclass(frozen=True, eq=False)
class Preparation:
    """Between the transform and the backbone: what is ignored is filled with what is usual there.

    Methods, calibration, metrics and reports know nothing of it: feature maps are those of good
    photographs, and maps lie in the frame that the transform gives.

    Parameters
    ----------
    ignored : Ignored, optional
        Which pixels count for nothing; none do by default.
    """

    ignored: Ignored | None = None

    @property
    def key(self) -> str:
        """Hash by which feature maps that were made so are known; empty if it does nothing."""
        return "" if self.ignored is None else self.ignored.key

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
        return backbone(self.pixels(pixels))

    def traced(self, backbone: Backbone, pixels: Tensor) -> list[Tensor]:
        """Return the same of uint8 pixels (B, 3, H, W), by operations that can be traced."""
        if self.ignored is not None:
            mask = torch.from_numpy(self.ignored.mask)
            usual = torch.from_numpy(self.ignored.picture).permute(2, 0, 1)
            pixels = torch.where(mask, usual, pixels)
        return backbone.traced(pixels)

    def back(self, maps: Tensor) -> Tensor:
        """Return anomaly maps (B, H, W) with the lowest value of each where it is ignored.

        The lowest is that of the pixels that count.
        """
        if self.ignored is None:
            return maps
        mask = torch.from_numpy(self.ignored.mask).to(maps.device)
        lowest = maps.masked_fill(mask, torch.inf).amin(dim=(1, 2), keepdim=True)
        return torch.where(mask, lowest, maps)
