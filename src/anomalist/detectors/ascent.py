"""Global anomaly synthesis: features near the normal ones, moved up the discriminator's loss.

GLASS, section 3.3: Gaussian noise sets off from normal features; steps of gradient ascent, each of
a fixed length, look for what the discriminator gets most wrong; a truncated projection keeps the
points in a shell around the normal features (manifold) or around their centre (hypersphere).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anomalist.compiling import njit

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

RATE = 0.001
"""Length of a step, in units of the features."""
_ROWS = 256  # of a block that a thread takes: its sums stay exact enough in float32
# Summation may be reordered, to use vector registers; nan and inf keep their meaning.
_FAST = {"reassoc", "contract", "nsz"}


class Ascent:
    """Steps up the loss of points that should be told from clean ones, at fixed weights.

    The discriminator normalises clean and moved points as one batch, so both count at every step;
    but the clean ones stand still, so their part of its first layer is computed once, and of all
    gradients only the one with respect to the moved points is.

    Parameters
    ----------
    body : nn.Sequential
        The discriminator's layers in training mode: Linear, BatchNorm1d, LeakyReLU, as often as
        there are hidden layers, then a Linear to one number; without biases and its sigmoid.
    clean_hidden : Tensor of shape (N, H)
        What the first layer makes of the clean points.
    half : bool
        Compute matrix products in bfloat16.

    Examples
    --------
    >>> first, last = nn.Linear(3, 4, bias=False), nn.Linear(4, 1, bias=False)
    >>> body = nn.Sequential(first, nn.BatchNorm1d(4), nn.LeakyReLU(0.2), last)
    >>> clean = torch.rand(8, 3)
    >>> ascent = Ascent(body, first(clean).detach())
    >>> ascent(clean + 0.1, steps=2).sub(clean + 0.1).norm(dim=1).max() <= 2.001 * RATE
    tensor(True)
    """

    def __init__(self, body: nn.Sequential, clean_hidden: Tensor, *, half: bool = False) -> None:
        first = body[0]
        assert isinstance(first, nn.Linear)
        self._rest: nn.Sequential = body[1:]
        self._half = half
        self._clean = clean_hidden
        self._weight = first.weight.detach()
        self._fused = clean_hidden.is_cpu and len(body) == 4
        if self._fused:
            hidden = clean_hidden.numpy()
            self._pivot = hidden.mean(axis=0)
            self._clean_sums = _summed(_column_sums, (hidden,), self._pivot)
        # The steps need hidden values alone; where layers are wider than half the features, it is
        # cheaper to step in the features.
        inputs, outputs = first.in_features, first.out_features
        self._in_hidden = not half and outputs < 2 * inputs
        if self._in_hidden:
            self._gram = self._weight @ self._weight.T

    def __call__(self, points: Tensor, steps: int) -> Tensor:
        """Return the points (N, D) after so many steps; batch norms keep count of them."""
        if steps == 0:
            return points
        hidden = self._hidden(points)
        if not self._in_hidden:
            points = points.clone()
            for i in range(steps):
                slope = self._slope(hidden)
                direction = linear(slope, self._weight.T, half=self._half)
                points += direction.mul_(_rates(direction.norm(dim=1)))
                if i < steps - 1:
                    hidden = self._hidden(points)
            return points
        # In terms of hidden values: a step adds a multiple of slope @ W to a point, so of
        # slope @ W @ W.T to its hidden values.
        moves = torch.zeros_like(hidden)
        for _ in range(steps):
            slope = self._slope(hidden)
            change = slope @ self._gram
            squares = torch.linalg.vecdot(change, slope).clamp_(min=0)
            rates = _rates(squares.sqrt_())
            hidden.add_(change.mul_(rates))
            moves.add_(slope.mul_(rates))
        return points + moves @ self._weight

    def _hidden(self, points: Tensor) -> Tensor:
        return linear(points, self._weight, half=self._half)

    def _slope(self, hidden: Tensor) -> Tensor:
        """The derivative (N, H) of the loss by the hidden values of the moved points."""
        if self._fused:
            return self._fused_slope(hidden)
        # BatchNorm's statistics are of both halves.
        moved = hidden.detach().requires_grad_()
        with torch.enable_grad():
            logits = self._rest(torch.cat([self._clean, moved]))[len(self._clean) :]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
            (slope,) = torch.autograd.grad(loss, [moved])
        return slope

    def _fused_slope(self, hidden: Tensor) -> Tensor:
        norm, leaky, tail = self._rest
        assert isinstance(norm, nn.BatchNorm1d)
        assert isinstance(leaky, nn.LeakyReLU)
        assert isinstance(tail, nn.Linear)
        values = hidden.numpy()
        count = len(values) + len(self._clean)
        sums = self._clean_sums + _summed(_column_sums, (values,), self._pivot)
        offset = sums[0] / count
        variance = sums[1] / count - offset**2
        mean = self._pivot + offset
        _count_batch(norm, mean, variance, count)
        inverse = 1 / np.sqrt(variance + norm.eps)
        gain = norm.weight.detach().numpy() * inverse
        scale = gain.astype(np.float32)
        shift = (norm.bias.detach().numpy() - mean * gain).astype(np.float32)
        layers = (scale, shift, tail.weight.detach().numpy()[0], np.float32(leaky.negative_slope))
        slopes = np.empty(len(values), np.float32)
        grads = _summed(_backward_sums, (values, slopes), *layers, mean.astype(np.float32))
        # Of batch norm's derivative: the gradient's mean, and its mean along the normalised value.
        flat = grads[0] / count
        along = grads[1] * inverse**2 / count
        result = torch.empty_like(hidden)
        outer = (gain * (flat - along * mean)).astype(np.float32)
        _on_blocks(
            _derivative,
            (values, slopes, result.numpy()),
            *layers,
            outer,
            (gain * along).astype(np.float32),
        )
        return result


class _Half(torch.autograd.Function):
    """A linear layer whose matrix products are computed in bfloat16, forth and back."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        inputs, weight = inputs.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(inputs, weight)
        return (inputs @ weight.T).float()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        slope = slope.bfloat16()
        by_inputs = (slope @ weight).float() if ctx.needs_input_grad[0] else None
        by_weight = (slope.T @ inputs).float() if ctx.needs_input_grad[1] else None
        return by_inputs, by_weight


def linear(
    inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *, half: bool = False
) -> Tensor:
    """Return ``inputs @ weight.T + bias``, on request with the product computed in bfloat16.

    Examples
    --------
    >>> linear(torch.ones(1, 2), torch.ones(3, 2), half=True)
    tensor([[2., 2., 2.]])
    """
    if not half:
        full: Tensor = nn.functional.linear(inputs, weight, bias)
        return full
    product: Tensor = _Half.apply(inputs, weight)
    return product if bias is None else product + bias


def truncate(points: Tensor, origins: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Move points along their rays from the origins until their distances are in [low, high].

    Parameters
    ----------
    points, origins : Tensor of shape (N, D)
        What to move, and around what.
    low, high : Tensor or float
        Bounds of the distance, one for all or of shape (N,).

    Returns
    -------
    Tensor of shape (N, D)
        Equations 4 and 5 of the paper; differentiable by points and origins.

    Examples
    --------
    >>> truncate(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), torch.zeros(2, 2), 1.0, 2.0)
    tensor([[1.2000, 1.6000],
            [0.6000, 0.8000]])
    """
    rays = points - origins
    lengths = rays.norm(dim=1)
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        low = torch.as_tensor(low, device=lengths.device)
        high = torch.as_tensor(high, device=lengths.device)
        clamped = torch.minimum(torch.maximum(lengths, low), high)
    else:
        clamped = lengths.clamp(low, high)
    moved: Tensor = origins + rays * (clamped / (lengths + 1e-10))[:, None]
    return moved


def _rates(norms: Tensor) -> Tensor:
    return (RATE / (norms + 1e-10))[:, None]


def _count_batch(norm: nn.BatchNorm1d, mean: Float64, variance: Float64, count: int) -> None:
    """Let a batch norm's running statistics see a batch."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    unbiased = variance * (count / max(count - 1, 1))
    norm.running_mean.lerp_(torch.from_numpy(mean.astype(np.float32)), norm.momentum)
    norm.running_var.lerp_(torch.from_numpy(unbiased.astype(np.float32)), norm.momentum)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)


_POOL = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="anomalist-ascent")


def _on_blocks(kernel: Callable[..., Any], rows: tuple[Float32, ...], *shared: Any) -> list[Any]:
    """Run a kernel on a share of the rows in each thread, and return its results in order."""
    count = len(rows[0])
    share = -(-count // (torch.get_num_threads() * _ROWS)) * _ROWS
    tasks = [
        _POOL.submit(kernel, *(array[start : start + share] for array in rows), *shared)
        for start in range(0, count, share)
    ]
    return [task.result() for task in tasks]


def _summed(kernel: Callable[..., Any], rows: tuple[Float32, ...], *shared: Any) -> Float64:
    total: Float64 = np.sum(_on_blocks(kernel, rows, *shared), axis=0)
    return total


@njit(fastmath=_FAST)
def _column_sums(values: Float32, pivot: Float32) -> Float64:
    """Sums and sums of squares (2, H) of the columns, less a pivot."""
    columns = values.shape[1]
    total = np.zeros((2, columns))
    partial = np.zeros((2, columns), np.float32)
    for start in range(0, values.shape[0], _ROWS):
        partial[:] = 0
        for i in range(start, min(start + _ROWS, values.shape[0])):
            for j in range(columns):
                x = values[i, j] - pivot[j]
                partial[0, j] += x
                partial[1, j] += x * x
        total += partial
    return total


@njit(fastmath=_FAST)
def _backward_sums(
    values: Float32,
    slopes: Float32,
    scale: Float32,
    shift: Float32,
    weights: Float32,
    leak: np.float32,
    mean: Float32,
) -> Float64:
    """Fill in the slope of -log(sigmoid) at each logit, and sum up the gradient of the norm."""
    columns = values.shape[1]
    total = np.zeros((2, columns))
    partial = np.zeros((2, columns), np.float32)
    for start in range(0, values.shape[0], _ROWS):
        partial[:] = 0
        for i in range(start, min(start + _ROWS, values.shape[0])):
            logit = np.float32(0)
            for j in range(columns):
                y = values[i, j] * scale[j] + shift[j]
                logit += weights[j] * max(y, leak * y)
            slope = np.float32(-1 / (1 + np.exp(logit)))
            slopes[i] = slope
            for j in range(columns):
                x = values[i, j]
                passed = np.float32(1) if x * scale[j] + shift[j] > 0 else leak
                gradient = slope * weights[j] * passed
                partial[0, j] += gradient
                partial[1, j] += gradient * (x - mean[j])
        total += partial
    return total


@njit(fastmath=_FAST)
def _derivative(
    values: Float32,
    slopes: Float32,
    result: Float32,
    scale: Float32,
    shift: Float32,
    weights: Float32,
    leak: np.float32,
    flat: Float32,
    along: Float32,
) -> None:
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            x = values[i, j]
            passed = np.float32(1) if x * scale[j] + shift[j] > 0 else leak
            result[i, j] = slopes[i] * weights[j] * passed * scale[j] - flat[j] - along[j] * x
