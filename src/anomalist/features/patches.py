"""Patch embeddings: feature maps of several layers brought to one vector a location."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from anomalist.errors import ParameterError


def patch_embeddings(maps: Sequence[Tensor], neighbourhood: int = 3) -> Tensor:
    """Join the feature maps of several layers into one embedding a patch.

    Each map is averaged over a neighbourhood of locations (the aggregation of PatchCore, section
    3.1; zeros beyond the border count, as in its reference code), brought to the resolution of the
    first by bilinear interpolation, and joined channel by channel.

    Parameters
    ----------
    maps : sequence of tensors of shape (B, C_l, h_l, w_l)
        Feature maps; the first sets the resolution (h, w).
    neighbourhood : int
        Side of the neighbourhood in locations, odd; 1 leaves the maps as they are.

    Returns
    -------
    Tensor of shape (B, h, w, C)
        C is the sum of the maps' channels. Contiguous.

    Raises
    ------
    ParameterError
        If the neighbourhood isn't odd and positive.

    Examples
    --------
    >>> maps = [torch.ones(1, 2, 8, 8), torch.ones(1, 3, 4, 4)]
    >>> patch_embeddings(maps).shape
    torch.Size([1, 8, 8, 5])
    """
    if neighbourhood < 1 or neighbourhood % 2 == 0:
        raise ParameterError(f"neighbourhood must be odd and positive, not {neighbourhood}")
    size = maps[0].shape[-2:]
    pooled = []
    for layer in maps:
        if neighbourhood > 1:
            layer = F.avg_pool2d(layer, neighbourhood, stride=1, padding=neighbourhood // 2)
        if layer.shape[-2:] != size:
            layer = F.interpolate(layer, size, mode="bilinear", align_corners=False)
        pooled.append(layer.permute(0, 2, 3, 1))
    return torch.cat(pooled, dim=-1).contiguous()
