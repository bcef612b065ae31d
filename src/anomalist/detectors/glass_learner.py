"""How GLASS learns, as the training loop asks for it: steps, held-out images, state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.detectors.glass_examples import Bool, Examples, Indices, Patches, in_batches
from anomalist.detectors.glass_step import Iteration, Network, losses
from anomalist.metrics import auroc
from anomalist.training import Learner, Step

Float32 = npt.NDArray[np.float32]

_MARGIN = 0.5  # a score that counts as right, in p_true and p_fake


class GLASSLearner(Learner[Patches]):
    """Trains a network on examples.

    Parameters
    ----------
    network : Network
        On its device.
    examples : Examples
        Good images and defects.
    settings : Iteration
        Of a step.
    mean : Tensor of shape (h * w, D)
        Mean standardized features of the good images that it learns from.
    held_out : int array
        Numbers of the good images by which an epoch is chosen; none for the last one.
    batch_size : int
        Held-out images that are scored at once.
    lr : float
        Learning rate of the projection.
    seed : int
        Of the order.
    publish : callable
        Gets the epochs done, the losses, and the network's state.
    identity : dict
        What decides the training beside settings and images.
    """

    def __init__(
        self,
        network: Network,
        examples: Examples,
        settings: Iteration,
        *,
        mean: Tensor,
        held_out: Indices,
        batch_size: int,
        lr: float,
        seed: int,
        publish: Callable[[int, Sequence[float], dict[str, Tensor]], None],
        identity: Mapping[str, Any],
    ) -> None:
        optimizers: dict[str, torch.optim.Optimizer] = {
            "body": torch.optim.AdamW(network.body.parameters(), lr=2 * lr)
        }
        if len(network.projection):
            optimizers["projection"] = torch.optim.Adam(
                network.projection.parameters(), lr=lr, weight_decay=1e-5
            )
        super().__init__(optimizers, seed)
        self._network = network
        self._examples = examples
        self._settings = settings
        self._mean = mean
        self._held_out = in_batches(held_out, batch_size)
        self._publish = publish
        self._identity = dict(identity)

    def batches(self, epoch: int, numbers: Sequence[Indices]) -> Iterator[Patches]:
        """Draw patches, a batch of images at a time."""
        self._network.train()
        with torch.no_grad():
            # The projection is affine: the mean projected feature is the mean feature projected.
            self._center = self._network.projection(self._mean)
        return self._examples.patches(epoch, numbers, self._mean.device)

    def step(self, batch: Patches) -> Step:
        """Compute the gradients of the three losses' sum."""
        network = self._network
        found = losses(
            network,
            network.standardized(batch.clean),
            network.standardized(batch.augmented),
            batch.labels,
            batch.noise,
            self._center[batch.where],
            self._settings,
        )
        loss = found["true_loss"] + found["moved_loss"] + found["fake_loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        return Step(loss, lambda: _measured(loss, found, batch.labels))

    def state(self) -> dict[str, Any]:
        """Return the network's weights and buffers."""
        return dict(self._network.state_dict())

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over weights and buffers."""
        self._network.load_state_dict(state)

    def publish(self, epoch: int, losses: Sequence[float]) -> None:
        """Hand on the network's state."""
        self._publish(epoch, losses, self._network.state_dict())

    def identity(self) -> dict[str, Any]:
        """Return what it was given."""
        return self._identity

    def held_out_score(self) -> float | None:
        """Image plus patch AUROC of held-out images against the same ones with defects."""
        if not self._held_out:
            return None
        self._network.eval()
        good: list[Float32] = []
        bad: list[Float32] = []
        for batch, (embeddings, _) in zip(self._held_out, self._held_out_defects, strict=True):
            clean = self._examples.good.clean[torch.from_numpy(batch)].to(self._mean.device)
            for target, values in ((good, clean), (bad, embeddings)):
                with torch.inference_mode():
                    scores = self._network(values.flatten(0, 1)).reshape(len(batch), -1)
                target.append(scores.cpu().numpy())
        clean_scores, bad_scores = np.concatenate(good), np.concatenate(bad)
        labels = np.concatenate([labels for _, labels in self._held_out_defects])
        images = np.concatenate([clean_scores.max(axis=1), bad_scores.max(axis=1)])
        patches = np.concatenate([clean_scores, bad_scores])
        truth = np.concatenate([np.zeros_like(clean_scores, np.bool_), labels])
        return auroc(images, np.arange(len(images)) >= len(clean_scores)) + auroc(
            patches.ravel(), truth.ravel()
        )

    @cached_property
    def _held_out_defects(self) -> list[tuple[Tensor, Bool]]:
        """The defects on held-out images that every look is taken at."""
        return [defects for batch in self._held_out for defects in self._examples.whole(batch)]


def _measured(loss: Tensor, found: Mapping[str, Tensor], labels: Tensor) -> dict[str, float]:
    """The loss, and the shares of normal and of anomalous patches that are told right."""
    fake = found["fake_scores"]
    normal = torch.cat([fake[~labels], found["true_scores"]])
    anomalous = torch.cat([fake[labels], found["moved_scores"]])
    measured = {
        "loss": loss.item(),
        "p_true": (normal < _MARGIN).float().mean().item(),
        "r": found["r"].item(),
    }
    if len(anomalous):  # the patches that were taken may have missed every defect
        measured["p_fake"] = (anomalous >= _MARGIN).float().mean().item()
    return measured
