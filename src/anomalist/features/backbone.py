"""Frozen backbones: images in, feature maps of chosen layers out."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from anomalist.errors import ParameterError, WeightsError
from anomalist.features.folding import fold_batch_norms
from anomalist.features.weights import find_weights, read_weights, timm_name

# A network that can't be made without memory for all parameters may take so many bytes, and so many
# for each that was saved of it.
_FREE_BYTES = 2**30
_TRIMMED_SHARE = 16
_DOT = re.compile(r"\.")
_PLAIN_NAME = re.compile(r"\w{1,100}(\.\w{1,100})?", re.ASCII)


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
        self._take(_create(timm_name(name)), name, layers, device)
        whole = dict(self._network.state_dict())
        _trim(self._network, self._run, self._config["input_size"])
        file = find_weights(name, weights)
        state = read_weights(file, whole)
        self.weights_sha256 = file.sha256
        kept = self._network.state_dict()
        wrong = [n for n, t in kept.items() if n not in state or state[n].shape != t.shape]
        if wrong:
            raise WeightsError(f"{file.path} has no tensor {wrong[0]} that fits {name}")
        self._state = {name: state[name] for name in kept}
        self._network.load_state_dict(self._state)
        self._make_ready()

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

        Nothing is trusted: memory is taken for the given tensors alone, whatever network the name
        stands for, and they must be the ones that its layers need.

        Raises
        ------
        WeightsError
            If the name is unknown, or a tensor is missing, superfluous or of another shape, or what
            they compute isn't finite.
        ParameterError
            If the network has no such layer.

        Examples
        --------
        >>> a = Backbone("efficientnet_lite0", ["stride8"])
        >>> b = Backbone.from_state(a.name, a.layers, a.state(), a.weights_sha256)
        >>> image = np.full((1, 64, 64, 3), 99, np.uint8)
        >>> torch.equal(a(image)[0], b(image)[0])
        True
        """
        self = cls.__new__(cls)
        # The registry's own names alone: timm takes others for folders, or for places on the hub.
        if not _PLAIN_NAME.fullmatch(name):
            raise WeightsError(f"{reprlib.repr(name)} isn't the name of a backbone")
        network = _create_unallocated(name, layers, state)
        self._take(network, name, layers, device)
        kept = _matched(network, name, state)
        self.weights_sha256 = weights_sha256
        self._state = {name: state[name] for name in kept}
        typed = {name: state[name].to(expected.dtype) for name, expected in kept.items()}
        network.load_state_dict(typed, assign=True)
        network.requires_grad_(False)
        self._make_ready()
        return self

    def _take(
        self,
        network: nn.Module,
        name: str,
        layers: Sequence[str] | None,
        device: str | torch.device,
    ) -> None:
        """Prepare to run a network, and to stop at the last of its layers."""
        self.name = name
        self.device = torch.device(device)
        self._network = network.eval().requires_grad_(False)
        self.layers = _resolve(self._network, layers, name)
        self._config: dict[str, Any] = self._network.pretrained_cfg  # type: ignore[assignment]
        config = self._config
        self._mean = torch.tensor(config["mean"], dtype=torch.float32) * 255
        self._std = torch.tensor(config["std"], dtype=torch.float32) * 255
        self._captured: dict[str, Tensor] = {}
        modules = dict(self._network.named_modules())
        for layer in self.layers:
            modules[layer].register_forward_hook(self._capture(layer))

    def _make_ready(self) -> None:
        """Make the loaded network fast, once it is seen to compute numbers."""
        example = torch.zeros(1, *self._config["input_size"])

        def run() -> list[Tensor]:
            outputs = self._run(example)
            for layer, output in outputs.items():
                if not output.isfinite().all():
                    raise WeightsError(
                        f"the weights of {self.name} make values that aren't numbers in {layer}"
                    )
            return list(outputs.values())

        fold_batch_norms(self._network, run)
        self._network.to(self.device).to(memory_format=torch.channels_last)
        self._mean, self._std = self._mean.to(self.device), self._std.to(self.device)

    def _capture(self, layer: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._captured[layer] = output
            if len(self._captured) == len(self.layers):
                raise _AllCaptured

        return hook

    def _run(
        self, images: Tensor, forward: Callable[[Tensor], Any] | None = None
    ) -> dict[str, Tensor]:
        self._captured = {}
        try:
            (forward or self._network)(images)
        except _AllCaptured:
            return self._captured
        except (torch.OutOfMemoryError, WeightsError):
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

    def shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Return the shapes (C, h, w) of the feature maps of images, computing none.

        Raises
        ------
        ParameterError
            If the network can't take images of that size.

        Examples
        --------
        >>> Backbone("efficientnet_lite0", ["stride8", "stride16"]).shapes(64, 96)
        [(40, 8, 12), (112, 4, 6)]
        """
        network = self._network
        meta = {
            name: tensor.to("meta")
            for name, tensor in [*network.named_parameters(), *network.named_buffers()]
        }
        size = torch.Size((height, width))
        batch = torch.empty(1, 3, *size, device="meta")
        with torch.inference_mode():
            captured = self._run(
                batch, lambda images: torch.func.functional_call(network, meta, (images,))
            )
            maps = [_as_map(captured[layer], network, size) for layer in self.layers]
        return [(channels, h, w) for _, channels, h, w in (tuple(m.shape) for m in maps)]

    def state(self) -> dict[str, Tensor]:
        """Return the weights of the part of the network that is run, on the CPU."""
        return {name: tensor.contiguous() for name, tensor in self._state.items()}


class _AllCaptured(Exception):  # noqa: N818 - a signal, not an error
    """Ends a forward pass when the last layer that is needed has run."""


def _create_unallocated(name: str, layers: Sequence[str], state: Mapping[str, Tensor]) -> nn.Module:
    """Make the architecture without memory for its parameters, or for few networks with it.

    A few constructors compute with parameters; those get them where the weights are the right ones,
    and as far as that is in proportion to them.
    """
    architecture = timm_name(name)
    try:
        with _Unallocated():
            network = _create(architecture)
        _fill_buffers(network)
    except RuntimeError:
        with torch.device("meta"):
            shapes = _create(architecture)
        needed = sum(tensor.nbytes for tensor in shapes.state_dict().values())
        _resolve(shapes, layers, name)
        _matched(shapes, name, state)
        if needed > _FREE_BYTES + _TRIMMED_SHARE * sum(t.nbytes for t in state.values()):
            raise WeightsError(
                f"the saved weights are a very small part of {name}, which needs"
                f" {needed / 2**20:.0f} MB"
            ) from None
        network = _create(architecture)
    return network


def _matched(network: nn.Module, name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out of a network what isn't in the state, and return its own, which has those names.

    Raises
    ------
    WeightsError
        If the state isn't one of a part of the network.
    """
    _leave_out(network, state)
    kept: dict[str, Tensor] = network.state_dict()
    wrong = f"the saved weights aren't those of {name}"
    for tensor, expected in kept.items():
        if tensor not in state:
            raise WeightsError(f"{wrong}: {tensor} is missing")
        if state[tensor].shape != expected.shape:
            raise WeightsError(
                f"{wrong}: {tensor} has shape {tuple(state[tensor].shape)} instead of"
                f" {tuple(expected.shape)}"
            )
    for tensor in state:
        if tensor not in kept:
            raise WeightsError(f"{wrong}: it has no {reprlib.repr(tensor)}")
    return kept


_SETS_VALUES = frozenset(
    {"add_", "clamp_", "div_", "erfinv_", "fill_", "mul_", "normal_", "sub_", "uniform_", "zero_"}
)


class _Unallocated(TorchFunctionMode):
    """Within it, modules have parameters with shapes but no memory, and nothing is drawn."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Values that there is no memory for needn't be drawn, which takes longest.
        target = args[0] if args else None
        if func.__name__ in _SETS_VALUES and isinstance(target, Tensor) and target.is_meta:
            return target
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


class _Absent(nn.Module):
    """Stands where a network has a part that wasn't saved, as its layers don't need it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, *_: Any) -> Any:
        raise WeightsError(f"the saved weights lack those of {self.name}")


def _fill_buffers(network: nn.Module) -> None:
    """Compute the buffers that no file keeps, such as indices of relative positions."""
    for module in network.modules():
        buffers = module._buffers
        unfilled = [
            name
            for name in module._non_persistent_buffers_set
            if (buffer := buffers.get(name)) is not None and buffer.is_meta
        ]
        for name in unfilled:
            buffers[name] = torch.empty_like(buffers[name], device="cpu")  # type: ignore[arg-type]
        if unfilled:
            module.init_non_persistent_buffers()  # type: ignore[operator]


def _leave_out(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Replace the modules of which nothing was saved, though they have something to save."""
    present = {name[: end.start()] for name in state for end in _DOT.finditer(name)}
    for path, parent in list(network.named_modules()):
        for child_name, child in list(parent.named_children()):
            child_path = f"{path}.{child_name}" if path else child_name
            if child_path not in present and child.state_dict():
                setattr(parent, child_name, _Absent(child_path))


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
            raise ParameterError(
                f"{name} has no layer {reprlib.repr(layer)}; it has {', '.join(known)}, ..."
            )
    resolved = tuple(last.get(layer, layer) for layer in layers)
    if not resolved or len(set(resolved)) < len(resolved):
        raise ParameterError(
            f"layers must be at least one and all different, not {reprlib.repr(layers)}"
        )
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
