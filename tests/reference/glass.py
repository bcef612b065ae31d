"""One training iteration of GLASS (Chen et al., ECCV 2024), plain: autograd for every gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def discriminator(dimension: int, hidden: int, layers: int = 2) -> nn.Sequential:
    """Linear, batch norm, leaky ReLU, as often as there are hidden layers, and a linear score."""
    modules: list[nn.Module] = []
    for _ in range(layers - 1):
        modules += [nn.Linear(dimension, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2)]
        dimension = hidden
    return nn.Sequential(*modules, nn.Linear(dimension, 1, bias=False), nn.Sigmoid())


def clamp_distance(points: Tensor, origins: Tensor, low: float, high: float) -> Tensor:
    """Move points along their rays from the origins until their distances are in [low, high]."""
    rays = points - origins
    lengths = rays.norm(dim=1)
    return origins + (lengths.clamp(low, high) / (lengths + 1e-10))[:, None] * rays


def cross_entropy(scores: Tensor, label: float) -> Tensor:
    return nn.functional.binary_cross_entropy(scores, torch.full_like(scores, label))


def focal(scores: Tensor, labels: Tensor, gamma: float = 2, smooth: float = 1e-5) -> Tensor:
    """Lin et al. 2017, with smoothed labels as in the official code."""
    target = labels.clamp(smooth, 1 - smooth)
    right = target * scores + (1 - target) * (1 - scores) + smooth
    return (-((1 - right) ** gamma) * right.log()).mean()


def iteration(
    projection: nn.Module,
    judge: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    clean: Tensor,
    augmented: Tensor,
    labels: Tensor,
    noise: Tensor,
    center: Tensor,
    *,
    hypersphere: bool,
    step: int,
    mining: int,
    p: float,
    radius: float,
) -> dict[str, Tensor]:
    """Do one iteration and return its losses and the points that were moved.

    ``clean``, ``augmented``, ``noise`` and ``center`` have the shape (N, D), ``labels`` (N,).
    """
    for optimizer in optimizers:
        optimizer.zero_grad()
    true = projection(clean)
    fake = projection(augmented)
    moved = true + noise
    if not moved.requires_grad:  # without a projection, nothing before it does
        moved.requires_grad_()
    normal = torch.cat([fake[labels == 0], true])
    normal_center = torch.cat([center[labels == 0], center])
    r = torch.quantile((normal - normal_center).norm(dim=1), radius).item()

    if mining:
        for i in range(step):
            scores = judge(torch.cat([true, moved]))
            loss = cross_entropy(scores[len(true) :], 1.0)
            (gradient,) = torch.autograd.grad(loss, [moved])
            direction = gradient / (gradient.norm(dim=1, keepdim=True) + 1e-10)
            moved = moved + 0.001 * direction
            if (i + 1) % 5 == 0:
                if hypersphere:
                    moved = clamp_distance(moved, center, r, 2 * r)
                else:
                    moved = clamp_distance(moved, true, 0.5, 1.0)
    scores = judge(torch.cat([true, moved]))
    true_loss = cross_entropy(scores[: len(true)], 0.0)
    moved_loss = cross_entropy(scores[len(true) :], 1.0)

    if hypersphere:
        inside = labels == 1
        pushed = clamp_distance(fake[inside], center[inside], 2 * r, 4 * r)
        fake = (
            torch.empty_like(fake).index_put((inside,), pushed).index_put((~inside,), fake[~inside])
        )
    fake_scores = judge(fake)[:, 0]
    if p > 0:
        error = (fake_scores - labels) ** 2
        hard = error >= torch.quantile(error, p)
    else:
        hard = torch.ones_like(labels, dtype=torch.bool)
    fake_loss = focal(fake_scores[hard], labels[hard])

    loss = true_loss + moved_loss + fake_loss
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    return {
        "loss": loss.detach(),
        "true_loss": true_loss.detach(),
        "moved_loss": moved_loss.detach(),
        "fake_loss": fake_loss.detach(),
        "moved": moved.detach(),
        "fake": fake.detach(),
        "r": torch.tensor(r),
    }
