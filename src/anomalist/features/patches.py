"""Patch embeddings: feature maps of several layers brought to one vector a location."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from anomalist.errors import ParameterError


def patch_embeddings(
    maps: Sequence[Tensor],
    neighbourhood: int = 3,
    *,
    size: tuple[int, int] | None = None,
    layer_dimension: int | None = None,
    dimension: int | None = None,
) -> Tensor:
    """Join the feature maps of several layers into one embedding a patch.

    Each map is averaged over a neighbourhood of locations (the aggregation of PatchCore, section
    3.1; zeros beyond the border count, as in its reference code), brought to one resolution by
    bilinear interpolation, and joined channel by channel.

    Parameters
    ----------
    maps : sequence of tensors of shape (B, C_l, h_l, w_l)
        Feature maps.
    neighbourhood : int
        Side of the neighbourhood in locations, odd; 1 leaves the maps as they are.
    size : (int, int), optional
        Resolution (h, w), by default that of the first map.
    layer_dimension : int, optional
        Values of each layer, in each of which an equal share of the neighbourhood's values is
        averaged, channel after channel, instead of one a channel (what the reference codes of
        PatchCore and GLASS call ``pretrain_embed_dimension``).
    dimension : int, optional
        Values in all: in each, an equal share of what the layers gave is averaged (their
        ``target_embed_dimension``).

    Returns
    -------
    Tensor of shape (B, h, w, C)
        C is the sum of the maps' channels, if no dimension is given. Contiguous.

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
    if size is None:
        height, width = maps[0].shape[-2:]
        size = (height, width)
    pooled = []
    for layer in maps:
        if layer_dimension is not None and layer_dimension != layer.shape[1]:
            layer = _binned(layer, neighbourhood, layer_dimension)
        elif neighbourhood > 1:
            layer = F.avg_pool2d(layer, neighbourhood, stride=1, padding=neighbourhood // 2)
        if layer.shape[-2:] != size:
            layer = F.interpolate(layer, size, mode="bilinear", align_corners=False)
        pooled.append(layer.permute(0, 2, 3, 1))
    joined = torch.cat(pooled, dim=-1)
    if dimension is not None and dimension != joined.shape[-1]:
        batch, height, width, channels = joined.shape
        joined = F.adaptive_avg_pool1d(joined.reshape(batch, -1, channels), dimension)
        joined = joined.reshape(batch, height, width, dimension)
    return joined.contiguous()


def _binned(layer: Tensor, neighbourhood: int, bins: int) -> Tensor:
    """Average the values of each neighbourhood (B, C * k * k, h, w) in so many equal shares."""
    batch, _, height, width = layer.shape
    windows = F.unfold(layer, neighbourhood, padding=neighbourhood // 2)
    shares = F.adaptive_avg_pool1d(windows.transpose(1, 2), bins)
    return shares.transpose(1, 2).reshape(batch, bins, height, width)
