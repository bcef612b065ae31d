"""Architectures of timm: made with or without memory, cut to what layers need, layers by name."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from anomalist.errors import ParameterError, WeightsError
from anomalist.features.weights import timm_name

# A network that can't be made without memory for all parameters may take so many bytes, and so many
# for each that was saved of it.
_FREE_BYTES = 2**30
_TRIMMED_SHARE = 16
_DOT = re.compile(r"\.")


def create_unallocated(name: str, layers: Sequence[str], state: Mapping[str, Tensor]) -> nn.Module:
    """Make the architecture without memory for its parameters, or for few networks with it.

    A few constructors compute with parameters; those get them where the weights are the right ones,
    and as far as that is in proportion to them.
    """
    architecture = timm_name(name)
    try:
        with _Unallocated():
            network = create(architecture)
        _fill_buffers(network)
    except RuntimeError:
        with torch.device("meta"):
            shapes = create(architecture)
        needed = sum(tensor.nbytes for tensor in shapes.state_dict().values())
        resolve_layers(shapes, layers, name)
        matched(shapes, name, state)
        if needed > _FREE_BYTES + _TRIMMED_SHARE * sum(t.nbytes for t in state.values()):
            raise WeightsError(
                f"the saved weights are a very small part of {name}, which needs"
                f" {needed / 2**20:.0f} MB"
            ) from None
        network = create(architecture)
    return network


def matched(network: nn.Module, name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
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


class _Watched(nn.Module):
    """Stands for a module that isn't called, and notices whether anything of it is taken."""

    of: nn.Module
    used: bool

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.__dict__.update(of=module, used=False)  # not as a part of this one

    def __getattr__(self, name: str) -> Any:
        self.__dict__["used"] = True
        return getattr(self.of, name)


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


def create(name: str) -> nn.Module:
    """Make the architecture; transformers take images of any size that their patches divide."""
    network: nn.Module
    try:
        network = timm.create_model(name, pretrained=False, dynamic_img_size=True)
    except TypeError:
        network = timm.create_model(name, pretrained=False)
    return network


def resolve_layers(network: nn.Module, layers: Sequence[str] | None, name: str) -> tuple[str, ...]:
    """Turn strides into the names of modules, and check the others."""
    modules = dict(network.named_modules())
    # Some networks name layers that they don't have.
    info = [e for e in getattr(network, "feature_info", []) if e["module"] in modules]
    last = {f"stride{entry['reduction']}": entry["module"] for entry in info}
    if layers is None:
        if {"stride8", "stride16"} <= last.keys():
            layers = ("stride8", "stride16")
        elif len(info) >= 4:
            layers = tuple(info[len(info) * part // 4 - 1]["module"] for part in (2, 3))
        else:
            raise ParameterError(f"{name} names no feature layers: choose them with layers=...")
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


def trim(network: nn.Module, run: Any, input_size: tuple[int, int, int]) -> None:
    """Replace the modules that a forward pass to the last layer never reaches.

    Some are reached without being called: their parent takes a weight or a method of theirs.
    """
    reached: set[nn.Module] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, _: reached.add(module))
        for module in network.modules()
    ]
    with torch.inference_mode():
        run(torch.zeros(1, *input_size))
    for hook in hooks:
        hook.remove()
    watched: list[tuple[nn.Module, str, _Watched]] = []
    for parent in list(network.modules()):
        for child_name, child in list(parent.named_children()):
            if not any(module in reached for module in child.modules()):
                watched.append((parent, child_name, _Watched(child)))
    for parent, child_name, stand_in in watched:
        setattr(parent, child_name, stand_in)
    with torch.inference_mode():
        run(torch.zeros(1, *input_size))
    for parent, child_name, stand_in in watched:
        setattr(parent, child_name, stand_in.of if stand_in.used else nn.Identity())
