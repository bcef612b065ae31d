"""Scores of good images by detectors that didn't see them, to calibrate with none to spare."""

from __future__ import annotations

import copy as copies
import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from anomalist.calibration.conformal import cross_p_values
from anomalist.calibration.grouping import number_groups
from anomalist.data import ImageSet, Transform
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore, Progress
from anomalist.features.progress import as_share, shifted
from anomalist.predictions import Predictions


class Fittable(Protocol):
    """What cross-fitting needs of a detector: a dataclass of settings that fits and predicts."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def transform(self) -> Transform:
        """How images are brought to its input."""
        ...

    def unfitted(self, images: ImageSet) -> Self:
        """Return a copy to be fitted to a part of some images, with what all of them settle."""
        ...

    def fit(
        self,
        images: ImageSet,
        *,
        groups: Iterable[Hashable] | None = None,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
        training: Any = None,
    ) -> Self:
        """Learn what good looks like."""
        ...

    def predict(
        self,
        images: ImageSet,
        *,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """Score images."""
        ...


D = TypeVar("D", bound=Fittable)


def assign_folds(
    n: int, folds: int = 5, *, seed: int = 0, groups: Iterable[Hashable] | None = None
) -> npt.NDArray[np.int64]:
    """Deal ``n`` images out to folds at random, as evenly as can be, a group to one fold.

    The largest groups are dealt first, each to the fold that has the fewest images.

    Parameters
    ----------
    n : int
        Number of images.
    folds : int
        Number of folds; where there are fewer groups, each is a fold of its own.
    seed : int
        Seed of the deal.
    groups : iterable of hashable, optional
        One an image, equal for images that aren't independent, such as shots of one part; without
        it, every image is a group of its own.

    Returns
    -------
    int64 array of shape (n,)
        The fold of each image, from 0.

    Raises
    ------
    DataError
        If there are fewer than 2 images or groups, or groups aren't one an image.
    ParameterError
        If ``folds`` is less than 2.

    Examples
    --------
    >>> np.bincount(assign_folds(8, 3)).tolist()
    [3, 3, 2]
    >>> assign_folds(5, 2, groups=["a", "a", "a", "b", "c"]).tolist()
    [0, 0, 0, 1, 1]
    """
    if n < 2:
        raise DataError(
            f"cross-fitting needs at least 2 good images, one to fit and one to score, not {n}"
        )
    if folds < 2:
        raise ParameterError(f"folds must be 2 or more, not {folds}")
    numbers = number_groups(groups, n)
    sizes = np.bincount(numbers)
    if len(sizes) < 2:
        raise DataError(
            f"cross-fitting needs at least 2 groups, one to fit and one to score: all {n} images"
            " are of one"
        )
    rank = np.random.default_rng(seed).permutation(len(sizes))
    held = np.zeros(min(folds, len(sizes)), np.int64)
    dealt = np.empty(len(sizes), np.int64)
    for group in np.lexsort((rank, -sizes)).tolist():
        dealt[group] = held.argmin()
        held[dealt[group]] += sizes[group]
    return dealt[numbers]


def held_out_scores(
    detector: Fittable,
    images: ImageSet,
    *,
    folds: int = 5,
    seed: int = 0,
    groups: Iterable[Hashable] | None = None,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
    training: Callable[[int], Any] | None = None,
) -> Predictions:
    """Score good images, each by a copy of the detector that was fitted on the other folds.

    The detector itself is neither fitted nor changed. A `~anomalist.calibration.threshold` of these
    scores for the detector fitted on all images has no guarantee for certain, as it isn't the one
    that gave them. Having seen more, it tends to score new normal images a little lower: false
    alarms come about as often as asked for, or more seldom. Where images are few for what a
    detector estimates, it scores them much lower and defects are missed; more folds narrow that.
    `cross_conformal_p_values` has a guarantee.

    Images must be a random draw of what comes later. Near copies of each other, such as shots of
    one part, make held-out scores too low unless ``groups`` keep them together; images chosen to
    differ, such as a part turned by even steps, make them too high.

    Parameters
    ----------
    detector : Detector
        Its settings are what counts; it may be fitted or not.
    images : ImageSet
        N good images.
    folds : int
        Number of folds, and so of fits; N, or more, leaves one image, or group, out at a time.
    seed : int
        Seed of the deal into folds.
    groups : iterable of hashable, optional
        One an image: images of one group are scored by a copy that saw none of them.
    store : FeatureStore, optional
        Keeps feature maps; without one, one in memory serves this call, so that each image passes
        the backbone once.
    progress : callable, optional
        Called with the number of images fitted to and scored, and the total over all folds.
    training : callable, optional
        Gives what the fit of a fold, which it is called with, takes as its ``training``.

    Returns
    -------
    Predictions
        Of all images, in their order.

    Raises
    ------
    DataError
        If there are fewer than 2 images or groups, one is labelled anomalous or can't be read.
    ParameterError
        If ``folds`` is less than 2.

    References
    ----------
    Barber et al., "Predictive inference with the jackknife+", Annals of Statistics 49 (2021),
    section 2, where such a threshold is called the jackknife.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import MVTecAD, PatchCore
    >>> from anomalist.calibration import threshold
    >>> from anomalist.data import make_sample_set
    >>> root = make_sample_set(
    ...     tempfile.mkdtemp(), image_size=64, train=9, good=3, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> key = MVTecAD(root).category("brass_key")
    >>> detector = PatchCore(image_size=64)
    >>> held_out = held_out_scores(detector, key.train, folds=3)
    >>> alarm_above = threshold(held_out.scores, alpha=0.1)
    >>> predictions = detector.fit(key.train).predict(key.test)
    >>> alarms = predictions.scores > alarm_above
    """
    store = FeatureStore() if store is None else store
    numbers = number_groups(groups, len(images))
    dealt = assign_folds(len(images), folds, seed=seed, groups=numbers)
    places, made = [], []
    total = len(images) * (int(dealt.max()) + 1)
    for held_out, fitted in _fits(detector, images, numbers, dealt, store, training, progress):
        places.append(held_out)
        watch = shifted(progress, len(images) * len(places) - len(held_out), total)
        made.append(fitted.predict(images[held_out], store=store, progress=watch))
    return Predictions.join(made)[np.argsort(np.concatenate(places))]


def cross_conformal_p_values(
    detector: Fittable,
    images: ImageSet,
    new_images: ImageSet,
    *,
    folds: int = 5,
    seed: int = 0,
    groups: Iterable[Hashable] | None = None,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """Give new images p-values with a guarantee, though every good image is learnt from.

    Each fold's detector scores its fold and all new images, so scoring costs as many times more as
    there are folds. `cross_p_values` says what is guaranteed.

    Parameters
    ----------
    detector : Detector
        Its settings are what counts; it is neither fitted nor changed.
    images : ImageSet
        N good images.
    new_images : ImageSet
        M images to judge.
    folds, seed, groups, store
        As for `held_out_scores`.
    progress : callable, optional
        Called with the number of scores made and N + folds * M.

    Returns
    -------
    float64 array of shape (M,)

    Raises
    ------
    DataError
        If there are fewer than 2 good images or groups or no new one, a good one is labelled
        anomalous, or one can't be read.
    ParameterError
        If ``folds`` is less than 2.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import MVTecAD, PatchCore
    >>> from anomalist.data import make_sample_set
    >>> root = make_sample_set(
    ...     tempfile.mkdtemp(), image_size=64, train=9, good=3, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> key = MVTecAD(root).category("brass_key")
    >>> p = cross_conformal_p_values(PatchCore(image_size=64), key.train, key.test, folds=3)
    >>> p.shape == (len(key.test),), float(p.min()) >= 1 / 10
    (True, True)
    """
    store = FeatureStore() if store is None else store
    numbers = number_groups(groups, len(images))
    dealt = assign_folds(len(images), folds, seed=seed, groups=numbers)
    by_others: npt.NDArray[np.float32] = np.empty(len(images), np.float32)
    fold_scores = []
    total = len(images) + (int(dealt.max()) + 1) * len(new_images)
    scored = 0
    for held_out, fitted in _fits(detector, images, numbers, dealt, store):
        watch = shifted(progress, scored, total)
        held = fitted.predict(images[held_out], store=store, progress=watch)
        by_others[held_out] = held.scores
        scored += len(held_out)
        watch = shifted(progress, scored, total)
        fold_scores.append(fitted.predict(new_images, store=store, progress=watch).scores)
        scored += len(new_images)
    return cross_p_values(fold_scores, by_others, dealt, groups=numbers)


def _fits(
    detector: D,
    images: ImageSet,
    groups: npt.NDArray[np.int64],
    dealt: npt.NDArray[np.int64],
    store: FeatureStore,
    training: Callable[[int], Any] | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[npt.NDArray[np.intp], D]]:
    """Fold by fold: which images it holds, and a copy of the detector fitted to all others."""
    count = int(dealt.max()) + 1
    # What is white is settled once, for one: a copy that hadn't seen the brightest image would see
    # all others brighter. So is the input's size, which maps of all folds must share.
    unfitted = detector.unfitted(images)
    for fold in range(count):
        copy = copies.copy(unfitted)
        places = np.flatnonzero(dealt != fold)
        kept = None if training is None else training(fold)
        watch = as_share(progress, len(places), len(images) * fold, len(images) * count)
        fitted = copy.fit(
            images[places], groups=groups[places], store=store, progress=watch, training=kept
        )
        yield np.flatnonzero(dealt == fold), fitted
