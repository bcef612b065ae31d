"""CFA step by step in float64: all distances, sorted, and autograd through them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array = npt.NDArray[np.float64]


class Descriptor(nn.Module):
    """A 1 x 1 convolution that also sees the coordinates of a location."""

    def __init__(self, weight: Array, bias: Array) -> None:
        super().__init__()
        self.conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1, dtype=torch.float64)
        with torch.no_grad():
            self.conv.weight.copy_(torch.from_numpy(weight)[:, :, None, None])
            self.conv.bias.copy_(torch.from_numpy(bias))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Turn embeddings (B, h, w, C) into described patches (B, h * w, D)."""
        batch, height, width, channels = embeddings.shape
        joined = torch.empty(batch, channels + 2, height, width, dtype=torch.float64)
        joined[:, :channels] = embeddings.permute(0, 3, 1, 2)
        for y in range(height):
            joined[:, channels, y] = 2 * y / (height - 1) - 1
        for x in range(width):
            joined[:, channels + 1, :, x] = 2 * x / (width - 1) - 1
        return self.conv(joined).flatten(2).transpose(1, 2)


def mean_centroids(descriptor: Descriptor, embeddings: Tensor) -> Tensor:
    """The running mean, image by image, of the described patches at each location."""
    bank = torch.zeros(())
    with torch.no_grad():
        for i, image in enumerate(embeddings):
            bank = (bank * i + descriptor(image[None])[0]) / (i + 1)
    return bank


def all_distances(described: Tensor, bank: Tensor) -> Tensor:
    """Squared distances (B, T, M), ascending along the last axis."""
    differences = described[:, :, None] - bank
    return differences.pow(2).sum(dim=3).sort(dim=2).values


def loss(squared: Tensor, radius: Tensor, K: int, J: int, nu: float, alpha: float) -> Tensor:
    """The soft boundary: attraction to the first K centroids, repulsion from the next J."""
    attraction = torch.relu(squared[:, :, :K] - radius**2).mean()
    repulsion = torch.relu(radius**2 - squared[:, :, K : K + J] - alpha).mean()
    return (attraction + repulsion) / nu


def train(
    descriptor: Descriptor,
    radius: nn.Parameter,
    bank: Tensor,
    batches: Iterable[Tensor],
    *,
    K: int,
    J: int,
    nu: float,
    alpha: float,
    lr: float,
    weight_decay: float,
) -> list[float]:
    """One step a batch of embeddings; returns the losses."""
    optimizer = torch.optim.AdamW(
        [*descriptor.parameters(), radius], lr=lr, weight_decay=weight_decay, amsgrad=True
    )
    losses = []
    for batch in batches:
        optimizer.zero_grad()
        value = loss(all_distances(descriptor(batch), bank), radius, K, J, nu, alpha)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def patch_scores(descriptor: Descriptor, embeddings: Tensor, bank: Tensor, K: int) -> Array:
    """The nearest distance times its softmin weight among the K nearest, (B, h, w)."""
    with torch.no_grad():
        distances = all_distances(descriptor(embeddings), bank)[:, :, :K].sqrt()
    weights = torch.nn.functional.softmin(distances, dim=2)
    scores: Array = (weights * distances)[:, :, 0].reshape(embeddings.shape[:3]).numpy()
    return scores
