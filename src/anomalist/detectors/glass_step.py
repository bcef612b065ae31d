"""What GLASS trains, a projection and a discriminator, and one iteration of its training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anomalist.detectors.ascent import Ascent, linear, truncate

Float64 = npt.NDArray[np.float64]

_LEAK = 0.2
_TRUNCATION_PERIOD = 5
_MANIFOLD_SHELL = (0.5, 1.0)
_FOCAL_EXPONENT = 2
_FOCAL_SMOOTHING = 1e-5


class Network(nn.Module):
    """A linear projection of features, and a discriminator that scores them from 0 to 1.

    Before both, features are shifted and scaled by the buffers ``shift`` and ``scale``, which leave
    them as they are until they are set.

    Parameters
    ----------
    dimension : int
        Of the features, D.
    pre_proj : int
        Layers of the projection; 0 leaves features as they are.
    dsc_layers : int
        Layers of the discriminator, the last one included.
    dsc_hidden : int
        Width of its hidden layers, H.

    Examples
    --------
    >>> network = Network(8, pre_proj=1, dsc_layers=2, dsc_hidden=16).eval()
    >>> network(torch.rand(5, 8)).shape
    torch.Size([5])
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, dimension: int, *, pre_proj: int, dsc_layers: int, dsc_hidden: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(dimension))
        self.register_buffer("scale", torch.ones(dimension))
        self.projection = nn.Sequential(*(nn.Linear(dimension, dimension) for _ in range(pre_proj)))
        layers: list[nn.Module] = []
        for _ in range(dsc_layers - 1):
            layers += [
                # A batch norm takes away whatever bias stands before it.
                nn.Linear(dimension, dsc_hidden, bias=False),
                nn.BatchNorm1d(dsc_hidden),
                nn.LeakyReLU(_LEAK),
            ]
            dimension = dsc_hidden
        self.body = nn.Sequential(*layers, nn.Linear(dimension, 1, bias=False))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights by Xavier's normal rule, and biases as torch does."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight, generator=generator)
                if layer.bias is not None:
                    bound = layer.in_features**-0.5
                    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)

    def standardized(self, features: Tensor) -> Tensor:
        """Shift and scale features (..., D)."""
        return (features - self.shift) * self.scale

    def standardize(self, mean: Float64, deviation: Float64, spread: float) -> None:
        """Bring features of these means and deviations (D,) to mean 0 and one deviation."""
        scale = np.divide(spread, deviation, out=np.zeros_like(mean), where=deviation > 0)
        self.shift.copy_(torch.from_numpy(mean.astype(np.float32)))
        self.scale.copy_(torch.from_numpy(scale.astype(np.float32)))

    def forward(self, features: Tensor) -> Tensor:
        """Score features (N, D)."""
        scores: Tensor = self.body(self.projection(self.standardized(features)))
        return scores.sigmoid()[:, 0]


@dataclass(frozen=True)
class Iteration:
    """The settings of an iteration, named as GLASS's hyperparameters; see there."""

    hypersphere: bool
    step: int
    mining: int
    p: float
    radius: float
    gas: float = 1.0
    half: bool = False


def losses(
    network: Network,
    clean: Tensor,
    augmented: Tensor,
    labels: Tensor,
    noise: Tensor,
    center: Tensor,
    settings: Iteration,
) -> dict[str, Tensor]:
    """Compute the losses of one iteration: the paper's equations 2 to 8.

    Parameters
    ----------
    network : Network
        In training mode; its batch norms see every step of the ascent, as in the official code.
    clean, augmented : Tensor of shape (N, D)
        Standardized features of patches, and of the same patches of images with synthetic defects.
    labels : bool Tensor of shape (N,)
        Which augmented patches show a defect.
    noise : Tensor of shape (N, D)
        What sets moved points off from clean ones.
    center : Tensor of shape (N, D)
        The mean projected feature at each patch's location.
    settings : Iteration
        Hyperparameters.

    Returns
    -------
    dict of Tensors
        ``true_loss``, ``moved_loss`` and ``fake_loss``, whose sum is to be minimised; ``moved`` and
        ``fake``, the points (N, D) that were told from clean ones; scores of all three (N,),
        without gradients; and ``r``, the radius of normal features. Without global synthesis no
        point is moved: ``moved`` is empty, its loss 0.
    """
    half = settings.half
    true = _through(network.projection, clean, half)
    fake = _through(network.projection, augmented, half)
    with torch.no_grad():
        distances = torch.cat([(fake - center).norm(dim=1)[~labels], (true - center).norm(dim=1)])
        r = _quantile(distances, settings.radius)
    first, rest = network.body[0], network.body[1:]
    assert isinstance(first, nn.Linear)
    hidden = true_hidden = linear(true, first.weight, half=half)
    moved = true[:0]
    if settings.gas > 0:
        moved = _moved(network, true, true_hidden, noise, center, r, settings)
        hidden = torch.cat([true_hidden, linear(moved, first.weight, half=half)])
    true_scores, moved_scores = rest(hidden).sigmoid()[:, 0].split([len(true), len(moved)])
    moved_loss = torch.zeros_like(r)
    if settings.gas > 0:
        moved_loss = settings.gas * nn.functional.binary_cross_entropy(
            moved_scores, torch.ones_like(moved_scores)
        )

    if settings.hypersphere:
        pushed = truncate(fake[labels], center[labels], 2 * r, 4 * r)
        fake = fake.masked_scatter(labels[:, None], pushed)
    fake_scores = rest(linear(fake, first.weight, half=half)).sigmoid()[:, 0]
    target = labels.to(fake_scores.dtype)
    hard = torch.ones_like(labels)
    if settings.p > 0:
        error = (fake_scores.detach() - target).square()
        hard = error >= _quantile(error, settings.p)
    return {
        "true_loss": nn.functional.binary_cross_entropy(true_scores, torch.zeros_like(true_scores)),
        "moved_loss": moved_loss,
        "fake_loss": _focal(fake_scores[hard], target[hard]),
        "true_scores": true_scores.detach(),
        "moved_scores": moved_scores.detach(),
        "fake_scores": fake_scores.detach(),
        "moved": moved.detach(),
        "fake": fake.detach(),
        "r": r,
    }


def _moved(
    network: Network,
    true: Tensor,
    true_hidden: Tensor,
    noise: Tensor,
    center: Tensor,
    r: Tensor,
    settings: Iteration,
) -> Tensor:
    """Global synthesis: set projected features off by noise, move them uphill, into the shell."""
    moved = true + noise
    if not (settings.mining and settings.step):
        return moved
    ascent = Ascent(network.body, true_hidden.detach(), half=settings.half)
    for done in range(0, settings.step, _TRUNCATION_PERIOD):
        steps = min(_TRUNCATION_PERIOD, settings.step - done)
        with torch.no_grad():
            move = ascent(moved.detach(), steps) - moved
        moved = moved + move
        if steps == _TRUNCATION_PERIOD:
            if settings.hypersphere:
                moved = truncate(moved, center, r, 2 * r)
            else:
                moved = truncate(moved, true, *_MANIFOLD_SHELL)
    return moved


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes matrix products in bfloat16 natively."""
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def _through(layers: nn.Sequential, features: Tensor, half: bool) -> Tensor:
    for layer in layers:
        assert isinstance(layer, nn.Linear)
        features = linear(features, layer.weight, layer.bias, half=half)
    return features


def _quantile(values: Tensor, share: float) -> Tensor:
    """Interpolate linearly, as torch.quantile, which needs float64 and so doesn't run on Metal."""
    position = share * (len(values) - 1)
    lower = min(int(position), max(len(values) - 2, 0))
    ordered = values.sort().values
    return ordered[lower].lerp(ordered[min(lower + 1, len(values) - 1)], position - lower)


def _focal(scores: Tensor, target: Tensor) -> Tensor:
    """The focal loss (Lin et al. 2017) with smoothed labels, as in the official code."""
    target = target.clamp(_FOCAL_SMOOTHING, 1 - _FOCAL_SMOOTHING)
    right = target * scores + (1 - target) * (1 - scores) + _FOCAL_SMOOTHING
    return -((1 - right) ** _FOCAL_EXPONENT * right.log()).mean()
