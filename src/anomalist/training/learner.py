"""What a method gives to the training loop: its step, its optimizers and its state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from anomalist.training.schedule import Indices

Batch = TypeVar("Batch")

#: The stream of random numbers that the order of the examples is drawn from.
ORDER = 0


def stream(seed: int, *place: int) -> np.random.Generator:
    """Return the random numbers of one place in a training, always the same ones there.

    A training that draws so can go on anywhere. Stream 0 of a seed is that of the order.

    Examples
    --------
    >>> noise, epoch, step = 1, 12, 0
    >>> int(stream(7, noise, epoch, step).integers(100)) == int(stream(7, 1, 12, 0).integers(100))
    True
    """
    return np.random.default_rng([seed, *place])


@dataclass(frozen=True)
class Step:
    """What came of a step.

    Parameters
    ----------
    loss : Tensor
        What was minimised, a scalar.
    measured : callable
        Gives what is logged, by name; called after the parameters have moved, and only where
        somebody looks.
    """

    loss: Tensor
    measured: Callable[[], Mapping[str, float]]


class Learner(ABC, Generic[Batch]):
    """What a method gives to :func:`~anomalist.training.train`.

    Parameters
    ----------
    optimizers : dict of Optimizers
        By name; between them they have every parameter once. The schedule scales the learning
        rates that they come with.
    seed : int
        Seed of the order of the examples.
    """

    def __init__(self, optimizers: Mapping[str, Optimizer], seed: int) -> None:
        self.optimizers = optimizers
        self.seed = seed

    @abstractmethod
    def step(self, batch: Batch) -> Step:
        """Compute the gradients of one step; they were cleared before."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return all that training changes beside the optimizers: tensors, and JSON values."""

    @abstractmethod
    def load(self, state: Mapping[str, Any]) -> None:
        """Take over, in place, what :meth:`state` returned."""

    @abstractmethod
    def publish(self, epoch: int, losses: Sequence[float]) -> None:
        """Let the detector predict with the present state.

        Parameters
        ----------
        epoch : int
            Epochs after which the state stood so.
        losses : sequence of float
            Mean loss of the steps of every epoch up to now.
        """

    def order(self, epoch: int, examples: Indices) -> Indices:
        """Order the examples for an epoch."""
        return stream(self.seed, ORDER, epoch).permutation(examples)

    @abstractmethod
    def batches(self, epoch: int, numbers: Sequence[Indices]) -> Iterable[Batch]:
        """Give what the steps of an epoch take, made of the examples of these numbers."""

    def held_out_score(self) -> float | None:
        """Score the present state on examples that it doesn't learn from; higher is better.

        None, as here, leaves the last epoch to be the result.
        """
        return None

    def identity(self) -> dict[str, Any]:
        """Return what decides the training beside the detector's settings and its images."""
        return {}
