"""A frozen network, cut after the layers that are asked for, which many threads run at once."""

from __future__ import annotations

import copy
import threading
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from anomalist.errors import AnomalistError, ParameterError, WeightsError, is_out_of_memory
from anomalist.features.architecture import (
    create,
    create_unallocated,
    matched,
    resolve_layers,
    trim,
)
from anomalist.features.folding import fold_batch_norms
from anomalist.features.weights import WeightsFile, read_weights, timm_name

Maps = dict[str, Tensor]


class Network:
    """A frozen network up to the last of its layers.

    Nothing of a call is kept in it: what layers give is caught a thread at a time.

    Attributes
    ----------
    name : str
        As its maker called it.
    layers : tuple of str
        The modules that were asked for.
    available : frozenset of str
        Those and the ends of the stages before them: all that it can give.
    bare : frozenset of str
        Asked layers that are convolutions or normalisations. They keep their own output, which
        would else be that of the pair, so networks that differ in them differ in rounding.
    file : WeightsFile or None
        The file of its weights; None where they came with a model.
    weights : dict of str to Tensor
        What was loaded, by name, on the CPU.
    """

    def __init__(self, name: str, module: nn.Module, device: torch.device) -> None:
        self.name = name
        self.device = device
        self._module = module.eval().requires_grad_(False)
        self._config: dict[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
        self._mean = torch.tensor(self._config["mean"], dtype=torch.float32) * 255
        self._std = torch.tensor(self._config["std"], dtype=torch.float32) * 255
        self._caught = _Caught()
        self._meta: nn.Module | None = None
        self._shapes: dict[tuple[object, ...], list[tuple[int, int, int]]] = {}
        self._lock = threading.Lock()
        self.file: WeightsFile | None = None
        self.weights: dict[str, Tensor] = {}

    @classmethod
    def from_file(
        cls, name: str, layers: Sequence[str] | None, file: WeightsFile, device: torch.device
    ) -> Self:
        """Make it with the weights of a file.

        Raises
        ------
        WeightsError
            If the name is unknown or the weights don't fit.
        ParameterError
            If the network has no such layer.
        """
        self = cls(name, create(timm_name(name)), device)
        self._catch(resolve_layers(self._module, layers, name))
        whole = dict(self._module.state_dict())
        trim(self._module, partial(self._run, wanted=self.layers), self._config["input_size"])
        state = read_weights(file, whole)
        kept = self._module.state_dict()
        wrong = [n for n, t in kept.items() if n not in state or state[n].shape != t.shape]
        if wrong:
            raise WeightsError(f"{file.path} has no tensor {wrong[0]} that fits {name}")
        self.weights = {n: state[n].contiguous() for n in kept}
        self._module.load_state_dict(self.weights)
        self.file = file
        self._make_ready()
        return self

    @classmethod
    def from_state(
        cls, name: str, layers: Sequence[str], state: Mapping[str, Tensor], device: torch.device
    ) -> Self:
        """Make it with given weights and no memory for others, whatever network the name means.

        Raises
        ------
        WeightsError
            If a tensor is missing, superfluous or of another shape, or what they compute isn't
            finite.
        ParameterError
            If the network has no such layer.
        """
        self = cls(name, create_unallocated(name, layers, state), device)
        self._catch(resolve_layers(self._module, layers, name))
        kept = matched(self._module, name, state)
        self.weights = {n: state[n].contiguous() for n in kept}
        typed = {n: state[n].to(expected.dtype) for n, expected in kept.items()}
        self._module.load_state_dict(typed, assign=True)
        self._module.requires_grad_(False)
        self._make_ready()
        return self

    def _catch(self, layers: tuple[str, ...]) -> None:
        """Catch the output of the layers that are asked for."""
        modules = dict(self._module.named_modules())
        self.layers = layers
        self.bare = frozenset(layer for layer in layers if _folds(modules[layer]))
        for layer in layers:
            self._caught.hook(modules[layer], layer)

    def _make_ready(self) -> None:
        """Make the loaded network fast, once it is seen to compute numbers."""
        example = torch.zeros(1, *self._config["input_size"])

        def run() -> list[Tensor]:
            outputs = self._run(example, wanted=self.layers)
            for layer, output in outputs.items():
                if isinstance(output, Tensor) and not output.isfinite().all():
                    raise WeightsError(
                        f"the weights of {self.name} make values that aren't numbers in {layer}"
                    )
            return [output for output in outputs.values() if isinstance(output, Tensor)]

        modules = dict(self._module.named_modules())
        fold_batch_norms(self._module, run, [modules[layer] for layer in self.layers])
        self._offer_stages(example)
        self._module.to(self.device).to(memory_format=torch.channels_last)
        self._mean, self._std = self._mean.to(self.device), self._std.to(self.device)

    def _offer_stages(self, example: Tensor) -> None:
        """Catch the ends of stages too, so that who asks for those needs no other network."""
        modules = dict(self._module.named_modules(remove_duplicate=False))
        stages = [entry["module"] for entry in getattr(self._module, "feature_info", [])]
        offered = [s for s in stages if s in modules and not _folds(modules[s])]
        for stage in set(offered) - set(self.layers):
            self._caught.hook(modules[stage], stage)
        begun: set[nn.Module] = set()
        before: dict[str, set[nn.Module]] = {}
        hooks = [
            module.register_forward_pre_hook(lambda module, _: begun.add(module))
            for module in self._module.modules()
        ]
        hooks += [  # ahead of the hook that ends the pass
            modules[layer].register_forward_hook(
                lambda *_, layer=layer: before.update({layer: set(begun)}), prepend=True
            )
            for layer in {*self.layers, *offered}
        ]
        self._run(example, wanted=self.layers)
        for hook in hooks:
            hook.remove()
        self.available = frozenset(before)
        called = {name for name, module in modules.items() if module in begun}
        self._read = {name.rpartition(".")[0] for name in self.weights} - called
        self._needs = {
            layer: {name for name, module in modules.items() if module in of_layer}
            for layer, of_layer in before.items()
        }

    def resolved(self, layers: Sequence[str] | None) -> tuple[str, ...]:
        """Return the names of the modules that layers stand for, strides among them.

        Raises
        ------
        ParameterError
            If there is no such layer in the part that is kept.
        """
        return resolve_layers(self._module, layers, self.name)

    def serves(self, layers: Sequence[str] | None) -> bool:
        """Whether it gives these layers, as a network made for them would."""
        try:
            asked = set(self.resolved(layers))
        except ParameterError:
            return False
        return self.bare <= asked <= self.available

    def maps(self, images: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """Return the feature maps (B, C, h, w) of uint8 images (B, H, W, 3), one a layer.

        Raises
        ------
        ParameterError
            If the network can't take images of that size.
        """
        batch = images.to(self.device)
        with torch.inference_mode():
            # The permuted batch is already channels-last, the layout that convolutions run fastest.
            batch = ((batch.float() - self._mean) / self._std).permute(0, 3, 1, 2)
            return self._as_maps(self._module, batch, layers)

    def traced(self, pixels: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """Return the feature maps of uint8 pixels (B, 3, H, W) by operations that can be traced."""
        mean, std = self._mean.view(-1, 1, 1), self._std.view(-1, 1, 1)
        return self._as_maps(self._module, (pixels.float() - mean) / std, layers)

    def shapes(self, height: int, width: int, layers: Sequence[str]) -> list[tuple[int, int, int]]:
        """Return the shapes (C, h, w) of the feature maps of images, computing none.

        Raises
        ------
        ParameterError
            If the network can't take images of that size.
        """
        key = (height, width, *layers)
        with self._lock:
            if key not in self._shapes:
                if self._meta is None:
                    self._meta = _on_meta(self._module)
                batch = torch.empty(1, 3, height, width, device="meta")
                with torch.inference_mode():
                    found = self._as_maps(self._meta, batch, layers)
                self._shapes[key] = [(c, h, w) for _, c, h, w in (tuple(m.shape) for m in found)]
            return list(self._shapes[key])

    def weights_of(self, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the weights that these layers need, by name, on the CPU."""
        # A module whose parts are needed is kept whole, whether it is called itself or not.
        kept = {
            ".".join(parts[:end])
            for parts in (name.split(".") for layer in layers for name in self._needs[layer])
            for end in range(len(parts) + 1)
        }
        # And of modules that are never called, but read by the one above, what that one reads.
        kept |= {name for name in self._read if name.rpartition(".")[0] in kept}
        return {n: t for n, t in self.weights.items() if n.rpartition(".")[0] in kept}

    def _as_maps(self, module: nn.Module, batch: Tensor, layers: Sequence[str]) -> list[Tensor]:
        outputs = self._run(batch, wanted=layers, module=module)
        return [self._as_map(layer, outputs[layer], batch.shape[-2:]) for layer in layers]

    def _run(
        self, images: Tensor, *, wanted: Collection[str], module: nn.Module | None = None
    ) -> Maps:
        try:
            caught = self._caught.run(module or self._module, images, wanted)
        except Exception as error:  # networks fail in whatever way on a size that isn't theirs
            if is_out_of_memory(error) or isinstance(error, AnomalistError):
                raise
            why = str(error) or type(error).__name__
            height, width = images.shape[-2:]
            made_for = self._config["input_size"][-1]
            raise ParameterError(
                f"{self.name} can't take images of {height}x{width} pixels ({why});"
                f" its weights were made for {made_for}x{made_for}"
            ) from error
        missing = [layer for layer in wanted if layer not in caught]
        if missing:
            raise ParameterError(f"{self.name} never runs its layer {missing[0]} on an image")
        return caught

    def _as_map(self, layer: str, output: Any, size: torch.Size) -> Tensor:
        """Bring a layer's output, be it tokens or channels-last, to (B, C, h, w)."""
        other = f"layer {layer} of {self.name} gives no feature map: choose other layers"
        if not isinstance(output, Tensor):
            raise ParameterError(f"{other} (its output is a {type(output).__name__})")
        if output.ndim == 3:
            # Where tokens aren't in the order of rows and columns, a grid of them means nothing.
            grid = None if hasattr(self._module, "reroll") else self._grid(output.shape[1], size)
            if grid is None:
                raise ParameterError(f"{other} (its {output.shape[1]} tokens form no grid)")
            prefix = output.shape[1] - grid[0] * grid[1]
            tokens: Tensor = output[:, prefix:].transpose(1, 2)
            return tokens.reshape(*tokens.shape[:2], *grid)
        if output.ndim != 4:
            raise ParameterError(f"{other} (its output has {output.ndim} dimensions)")
        if getattr(self._module, "output_fmt", "NCHW") == "NHWC":
            return output.permute(0, 3, 1, 2)
        return output

    def _grid(self, tokens: int, size: torch.Size) -> tuple[int, int] | None:
        """Rows and columns of square patches that tokens are, but for those of the class."""
        left = tokens - int(getattr(self._module, "num_prefix_tokens", 0))
        if left < 1:
            return None
        patch = round((size[0] * size[1] / left) ** 0.5)
        rows, columns = size[0] // max(patch, 1), size[1] // max(patch, 1)
        return (rows, columns) if rows * columns == left else None


class _Caught:
    """Catches what layers give, for each thread by itself, and ends a pass at the last of them."""

    def __init__(self) -> None:
        self._local = threading.local()

    def __deepcopy__(self, memo: Any) -> _Caught:
        return self  # a copy of a module tells the same

    def hook(self, module: nn.Module, layer: str) -> None:
        module.register_forward_hook(partial(self._take, layer))

    def _take(self, layer: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
        wanted = getattr(self._local, "wanted", ())
        if layer in wanted:
            self._local.caught[layer] = output
            if len(self._local.caught) == len(wanted):
                raise _AllCaught

    def run(self, module: nn.Module, images: Tensor, wanted: Collection[str]) -> Maps:
        caught: Maps = {}
        self._local.wanted, self._local.caught = frozenset(wanted), caught
        try:
            module(images)
        except _AllCaught:
            pass
        finally:
            del self._local.wanted, self._local.caught
        return caught


class _AllCaught(Exception):  # noqa: N818 - a signal, not an error
    """Ends a forward pass when the last layer that is needed has run."""


def _folds(module: nn.Module) -> bool:
    """Whether its output changes when a normalisation becomes part of a convolution."""
    return isinstance(module, nn.Conv2d | nn.modules.batchnorm._BatchNorm)


def _on_meta(module: nn.Module) -> nn.Module:
    """A copy of the module that has shapes alone."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.to("meta"), requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.to("meta")
    return copy.deepcopy(module, memo)
