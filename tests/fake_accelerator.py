"""An accelerator that isn't there: tensors that say they are elsewhere, computed on the CPU.

It shows on any machine, and on the real code path, what would run on an accelerator: which dtypes,
which copies between the devices, and which operations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

ELSEWHERE = torch.device("mps:0")


class _Elsewhere(Tensor):
    """A tensor that says it is on ``ELSEWHERE``."""

    here: Tensor
    device = ELSEWHERE

    @staticmethod
    def __new__(cls, here: Tensor) -> _Elsewhere:
        # Of all devices that have no memory here, only the meta device has all that C++ asks for.
        made = Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), dtype=here.dtype, device="meta"
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise AssertionError(f"{operation} outside the fake accelerator's context")


class Done(NamedTuple):
    """An operation on the accelerator: its name and the shapes of its tensors."""

    name: str
    inputs: list[tuple[int, ...]]


class FakeAccelerator(TorchDispatchMode):
    """While it is entered, ``tensor.to(ELSEWHERE)`` works; what is done there is written down.

    Attributes
    ----------
    operations : list of Done
        All that ran there.
    uploads : list of shape
        Tensors that came from the CPU.
    downloads : list of shape
        Tensors that went to the CPU.
    dtypes : set of dtype
        Of all tensors that were made there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Done] = []
        self.uploads: list[tuple[int, ...]] = []
        self.downloads: list[tuple[int, ...]] = []
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        asked = kwargs.get("device")
        asked = None if asked is None else torch.device(asked)
        from_elsewhere = any(isinstance(x, _Elsewhere) for x in tensors)
        there = from_elsewhere if asked is None else asked.type == ELSEWHERE.type
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
            shapes = [tuple(x.shape) for x in tensors]
            if there and not from_elsewhere:
                self.uploads += shapes
            if from_elsewhere and not there:
                self.downloads += shapes
        name = operation.overloadpacket.__name__
        if from_elsewhere and there:
            strangers = [x for x in tensors if not isinstance(x, _Elsewhere) and x.ndim]
            assert not strangers, f"{name} mixes tensors of two devices"
        if name == "_local_scalar_dense":
            there = False
        elif there:
            self.operations.append(Done(name, [tuple(x.shape) for x in tensors]))
        args, kwargs = tree_map_only(_Elsewhere, lambda x: x.here, (args, kwargs))
        if name == "_to_copy" and there != from_elsewhere:
            result = operation(*args, **kwargs).clone()
        else:
            result = operation(*args, **kwargs)
        return tree_map_only(Tensor, self._made, result) if there else result

    def _made(self, here: Tensor) -> Tensor:
        self.dtypes.add(here.dtype)
        return _Elsewhere(here)
