"""A detector that chooses itself: in benchmarks and in Python it stands for what it chose."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from anomalist.choosing.candidates import Candidate, candidates
from anomalist.choosing.choice import Choice
from anomalist.choosing.choosing import DEFAULT_BUDGET, check_most_ms, choose
from anomalist.choosing.durations import seconds_of
from anomalist.data import ImageSet, Transform
from anomalist.detectors import Detector, FeatureBatches, load
from anomalist.detectors.shards import Shard
from anomalist.errors import ParameterError
from anomalist.features import FeatureStore, Progress
from anomalist.models import Layout
from anomalist.predictions import Predictions
from anomalist.training import Training


@dataclass(kw_only=True, eq=False)
class Auto(Detector):
    """Chooses a detector and its settings by the good images.

    Fitted, it is what it chose. What is given of the settings that all detectors have is no matter
    of choice. A file that it saves is one of what it chose, with the table of candidates in its
    summary.

    Parameters
    ----------
    budget : str
        The time that choosing, fitting and calibrating may take: 90s, 5min, 1h.
    most_ms : float, optional
        Milliseconds that an image may take here: what is slower isn't chosen.
    fixed : tuple of str
        Settings of all detectors that aren't chosen though they have their default values.

    Attributes
    ----------
    chosen_ : Detector
        What was chosen, fitted.
    choice_ : Choice
        Out of which candidates, and by what.

    Examples
    --------
    >>> [candidate.label for candidate in Auto(image_size=320).candidates()][:2]
    ['patchcore', 'patchcore, layers stride4,stride8,stride16']
    """

    name: ClassVar[str] = "auto"
    fitted: ClassVar[tuple[str, ...]] = ()

    budget: str = DEFAULT_BUDGET
    most_ms: float | None = None
    fixed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        seconds_of(self.budget)
        check_most_ms(self.most_ms)
        shared = [field.name for field in dataclasses.fields(Detector)]
        for name in self.fixed:
            if name not in shared:
                raise ParameterError(
                    f"fixed names settings of all detectors, such as image_size, not {name!r}"
                )

    @property
    def transform(self) -> Transform:
        """How images are brought to the input of what was chosen."""
        if hasattr(self, "chosen_"):
            return self.chosen_.transform
        return super().transform

    def candidates(self) -> list[Candidate]:
        """Return what there is to choose from, the default first."""
        given = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(Detector)
            if field.name in self.fixed or getattr(self, field.name) != field.default
        }
        return candidates(given)

    def choose(
        self,
        images: ImageSet,
        *,
        groups: Iterable[Hashable] | None = None,
        store: FeatureStore | None = None,
        kept: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Choice:
        """Choose by good images; see :func:`~anomalist.choosing.choose`."""
        return choose(
            images,
            budget=self.budget,
            among=self.candidates(),
            most_ms=self.most_ms,
            groups=groups,
            seed=self.seed,
            store=store,
            kept=kept,
            progress=progress,
        )

    def check_shards(self, shards: list[Shard], input_size: tuple[int, int]) -> None:
        """Refuse shards.

        Raises
        ------
        ParameterError
            Always.
        """
        raise ParameterError(
            "auto can't choose shard by shard: let it choose by a few hundred of the images, and"
            " fit what it chose to all"
        )

    def save(self, path: str | Path) -> None:
        """Write what was chosen to a file; see :meth:`Detector.save`.

        Raises
        ------
        ParameterError
            If it isn't fitted.
        OSError
            If the file can't be written.
        """
        self._check_fitted()
        chosen = dataclasses.replace(self.chosen_)
        vars(chosen).update(vars(self.chosen_))
        chosen.calibration_, chosen.reference_ = self.calibration_, self.reference_
        chosen.thumbnails_, chosen.pictures_ = self.thumbnails_, self.pictures_
        chosen.summary_ = self.summary_
        chosen.save(path)

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None) -> Self:
        """Read a file that it saved."""
        self = cls()
        self._take(load(path, device=device))
        return self

    def _take(self, chosen: Detector) -> None:
        """Be what was chosen."""
        self._forget()
        self.chosen_ = chosen
        self.backbone_, self.images_ = chosen.backbone_, chosen.images_
        self.settled_ = chosen.settled_
        self.calibration_, self.reference_ = chosen.calibration_, chosen.reference_
        self.summary_, self.thumbnails_ = chosen.summary_, chosen.thumbnails_
        self.pictures_ = chosen.pictures_

    def _learn(
        self,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        store: FeatureStore | None,
        progress: Progress | None,
        training: Training | None,
    ) -> None:
        # What others left in a store would let it try more in the same time.
        own = FeatureStore()
        self.choice_ = self.choose(images, groups=groups, store=own, progress=progress)
        chosen = self.choice_.detector.fit(
            images, groups=groups, store=own, progress=progress, training=training
        )
        self._take(chosen)
        self.summary_ = {"choice": self.choice_.as_dict()}

    def _held_out(
        self,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        store: FeatureStore | None,
        progress: Progress | None,
        training: Training,
    ) -> Predictions:
        return self.chosen_._held_out(images, groups, store, progress, training)

    @property
    def held_out_method(self) -> str:
        """How what was chosen sees to it that an image wasn't seen, in words."""
        return self.chosen_.held_out_method

    def _predict(
        self, images: ImageSet, store: FeatureStore | None, progress: Progress | None
    ) -> Predictions:
        return self.chosen_._predict(images, store, progress)

    def _fit(self, features: FeatureBatches) -> None:
        raise NotImplementedError("what is chosen fits to feature maps of its own")

    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("what is chosen scores feature maps of its own")

    def _layout(self, maps: list[tuple[int, int, int]]) -> dict[str, Layout | Any]:
        return {}  # its file is one of what was chosen
