"""Frozen backbones: images in, feature maps of chosen layers out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
from torch import Tensor, nn

from anomalist.errors import ParameterError, WeightsError
from anomalist.features.folding import fold_batch_norms
from anomalist.features.weights import find_weights, read_weights, timm_name

_STRIDE = re.compile(r"stride(\d+)")


class Backbone:
    """A frozen network that turns images into the feature maps of some of its layers.

    Only the part of the network that the layers need is kept and run.

    Parameters
    ----------
    name : str
        ``efficientnet_lite0`` or ``efficientnet_lite2`` (weights installed with a package),
        ``resnet18`` or ``wide_resnet50_2`` (the torchvision V1 weights that the papers used), or
        any timm model, CNN or vision transformer.
    layers : sequence of str, optional
        Names of modules (``layer2``, ``blocks.7``) or strides (``stride8``: the last layer of that
        stride). By default strides 8 and 16 of a CNN, and of a transformer the blocks at half and
        at three quarters of its depth.
    weights : str or Path, optional
        A local ``.safetensors`` or ``.pth`` file instead of the pretrained weights.
    device : str or torch.device
        Where to run.

    Attributes
    ----------
    layers : tuple of str
        The module names that were chosen.
    weights_sha256 : str
        SHA-256 of the weights file.

    Raises
    ------
    WeightsError
        If the name is unknown, or weights can't be had or don't fit.
    ParameterError
        If the network has no such layer.

    Examples
    --------
    >>> backbone = Backbone("efficientnet_lite0", ["stride8", "stride16"])
    >>> backbone.layers
    ('blocks.2', 'blocks.4')
    >>> [tuple(m.shape) for m in backbone(np.zeros((1, 64, 64, 3), np.uint8))]
    [(1, 40, 8, 8), (1, 112, 4, 4)]
    """

    def __init__(
        self,
        name: str = "efficientnet_lite0",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        whole = self._build(name, layers, device)
        file = find_weights(name, weights)
        state = read_weights(file, whole)
        self.weights_sha256 = file.sha256
        self._load(state, source=str(file.path))

    @classmethod
    def from_state(
        cls,
        name: str,
        layers: Sequence[str],
        state: Mapping[str, Tensor],
        weights_sha256: str,
        device: str | torch.device = "cpu",
    ) -> Backbone:
        """Rebuild a backbone from :meth:`state`, with no other source of weights.

        Raises
        ------
        WeightsError
            If a tensor is missing or has another shape.

        Examples
        --------
        >>> a = Backbone("efficientnet_lite0", ["stride8"])
        >>> b = Backbone.from_state(a.name, a.layers, a.state(), a.weights_sha256)
        >>> image = np.full((1, 64, 64, 3), 99, np.uint8)
        >>> torch.equal(a(image)[0], b(image)[0])
        True
        """
        self = cls.__new__(cls)
        self._build(name, layers, device)
        self.weights_sha256 = weights_sha256
        self._load(state, source="the saved backbone")
        return self

    def _build(
        self, name: str, layers: Sequence[str] | None, device: str | torch.device
    ) -> dict[str, Tensor]:
        """Make the trimmed network, and return the state of the whole one."""
        self.name = name
        self.device = torch.device(device)
        self._network = _create(timm_name(name)).eval().requires_grad_(False)
        self.layers = _resolve(self._network, layers, name)
        self._config: dict[str, Any] = self._network.pretrained_cfg  # type: ignore[assignment]
        config = self._config
        self._mean = torch.tensor(config["mean"], dtype=torch.float32) * 255
        self._std = torch.tensor(config["std"], dtype=torch.float32) * 255
        whole = dict(self._network.state_dict())
        self._captured: dict[str, Tensor] = {}
        modules = dict(self._network.named_modules())
        for layer in self.layers:
            modules[layer].register_forward_hook(self._capture(layer))
        _trim(self._network, self._run, config["input_size"])
        return whole

    def _load(self, state: Mapping[str, Tensor], source: str) -> None:
        kept = self._network.state_dict()
        wrong = [n for n, t in kept.items() if n not in state or state[n].shape != t.shape]
        if wrong:
            raise WeightsError(f"{source} has no tensor {wrong[0]} that fits {self.name}")
        self._state = {name: state[name] for name in kept}
        self._network.load_state_dict(self._state)
        example = torch.zeros(1, *self._config["input_size"])
        fold_batch_norms(self._network, lambda: list(self._run(example).values()))
        self._network.to(self.device).to(memory_format=torch.channels_last)
        self._mean, self._std = self._mean.to(self.device), self._std.to(self.device)

    def _capture(self, layer: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._captured[layer] = output
            if len(self._captured) == len(self.layers):
                raise _AllCaptured

        return hook

    def _run(self, images: Tensor) -> dict[str, Tensor]:
        self._captured = {}
        try:
            self._network(images)
        except _AllCaptured:
            return self._captured
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, RuntimeError, ValueError) as error:
            height, width = images.shape[-2:]
            made_for = self._config["input_size"][-1]
            raise ParameterError(
                f"{self.name} can't take images of {height}x{width} pixels ({error});"
                f" its weights were made for {made_for}x{made_for}"
            ) from error
        missing = [layer for layer in self.layers if layer not in self._captured]
        raise ParameterError(f"{self.name} never runs its layer {missing[0]} on an image")

    def __call__(self, images: npt.NDArray[np.uint8] | Tensor) -> list[Tensor]:
        """Return the feature maps of a batch.

        Parameters
        ----------
        images : uint8 array or tensor of shape (B, H, W, 3)
            RGB images.

        Returns
        -------
        list of float32 tensors of shape (B, C, h, w)
            One a layer, in the order of ``layers``.

        Raises
        ------
        ParameterError
            If the network can't take images of that size.
        """
        batch = torch.as_tensor(images).to(self.device)
        with torch.inference_mode():
            # The permuted batch is already channels-last, the layout that convolutions run fastest.
            batch = ((batch.float() - self._mean) / self._std).permute(0, 3, 1, 2)
            captured = self._run(batch)
            size = batch.shape[-2:]
            return [_as_map(captured[layer], self._network, size) for layer in self.layers]

    def state(self) -> dict[str, Tensor]:
        """Return the weights of the part of the network that is run, on the CPU."""
        return {name: tensor.contiguous() for name, tensor in self._state.items()}


class _AllCaptured(Exception):  # noqa: N818 - a signal, not an error
    """Ends a forward pass when the last layer that is needed has run."""


def _create(name: str) -> nn.Module:
    """Make the architecture; transformers take images of any size that their patches divide."""
    network: nn.Module
    try:
        network = timm.create_model(name, pretrained=False, dynamic_img_size=True)
    except TypeError:
        network = timm.create_model(name, pretrained=False)
    return network


def _resolve(network: nn.Module, layers: Sequence[str] | None, name: str) -> tuple[str, ...]:
    """Turn strides into the names of modules, and check the others."""
    info = getattr(network, "feature_info", [])
    last = {f"stride{entry['reduction']}": entry["module"] for entry in info}
    if layers is None:
        if {"stride8", "stride16"} <= last.keys():
            layers = ("stride8", "stride16")
        elif len(info) >= 4:
            layers = tuple(info[len(info) * part // 4 - 1]["module"] for part in (2, 3))
        else:
            raise ParameterError(f"{name} names no feature layers: choose them with layers=...")
    modules = dict(network.named_modules())
    for layer in layers:
        if layer not in last and (layer not in modules or not layer):
            known = [*last, *(entry["module"] for entry in info)]
            raise ParameterError(f"{name} has no layer {layer!r}; it has {', '.join(known)}, ...")
    resolved = tuple(last.get(layer, layer) for layer in layers)
    if not resolved or len(set(resolved)) < len(resolved):
        raise ParameterError(f"layers must be at least one and all different, not {layers}")
    return resolved


def _trim(network: nn.Module, run: Any, input_size: tuple[int, int, int]) -> None:
    """Replace the modules that a forward pass to the last layer never reaches."""
    reached: set[nn.Module] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, _: reached.add(module))
        for module in network.modules()
    ]
    with torch.inference_mode():
        run(torch.zeros(1, *input_size))
    for hook in hooks:
        hook.remove()
    for parent in list(network.modules()):
        for child_name, child in list(parent.named_children()):
            if not any(module in reached for module in child.modules()):
                setattr(parent, child_name, nn.Identity())


def _as_map(output: Tensor, network: nn.Module, size: torch.Size) -> Tensor:
    """Bring a layer's output, be it tokens or channels-last, to (B, C, h, w)."""
    if output.ndim == 3:
        prefix = getattr(network, "num_prefix_tokens", 0)
        patch: tuple[int, int] = network.patch_embed.patch_size  # type: ignore[union-attr, assignment]
        grid = (size[0] // patch[0], size[1] // patch[1])
        tokens: Tensor = output[:, prefix:].transpose(1, 2)
        return tokens.reshape(*tokens.shape[:2], *grid)
    if output.ndim != 4:
        raise ParameterError(f"a layer gives {output.ndim}-dimensional output, not feature maps")
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        return output.permute(0, 3, 1, 2)
    return output
