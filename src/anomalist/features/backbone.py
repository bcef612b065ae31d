"""Backbones: images in, feature maps of chosen layers out of a network that all share."""

from __future__ import annotations

import re
import reprlib
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.errors import WeightsError
from anomalist.features.network import Network
from anomalist.features.weights import WeightsFile, find_weights

_PLAIN_NAME = re.compile(r"\w{1,100}(\.\w{1,100})?", re.ASCII)


class Backbone:
    """A frozen network that turns images into the feature maps of some of its layers.

    Only the part of the network that the layers need is kept and run. A process has one network for
    all backbones of the same weights on the same device, as far as their layers lie within it; it
    goes with the last of them. Many threads may call a backbone at once, and it can be pickled and
    copied.

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
        file = find_weights(name, weights)
        self._take(_from_file(name, layers, file, torch.device(device)), layers, file.sha256)

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
        self._take(_from_state(name, layers, state, torch.device(device)), layers, weights_sha256)
        return self

    def _take(self, network: Network, layers: Sequence[str] | None, weights_sha256: str) -> None:
        self._network = network
        self.name = network.name
        self.device = network.device
        self.layers = network.resolved(layers)
        self.weights_sha256 = weights_sha256

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
        return self._network.maps(torch.as_tensor(images), self.layers)

    def traced(self, pixels: Tensor) -> list[Tensor]:
        """Return the maps of uint8 pixels (B, 3, H, W) by operations that can be traced."""
        return self._network.traced(pixels, self.layers)

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
        return self._network.shapes(height, width, self.layers)

    def state(self) -> dict[str, Tensor]:
        """Return the weights of the part of the network that its layers need, on the CPU."""
        return self._network.weights_of(self.layers)

    @property
    def identity(self) -> tuple[str, str, torch.device]:
        """Network, weights and device: what gives the same layers the same maps."""
        return self.name, self.weights_sha256, self.device

    def serves(self, other: Backbone) -> bool:
        """Whether it gives another's layers too, and the same maps."""
        return (
            self.identity == other.identity
            and set(other.layers) <= set(self.layers)
            and self._network.bare <= set(other.layers)
        )

    def shares_network(self, other: Backbone) -> bool:
        """Whether both run one and the same network.

        Examples
        --------
        >>> deep, shallow = Backbone(layers=["stride4", "stride16"]), Backbone(layers=["stride8"])
        >>> shallow.shares_network(deep)
        True
        """
        return self._network is other._network

    def __copy__(self) -> Backbone:
        return self  # nothing in it ever changes

    def __deepcopy__(self, memo: Any) -> Backbone:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        values = (self.name, self.layers, self.state(), self.weights_sha256, str(self.device))
        return Backbone.from_state, values


def unite_backbones(backbones: Iterable[Backbone]) -> list[Backbone]:
    """Return a backbone with the layers of all, for each of their networks.

    Backbones of the same weights on the same device become one where one network has all their
    layers, or can be made to.

    Examples
    --------
    >>> two = [Backbone(layers=["stride8"]), Backbone(layers=["stride4", "stride16"])]
    >>> [backbone.layers for backbone in unite_backbones(two)]
    [('blocks.2', 'blocks.1', 'blocks.4')]
    """
    united: list[Backbone] = []
    for backbone in backbones:
        for i, other in enumerate(united):
            joined = _joined(other, backbone)
            if joined is not None:
                united[i] = joined
                break
        else:
            united.append(backbone)
    return united


# The networks of this process; each lives as long as a backbone that runs it.
_networks: weakref.WeakSet[Network] = weakref.WeakSet()
_making = threading.RLock()


def _from_file(
    name: str, layers: Sequence[str] | None, file: WeightsFile, device: torch.device
) -> Network:
    with _making:
        for network in _of(name, device):
            same = network.file is not None and network.file.sha256 == file.sha256
            if same and network.serves(layers):
                return network
        network = Network.from_file(name, layers, file, device)
        _networks.add(network)
        return network


def _from_state(
    name: str, layers: Sequence[str], state: Mapping[str, Tensor], device: torch.device
) -> Network:
    with _making:
        for network in _of(name, device):
            if network.serves(layers) and _same_weights(network, layers, state):
                return network
        network = Network.from_state(name, layers, state, device)
        _networks.add(network)
        return network


def _of(name: str, device: torch.device) -> list[Network]:
    return [n for n in _networks if (n.name, n.device) == (name, device)]


def _same_weights(network: Network, layers: Sequence[str], state: Mapping[str, Tensor]) -> bool:
    """Whether these are the network's own, by value: what a file says of itself proves nothing."""
    own = network.weights_of(network.resolved(layers))
    return own.keys() == state.keys() and all(
        tensor.dtype == state[name].dtype and torch.equal(tensor, state[name])
        for name, tensor in own.items()
    )


def _joined(one: Backbone, other: Backbone) -> Backbone | None:
    """A backbone with the layers of two, if one network can have them with no other rounding."""
    networks = (one._network, other._network)
    if one.identity != other.identity or networks[0].bare != networks[1].bare:
        return None
    layers = list(dict.fromkeys([*one.layers, *other.layers]))
    serving = next((network for network in networks if network.serves(layers)), None)
    if serving is None and (file := networks[0].file) is not None:
        serving = _from_file(one.name, layers, file, one.device)
    if serving is None:
        return None
    joined = Backbone.__new__(Backbone)
    joined._take(serving, layers, one.weights_sha256)
    return joined
