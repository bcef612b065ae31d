"""How a training is watched and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from anomalist.data import ImageSet
from anomalist.errors import ParameterError
from anomalist.features import FeatureStore, Progress
from anomalist.files import check_writable
from anomalist.predictions import Predictions


class Predictor(Protocol):
    """What a training hands out after an epoch: it scores images with what was learnt so far."""

    def predict(
        self,
        images: ImageSet,
        *,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """Score images; see ``Detector.predict``."""


@dataclass
class Training:
    """How the training of a detector that learns step by step is watched and kept.

    Parameters
    ----------
    after_epoch : callable, optional
        Called with the number of epochs done and the detector that can predict now, which stands
        so until the call returns. What is done with it changes nothing in the training, and its
        time isn't counted.
    log : callable, optional
        Called with the number of the step and what was measured there, by name.
    checkpoint : str or Path, optional
        File that keeps an unfinished training. Where it is there and of the same version, settings
        and images, the training goes on from it to the same bits. Any other file is passed over,
        and replaced after the first epoch.

    Attributes
    ----------
    resumed_seconds : float
        The time of training that checkpoints saved, all trainings added up that were given this.
        What a training prepares before its first epoch isn't in it, as this is done again.
    notes : list of str
        Why checkpoints were passed over, and what a detector left out of its training.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import GLASS, MVTecAD
    >>> from anomalist.data import make_sample_set
    >>> root = make_sample_set(
    ...     tempfile.mkdtemp(), image_size=64, train=4, good=1, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> key = MVTecAD(root).category("brass_key")
    >>> def look(epoch, detector):
    ...     print(epoch, detector.predict(key.test).maps.shape)
    >>> _ = GLASS(image_size=64, meta_epochs=2).fit(key.train, training=Training(after_epoch=look))
    1 (6, 64, 64)
    2 (6, 64, 64)
    """

    after_epoch: Callable[[int, Predictor], None] | None = None
    log: Callable[[int, Mapping[str, float]], None] | None = None
    checkpoint: str | Path | None = None
    resumed_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Tell before the training that its checkpoint can't be kept.

        Raises
        ------
        ParameterError
            If the checkpoint is a folder, or can't be written where it is to lie.
        """
        if self.checkpoint is None:
            return
        try:
            check_writable(self.checkpoint)
        except OSError as error:
            raise ParameterError(
                f"the checkpoint {self.checkpoint} can't be written, {error.strerror}: choose"
                " another place for it"
            ) from error
        if Path(self.checkpoint).is_dir():
            raise ParameterError(f"the checkpoint {self.checkpoint} is a folder: name a file")
