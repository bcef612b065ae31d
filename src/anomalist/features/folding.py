"""Batch normalisations of a frozen network become part of the convolutions before them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(
    network: nn.Module, run: Callable[[], Sequence[Tensor]], asked: Collection[nn.Module] = ()
) -> None:
    """Fold each batch normalisation that directly follows a convolution into it.

    A frozen network computes the same with a third less work on a CPU, up to rounding. Should the
    outputs move by more, because a network uses a convolution's output twice, it is left alone.

    Parameters
    ----------
    network : Module
        In evaluation mode; changed in place.
    run : callable
        Passes some image through the network and returns the outputs that matter.
    asked : collection of Module
        Those that keep their own output.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    >>> image = torch.ones(1, 3, 8, 8)
    >>> before = network(image)
    >>> fold_batch_norms(network, lambda: [network(image)])
    >>> type(network[1]).__name__, torch.allclose(network(image), before, atol=1e-6)
    ('Identity', True)
    """
    with torch.no_grad():
        before = [output.clone() for output in run()]
        replaced: list[tuple[nn.Module, str, nn.Module]] = []
        for convolution, norm in _pairs(network, run, asked):
            fused = fuse_conv_bn_eval(convolution, norm)
            replaced += _replace(network, convolution, fused)
            replaced += _replace(network, norm, getattr(norm, "act", nn.Identity()))
        after = run()
        for a, b in zip(after, before, strict=True):
            if not torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max())):
                for parent, name, old in reversed(replaced):
                    setattr(parent, name, old)
                return


def _pairs(
    network: nn.Module, run: Callable[[], Any], asked: Collection[nn.Module]
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Find the normalisations whose input is the output of a convolution."""
    made_by: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after(module: nn.Conv2d, _inputs: Any, output: Tensor) -> None:
        made_by[id(output)] = (module, output)  # held, so that its id stays its own

    def before(module: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        if id(inputs[0]) in made_by:
            pairs.append((made_by[id(inputs[0])][0], module))

    hooks = []
    for module in network.modules():
        if any(module is layer for layer in asked):
            continue
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(after))
        elif type(module) is nn.BatchNorm2d or (
            isinstance(module, nn.BatchNorm2d) and hasattr(module, "act")
        ):
            hooks.append(module.register_forward_pre_hook(before))
    run()
    for hook in hooks:
        hook.remove()
    return pairs


def _replace(
    network: nn.Module, old: nn.Module, new: nn.Module
) -> list[tuple[nn.Module, str, nn.Module]]:
    replaced = []
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)
                replaced.append((parent, name, old))
    return replaced
