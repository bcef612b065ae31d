"""The work of a benchmark as tasks: each says all that decides its record, and can be sent away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import anomalist
from anomalist.benchmark.configuration import config_hash, configuration, hash_of
from anomalist.benchmark.records import RunRecord
from anomalist.calibration import DEFAULT_ALPHA
from anomalist.data import Category, Dataset
from anomalist.detectors import Detector, Ensemble
from anomalist.metrics import EvaluatedAt, OwnMetric

#: A name, a category and a seed: what a record belongs to.
Key = tuple[str, str, int]


@dataclass(frozen=True)
class Asked:
    """What a benchmark asks of every run; it is part of their configuration.

    Parameters
    ----------
    alpha : float
        The false-alarm rate that thresholds are to have.
    calibrate : bool
        Whether to get thresholds and p-values from the training images.
    oracle : bool
        Whether to measure trainings on the test set after every epoch.
    evaluate_at : {"original", "input"}
        Where pixel metrics are measured, see `~anomalist.metrics.evaluate`.
    pro_limits : tuple of float
        False positive rates up to which PRO is measured, besides 0.3; as
        `~anomalist.metrics.extra_limits` gives them.
    split : float, optional
        Share of the training images that is held out of the fit to calibrate, see
        :meth:`~anomalist.detectors.Detector.calibrate`; by default what each detector's
        ``usual_split`` says.
    groups : str
        How training images that aren't independent are found, see
        `~anomalist.detectors.grouping.group_images`.
    metrics : tuple of OwnMetric
        Functions of one's own to measure too.
    """

    alpha: float = DEFAULT_ALPHA
    calibrate: bool = True
    oracle: bool = False
    evaluate_at: EvaluatedAt = "original"
    pro_limits: tuple[float, ...] = ()
    split: float | None = None
    groups: str = "auto"
    metrics: tuple[OwnMetric, ...] = ()

    def configuration(self, detector: Detector) -> dict[str, Any]:
        """Return the configuration of a detector's runs, as JSON values."""
        asked = {
            **dataclasses.asdict(self),
            "pro_limits": list(self.pro_limits),
            "split": self._asked_split(detector),
        }
        # Absent where there are none, as in records that were made before there could be.
        asked.pop("metrics")
        if self.metrics:
            asked["metrics"] = {metric.name: metric.code for metric in self.metrics}
        return configuration(detector, **asked)

    def split_of(self, detector: Detector, images: int) -> float:
        """Return the share of so many independent images that is held out of a detector's fit."""
        asked = self._asked_split(detector)
        return detector.usual_split(images, self.alpha) if isinstance(asked, str) else asked

    def _asked_split(self, detector: Detector) -> float | Literal["auto"]:
        if not self.calibrate:
            return 0.0
        if self.split is None:
            return "auto" if detector.trains else 0.0
        return self.split


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """One detector, with its seed set, on one category: what gives one record.

    It can be pickled and done anywhere where the data set and the result store can be reached; what
    other tasks left in memory has no part in its record.

    Parameters
    ----------
    name : str
        What the detector is called.
    detector : Detector
        Unfitted.
    category : str
        Name of the category.
    dataset : Dataset
        That has it.
    data_hash : str
        Of the images that the plan was made for.
    asked : Asked
        What is asked of the run.
    configuration : dict
        All that decides its result, apart from data and seed.
    member_configs : tuple of str
        Hash of the configuration of each of its ``members``.
    split : float
        Share of the training images that is held out of the fit to calibrate.
    after : tuple of Key
        Tasks that fit members of this ensemble: they come first, where they come at all.
    draws : bool
        Whether pictures of it are kept.
    keeps_model : bool
        Whether the fitted detector is kept, and those that were are taken over.
    notes : tuple of str
        What is known of the category that a reader must know.
    command : str, optional
        The command line that asked for it.
    """

    name: str
    detector: Detector
    category: str
    dataset: Dataset
    data_hash: str
    asked: Asked
    configuration: dict[str, Any]
    member_configs: tuple[str, ...]
    split: float = 0.0
    after: tuple[Key, ...] = ()
    draws: bool = False
    keeps_model: bool = False
    notes: tuple[str, ...] = ()
    command: str | None = None

    @property
    def seed(self) -> int:
        """The detector's seed."""
        return self.detector.seed

    @property
    def key(self) -> Key:
        """What its record belongs to."""
        return self.name, self.category, self.seed

    @property
    def config_hash(self) -> str:
        """SHA-256 of its configuration."""
        return hash_of(self.configuration)

    @property
    def seed_matters(self) -> bool:
        """Whether another seed may give another record."""
        return self.detector.seeded or self.split > 0

    @property
    def members(self) -> list[Detector]:
        """The detectors to be fitted for it: itself, or the members of an ensemble."""
        return self.detector.components()

    @property
    def identities(self) -> list[Identity]:
        """What makes fitted detectors those that its ``members`` would become."""
        version = anomalist.__version__
        deal = f"{self.split:g} by seed {self.seed}" if self.split else ""
        return [
            Identity(
                *(self.category, self.data_hash, config),
                seed=member.seed if member.seeded else 0,
                version=version,
                deal=deal,
            )
            for member, config in zip(self.members, self.member_configs, strict=True)
        ]

    def open(self) -> Category:
        """Return its category."""
        return self.dataset.category(self.category)

    def is_done_by(self, record: RunRecord) -> bool:
        """Whether a record was made with the same settings, data and version."""
        same = (record.config_hash, record.data_hash, record.version)
        return same == (self.config_hash, self.data_hash, anomalist.__version__)


@dataclass(frozen=True)
class Identity:
    """What makes a fitted detector the same as another one, to the bit."""

    category: str
    data: str
    config: str
    #: 0 where the seed changes nothing.
    seed: int
    version: str
    #: What says which images were held out of its fit; empty for none.
    deal: str = ""


def plan(
    dataset: Dataset,
    detectors: Mapping[str, Detector],
    data: Mapping[str, str],
    *,
    seeds: Sequence[int] = (0,),
    asked: Asked | None = None,
    keep_models: bool = False,
    command: str | None = None,
) -> Iterator[Task]:
    """Yield the tasks of a benchmark: category by category, seed by seed, detector by detector.

    Ensembles come after the others, and after the tasks that fit their members.

    Parameters
    ----------
    dataset : Dataset
        That has the categories.
    detectors : mapping of str to Detector
        By name, unfitted.
    data : mapping of str to str
        Hash of the images of each category to run.
    seeds : sequence of int
        Each detector is run once a seed.
    asked : Asked, optional
        What is asked of every run.
    keep_models : bool
        Whether fitted detectors are kept and taken over.
    command : str, optional
        The command line that asked for it.

    Yields
    ------
    Task

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import Ensemble, MVTecAD, PatchCore
    >>> from anomalist.data import make_sample_set
    >>> root = make_sample_set(tempfile.mkdtemp(), image_size=64, train=2, good=1, per_defect=1)
    >>> detectors = {"pair": Ensemble(image_size=384), "patchcore": PatchCore()}
    >>> tasks = list(plan(MVTecAD(root), detectors, {"brass_key": "ab"}, seeds=[0, 1]))
    >>> [task.key for task in tasks]
    [('patchcore', 'brass_key', 0), ('pair', 'brass_key', 0),
     ('patchcore', 'brass_key', 1), ('pair', 'brass_key', 1)]
    >>> tasks[1].after
    (('patchcore', 'brass_key', 0),)
    """
    asked = asked or Asked()
    ordered = sorted(detectors.items(), key=lambda pair: isinstance(pair[1], Ensemble))
    # Once a name: it takes reading the weights.
    settings = {name: asked.configuration(detector) for name, detector in ordered}
    of_members = {
        name: tuple(config_hash(part, groups=asked.groups) for part in detector.components())
        for name, detector in ordered
    }
    for category, data_hash in data.items():
        fits: dict[Identity, Key] = {}
        images = len(dataset.category(category).train)
        for seed in seeds:
            for name, detector in ordered:
                task = Task(
                    name=name,
                    detector=dataclasses.replace(detector, seed=seed),
                    category=category,
                    dataset=dataset,
                    data_hash=data_hash,
                    asked=asked,
                    configuration=settings[name],
                    member_configs=of_members[name],
                    split=asked.split_of(detector, images),
                    draws=seed == min(seeds),
                    keeps_model=keep_models,
                    command=command,
                )
                needed = task.identities
                if isinstance(detector, Ensemble):
                    after = tuple(dict.fromkeys(fits[n] for n in needed if n in fits))
                    yield dataclasses.replace(task, after=after)
                else:
                    fits.setdefault(needed[0], task.key)
                    yield task
