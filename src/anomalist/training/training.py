"""How a training is watched and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Training:
    """How the training of a detector that learns epoch by epoch is watched and kept.

    Parameters
    ----------
    after_epoch : callable, optional
        Called with the number of epochs done whenever the detector can predict. What it does
        changes nothing in the training.
    log : callable, optional
        Called with the number of the step and what was measured there, by name.
    checkpoint : str or Path, optional
        File that keeps an unfinished training. Where it is there and of the same settings and
        images, the training goes on from it to the same bits.

    Attributes
    ----------
    resumed_seconds : float
        The time that a checkpoint saved.
    """

    after_epoch: Callable[[int], None] | None = None
    log: Callable[[int, Mapping[str, float]], None] | None = None
    checkpoint: str | Path | None = None
    resumed_seconds: float = 0.0
