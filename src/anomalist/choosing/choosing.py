"""Choosing a detector by good images alone, within a time."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from anomalist.calibration import number_groups
from anomalist.choosing.candidates import Candidate, candidates
from anomalist.choosing.choice import Choice
from anomalist.choosing.durations import seconds_of
from anomalist.choosing.judged import Judge, Judged
from anomalist.choosing.made_defects import by_made_defects
from anomalist.choosing.race import Race
from anomalist.data import ImageSet
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore, Progress, unite_backbones

DEFAULT_BUDGET = "5min"
"""The time that choosing, fitting and calibrating may take where nobody says how much."""

_FEWEST = 4


def choose(
    images: ImageSet,
    *,
    budget: str | float = DEFAULT_BUDGET,
    among: Sequence[Candidate] | None = None,
    most_ms: float | None = None,
    groups: Iterable[Hashable] | None = None,
    seed: int = 0,
    store: FeatureStore | None = None,
    judge: Judge | None = None,
    kept: str | Path | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Choose a detector and its settings by good images alone, within a time.

    Candidates learn from a share of the images and are asked to tell the others from defects made
    on them, see :func:`~anomalist.detectors.judging.judge`. The first of three rounds does that on
    a quarter of the images, with few defects; the better half of the candidates comes to the next
    one, on twice as many. What ranks them is the mean of image AUROC and PRO. The default comes to
    every round. It is left only for a candidate whose lead is larger than the standard error of it
    over kinds of defect, which has no lower image AUROC, and of which the kinds that had no part in
    the choice say the same. Where time is short, candidates that come late in the list
    aren't judged, and rounds are left out, which the notes tell. With time enough, the choice
    depends on the images and the seed alone.

    Parameters
    ----------
    images : ImageSet
        Good images.
    budget : str or float
        The time that this, and the fit and calibration of what is chosen, may take: ``90s``,
        ``5min``, ``1h``, or seconds.
    among : sequence of Candidate, optional
        The default first; by default `candidates`.
    most_ms : float, optional
        Milliseconds that an image may take here: what is slower isn't chosen.
    groups : iterable of hashable, optional
        One an image, equal for images that aren't independent, which stay together.
    seed : int
        Seed of everything random.
    store : FeatureStore, optional
        Keeps feature maps, for the fit to come.
    judge : callable, optional
        What measures a candidate instead, see `~anomalist.choosing.judged.Judge`.
    kept : str or Path, optional
        A file that keeps what was judged, so that a choice that was stopped goes on where it was.
    progress : callable, optional
        Called with the seconds that have passed and those of the budget.

    Returns
    -------
    Choice

    Raises
    ------
    DataError
        If there are fewer than 4 images or groups, or the default can't be fitted to them.
    ParameterError
        If the budget is no time, or no candidate is as fast as ``most_ms``.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import MVTecAD
    >>> from anomalist.data import make_sample_set
    >>> root = make_sample_set(
    ...     tempfile.mkdtemp(), image_size=64, train=8, good=1, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> small = candidates({"image_size": 64, "backbone": "efficientnet_lite0"})[:2]
    >>> choice = choose(MVTecAD(root).category("brass_key").train, budget="1min", among=small)
    >>> choice.label in [row.label for row in choice.rows], len(choice.rows)
    (True, 2)
    """
    total = seconds_of(budget)
    check_most_ms(most_ms)
    numbers = number_groups(groups, len(images))
    scenes = int(numbers.max(initial=-1)) + 1
    if scenes < _FEWEST:
        what = "scenes" if scenes < len(images) else "images"
        raise DataError(
            f"{scenes} good {what} are too few to choose a detector by, which takes"
            f" {_FEWEST}: give more, or name a detector, such as patchcore"
        )
    store = FeatureStore() if store is None else store
    among = list(candidates() if among is None else among)
    # One pass of an image gives the maps of all that see it alike.
    parts = [part for candidate in among for part in candidate.detector.components()]
    for backbone in unite_backbones(part.make_backbone() for part in parts):
        store.adopt(backbone)
    judged = Judged(by_made_defects(store, seed) if judge is None else judge, kept, seed)
    race = Race(
        images, numbers, among, total, judged, most_ms=most_ms, seed=seed, progress=progress
    )
    return race.run()


def check_most_ms(most_ms: float | None) -> None:
    """Refuse a limit of milliseconds an image that is none.

    Raises
    ------
    ParameterError
        If it isn't above 0.
    """
    if most_ms is not None and not 0 < most_ms < math.inf:
        raise ParameterError(f"most_ms must be a number of milliseconds above 0, not {most_ms}")
