"""What a training takes in which order, how long, and how its learning rates go."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


def constant(share: float) -> float:
    """Return 1: learning rates stay as they are."""
    return 1.0


def cosine(share: float) -> float:
    """Return the factor of the learning rates after a share of the training: from 1 to 0.

    Examples
    --------
    >>> [round(cosine(share), 3) for share in (0, 0.25, 0.5, 1)]
    [1.0, 0.854, 0.5, 0.0]
    """
    return (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The course of a training.

    Parameters
    ----------
    examples : int array of shape (n,)
        Numbers of the examples that are learnt from.
    batch_size : int
        Examples a step; an epoch's last step takes what is left.
    epochs : int, optional
        Passes over the examples.
    steps : int, optional
        Steps in all, instead of epochs; the last epoch ends with them.
    batches : int, optional
        Steps after which an epoch ends.
    look : int
        Epochs from one look at how it stands to the next; the last epoch is always looked at.
    patience : int
        Looks without a better result after which training ends; 0 for never.
    rate : callable
        Factor of all learning rates after a share of the training, 0 to 1: `constant`, `cosine`.
    clip_norm : float, optional
        Norm to which the gradient of all parameters together is cut.

    Examples
    --------
    >>> schedule = Schedule(examples=np.arange(10), batch_size=4, steps=8)
    >>> schedule.batches_an_epoch, schedule.whole_epochs
    (3, 3)
    >>> [len(batch) for batch in schedule.batches_of(2, np.arange(10))]
    [4, 4]
    """

    examples: Indices
    batch_size: int
    epochs: int | None = None
    steps: int | None = None
    batches: int | None = None
    look: int = 1
    patience: int = 0
    rate: Callable[[float], float] = constant
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a schedule takes either epochs or steps")

    @property
    def batches_an_epoch(self) -> int:
        """Steps of an epoch that nothing cuts short."""
        batches = -(-len(self.examples) // self.batch_size)
        return batches if self.batches is None else min(batches, self.batches)

    @property
    def length(self) -> float:
        """Epochs of the training, the last of which may be a part of one."""
        if self.steps is not None:
            return self.steps / self.batches_an_epoch
        assert self.epochs is not None
        return self.epochs

    @property
    def whole_epochs(self) -> int:
        """Epochs of the training, the last one counted as a whole."""
        return math.ceil(self.length)

    @property
    def total(self) -> int:
        """Examples that pass in the whole training, each as often as it does."""
        last = max(self.whole_epochs - 1, 0)
        return self.seen(last, self._steps_of(last))

    def seen(self, epoch: int, steps: int) -> int:
        """Examples that have passed after so many steps of an epoch."""
        each = min(len(self.examples), self.batches_an_epoch * self.batch_size)
        return epoch * each + min(steps * self.batch_size, each)

    def batches_of(self, epoch: int, order: Indices) -> list[Indices]:
        """Cut the examples, as an epoch orders them, into its batches."""
        size = self.batch_size
        return [order[i * size : (i + 1) * size] for i in range(self._steps_of(epoch))]

    def _steps_of(self, epoch: int) -> int:
        if self.steps is None:
            return self.batches_an_epoch
        return min(self.batches_an_epoch, self.steps - epoch * self.batches_an_epoch)
