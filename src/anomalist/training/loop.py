"""The training loop: epochs of steps, looks at how it stands, and checkpoints that resume."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

import anomalist
from anomalist.data import ImageSet
from anomalist.features import Backbone, Progress
from anomalist.training.checkpoint import Checkpoint, UnfitCheckpointError
from anomalist.training.learner import Batch, Learner
from anomalist.training.schedule import Schedule
from anomalist.training.training import Predictor, Training


class Trainable(Predictor, Protocol):
    """The detector that a training is of."""

    name: ClassVar[str]
    backbone_: Backbone

    def parameters(self) -> dict[str, Any]:
        """Return all hyperparameters by name, as plain JSON values."""


def train(
    detector: Trainable,
    learner: Learner[Batch],
    schedule: Schedule,
    *,
    images: ImageSet | None = None,
    training: Training | None = None,
    progress: Progress | None = None,
) -> None:
    """Train to the end, from the start or from a checkpoint, and publish the result.

    Where the learner scores itself on held-out examples, the result is the best of the epochs that
    were looked at, the first of equals; otherwise it is the last epoch. A training that was killed
    and resumed equals an uninterrupted one to the bit.

    Parameters
    ----------
    detector : Detector
        What the learner publishes to; its settings are part of what a checkpoint is known by.
    learner : Learner
        The method: what a step computes, and on which parameters.
    schedule : Schedule
        How long, and in which batches.
    images : ImageSet, optional
        What the examples are made of; needed where a checkpoint is kept.
    training : Training, optional
        How it is watched and kept.
    progress : callable, optional
        Called with the number of examples seen and the total of all epochs.

    Raises
    ------
    ParameterError
        If the checkpoint can't be written where it is to lie.
    """
    training = Training() if training is None else training
    training.check()
    checkpoint = None
    if training.checkpoint is not None:
        checkpoint = Checkpoint(training.checkpoint, _identity(detector, learner, images))
    run = _Run(learner, schedule, training, progress)
    if checkpoint is not None:
        run.resume(checkpoint)
    begin = time.perf_counter() - run.standing.seconds
    while not run.done:
        run.epoch()
        done = len(run.standing.losses)
        if done % schedule.look == 0 or done == schedule.whole_epochs:
            run.look()
            if training.after_epoch is not None:
                paused = time.perf_counter()
                learner.publish(done, run.standing.losses)
                training.after_epoch(done, detector)
                begin += time.perf_counter() - paused
        run.standing.seconds = time.perf_counter() - begin
        if checkpoint is not None:
            checkpoint.save(run.state())
    if run.best:
        learner.load(run.best)
    learner.publish(run.standing.chosen, run.standing.losses)


@dataclass
class _Standing:
    """Where a training stands: JSON values alone."""

    losses: list[float] = field(default_factory=list)
    chosen: int = 0
    score: float | None = None
    looks_since: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        # They may come from a file: what is of another kind must not get further.
        self.losses = [float(loss) for loss in self.losses]
        self.chosen, self.looks_since = int(self.chosen), int(self.looks_since)
        self.score = None if self.score is None else float(self.score)
        self.seconds = float(self.seconds)


class _Run:
    """A training under way."""

    def __init__(
        self,
        learner: Learner[Batch],
        schedule: Schedule,
        training: Training,
        progress: Progress | None,
    ) -> None:
        self._learner: Learner[Any] = learner
        self._schedule = schedule
        self._training = training
        self._progress = progress
        self._rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in learner.optimizers.items()
        }
        self.standing = _Standing()
        #: The best state that held-out examples saw; empty where the last epoch is the result.
        self.best: dict[str, Any] = {}

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        patience = self._schedule.patience
        return len(self.standing.losses) >= self._schedule.whole_epochs or (
            patience > 0 and self.standing.looks_since >= patience
        )

    def epoch(self) -> None:
        """Take the steps of the next epoch."""
        learner, schedule, training = self._learner, self._schedule, self._training
        epoch = len(self.standing.losses)
        numbers = schedule.batches_of(epoch, learner.order(epoch, schedule.examples))
        losses: list[Tensor] = []
        for i, batch in enumerate(learner.batches(epoch, numbers)):
            factor = schedule.rate((epoch + i / schedule.batches_an_epoch) / schedule.length)
            for name, optimizer in learner.optimizers.items():
                for group, rate in zip(optimizer.param_groups, self._rates[name], strict=True):
                    group["lr"] = rate * factor
                optimizer.zero_grad()
            step = learner.step(batch)
            if schedule.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self._parameters(), schedule.clip_norm)
            for optimizer in learner.optimizers.values():
                optimizer.step()
            losses.append(step.loss.detach())
            if training.log is not None:
                training.log(epoch * schedule.batches_an_epoch + i, step.measured())
            if self._progress is not None:
                self._progress(schedule.seen(epoch, i + 1), schedule.total)
        # Numbers are read once an epoch, as each reading waits for an accelerator.
        total = 0.0
        for loss in torch.stack(losses).tolist():
            total += loss
        self.standing.losses.append(total / len(losses))

    def look(self) -> None:
        """Take this epoch as the result if it is the best so far, or where the last one counts."""
        standing, epoch = self.standing, len(self.standing.losses)
        score = self._learner.held_out_score()
        standing.looks_since += 1
        if score is None:
            standing.chosen, standing.looks_since = epoch, 0
        elif standing.score is None or score > standing.score:
            standing.chosen, standing.looks_since, standing.score = epoch, 0, score
            self.best = self._snapshot()

    def state(self) -> dict[str, dict[str, Any]]:
        """All that a checkpoint keeps, in groups."""
        groups = {
            "standing": asdict(self.standing),
            "learner": self._learner.state(),
            "best": self.best,
        }
        for name, optimizer in self._learner.optimizers.items():
            groups[f"optimizer.{name}"] = {
                f"{index}.{key}": value
                for index, entries in optimizer.state_dict()["state"].items()
                for key, value in entries.items()
            }
        return groups

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take up a checkpoint where there is one of this training; note why not."""
        fresh = {"learner": self._snapshot()}
        try:
            kept = checkpoint.read()
            if kept is None:
                return
            self._restore(kept)
        except UnfitCheckpointError as error:
            self._pass_over(checkpoint, str(error))
        except Exception:  # parts that don't fit meet operations of many kinds
            self._restore(fresh)
            self._pass_over(checkpoint, "is damaged, its parts don't fit")
        else:
            self._training.resumed_seconds += self.standing.seconds

    def _restore(self, groups: dict[str, dict[str, Any]]) -> None:
        self.standing = _Standing(**groups.get("standing", {}))
        self.best = groups.get("best", {})
        self._learner.load(groups["learner"])
        for name, optimizer in self._learner.optimizers.items():
            state: dict[int, dict[str, Any]] = {}
            for key, value in groups.get(f"optimizer.{name}", {}).items():
                index, _, what = key.partition(".")
                state.setdefault(int(index), {})[what] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    def _pass_over(self, checkpoint: Checkpoint, why: str) -> None:
        self._training.notes.append(
            f"the checkpoint {checkpoint.path} {why}: the training began anew"
        )

    def _snapshot(self) -> dict[str, Any]:
        return {
            name: value.detach().cpu().clone() if isinstance(value, Tensor) else value
            for name, value in self._learner.state().items()
        }

    def _parameters(self) -> list[Tensor]:
        groups = [g for o in self._learner.optimizers.values() for g in o.param_groups]
        return [parameter for group in groups for parameter in group["params"]]


def _identity(
    detector: Trainable, learner: Learner[Any], images: ImageSet | None
) -> dict[str, Any]:
    """What a checkpoint must have been made with; it takes reading every image."""
    assert images is not None
    return {
        "version": anomalist.__version__,
        "detector": detector.name,
        "settings": detector.parameters(),
        "images": images.content_hash(),
        "weights": detector.backbone_.weights_sha256,
        **learner.identity(),
    }
