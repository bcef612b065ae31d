"""Detectors judged from good images alone: by made defects on images that they hadn't seen."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from anomalist.calibration import DEFAULT_ALPHA, assign_folds, number_groups, threshold
from anomalist.data import ImageSet, Transform, bit_depth_of
from anomalist.detectors.base import Detector
from anomalist.detectors.good_images import check_good
from anomalist.errors import DataError, ModelFileError
from anomalist.features import FeatureStore, Progress
from anomalist.features.progress import as_share, shifted
from anomalist.metrics import auroc
from anomalist.metrics.pixels import Pixels
from anomalist.metrics.summary import Summary, rank_pixels
from anomalist.predictions import Predictions
from anomalist.synthesis import DECIDING, make_defects, pool_mask
from anomalist.synthesis.defects import check_kinds

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Good images that are held out: a third of them at a time, but no more, and so often that there
# are enough.
_PARTS = 3
_MOST_HELD_OUT = 60
_ENOUGH = 24
# Longer side of the frame in which pixels are compared, whatever a detector's own is.
_SIDE = 128
_TIMED = 8

OF_A_KIND = 20
"""Made defects of each kind by which a detector is judged where nobody says how many."""


@dataclass(frozen=True, eq=False)
class Trial:
    """Good images to learn from, and others to show then, with made defects and without.

    Parameters
    ----------
    learnt : ImageSet
        To fit to.
    groups : int64 array of shape (n,)
        Which of these aren't independent.
    shown : ImageSet
        Good images that aren't among them, nor of their groups, and others made of these.
    shown_groups : int64 array of shape (N,)
        Of those shown; a made defect is of its photograph's.
    bit_depth : int
        Bits of the camera whose values 16-bit images hold.
    """

    learnt: ImageSet
    groups: npt.NDArray[np.int64]
    shown: ImageSet
    shown_groups: npt.NDArray[np.int64]
    bit_depth: int

    def predictions(
        self,
        detector: Detector,
        *,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> tuple[Detector, Predictions]:
        """Fit a copy of a detector to what is to be learnt from, and score what is shown.

        Parameters
        ----------
        detector : Detector
            Its settings are what counts; it is neither fitted nor changed.
        store : FeatureStore, optional
            Keeps feature maps for other detectors.
        progress : callable, optional
            Called with the number of images fitted to and scored, and the total.

        Returns
        -------
        fitted : Detector
            The copy.
        predictions : Predictions
            Of ``shown``.
        """
        copy = dataclasses.replace(detector, bit_depth=detector.bit_depth or self.bit_depth)
        n, total = len(self.learnt), len(self.learnt) + len(self.shown)
        watch = as_share(progress, n, 0, total)
        copy.fit(self.learnt, groups=self.groups, store=store, progress=watch)
        watch = shifted(progress, n, total)
        return copy, copy.predict(self.shown, store=store, progress=watch)


def trials(
    images: ImageSet,
    *,
    groups: Iterable[Hashable] | None = None,
    seed: int = 0,
    kinds: Sequence[str] = DECIDING,
    of_a_kind: int = OF_A_KIND,
) -> list[Trial]:
    """Deal good images into those to learn from and those to be judged by.

    A third is held out, at most 60, and of few images another third again, until 24 have been. On
    those held out defects of each kind are made.

    Parameters
    ----------
    images : ImageSet
        N good images, at least 2.
    groups : iterable of hashable, optional
        One an image, equal for images that aren't independent: they stay together.
    seed : int
        Of the deal and of the defects.
    kinds : sequence of str
        Of made defects.
    of_a_kind : int
        About how many of each kind, over all trials.

    Raises
    ------
    DataError
        If there are fewer than 2 images or groups, or one is labelled anomalous.
    ParameterError
        If there is no such kind of defect.
    """
    check_good(images)
    check_kinds(kinds)
    numbers = number_groups(groups, len(images))
    parts = max(_PARTS, math.ceil(len(images) / _MOST_HELD_OUT))
    dealt = assign_folds(len(images), parts, seed=seed, groups=numbers)
    sizes = np.bincount(dealt)
    rounds = min(int(np.searchsorted(np.cumsum(sizes), _ENOUGH)) + 1, len(sizes))
    rounds = min(rounds, _PARTS)
    depth = bit_depth_of(images)
    made_each = math.ceil(of_a_kind * len(kinds) / rounds)
    found = []
    for part in range(rounds):
        held, rest = np.flatnonzero(dealt == part), np.flatnonzero(dealt != part)
        good = ImageSet([sample.marked(False, "good") for sample in images[held]])
        each = math.ceil(made_each / len(held))
        made = make_defects(good, seed=seed, kinds=kinds, each=each)[:made_each]
        of_made = np.tile(numbers[held], each)[:made_each]
        shown = ImageSet([*good, *made], images.name)
        of_shown = np.concatenate([numbers[held], of_made])
        found.append(Trial(images[rest], numbers[rest], shown, of_shown, depth))
    return found


@dataclass(frozen=True)
class KindJudged:
    """How one kind of made defect is told from good images.

    Parameters
    ----------
    made : int
        Defects of this kind.
    image_AUROC, pixel_AUROC, pixel_PRO : float
        As `~anomalist.metrics` has them; PRO up to a false positive rate of 0.3.
    hits : float
        Share above the threshold that held-out good images give for a false-alarm rate of 5 %,
        which is the highest of them where they are too few to promise it.
    """

    made: int
    image_AUROC: float  # noqa: N815 - the metric's name in all files
    pixel_AUROC: float  # noqa: N815
    pixel_PRO: float  # noqa: N815
    hits: float


_MEASURED = ("image_AUROC", "pixel_AUROC", "pixel_PRO", "hits")


@dataclass(frozen=True)
class Judgement:
    """What a detector makes of defects that were made on good images it hadn't seen.

    Parameters
    ----------
    kinds : mapping of str to KindJudged
        By kind of defect.
    good : int
        Good images that were held out.
    learnt : int
        Images that it was fitted to, in the mean over trials.
    seconds_per_image : float
        Time to score an image that is read anew, in small batches, on this machine as busy as it
        was.
    fit_seconds : float
        Time of one fit, feature maps as far as they weren't kept included.

    Examples
    --------
    >>> kinds = {"stain": KindJudged(9, 0.9, 0.97, 0.8, 0.6)}
    >>> kinds |= {"blur": KindJudged(9, 0.8, 0.9, 0.7, 0.5)}
    >>> judgement = Judgement(kinds, good=20, learnt=40, seconds_per_image=0.02, fit_seconds=1.0)
    >>> round(judgement.image_AUROC, 3), round(judgement.score, 3)
    (0.85, 0.8)
    """

    kinds: Mapping[str, KindJudged]
    good: int
    learnt: int
    seconds_per_image: float
    fit_seconds: float

    def _mean(self, name: str) -> float:
        return float(np.mean([getattr(judged, name) for judged in self.kinds.values()]))

    @property
    def image_AUROC(self) -> float:  # noqa: N802 - the metric's name in all files
        """Mean over the kinds."""
        return self._mean("image_AUROC")

    @property
    def pixel_AUROC(self) -> float:  # noqa: N802
        """Mean over the kinds."""
        return self._mean("pixel_AUROC")

    @property
    def pixel_PRO(self) -> float:  # noqa: N802
        """Mean over the kinds."""
        return self._mean("pixel_PRO")

    @property
    def hits(self) -> float:
        """Mean over the kinds."""
        return self._mean("hits")

    @property
    def score(self) -> float:
        """What candidates are ranked by: the mean of image AUROC and PRO, higher is better."""
        return (self.image_AUROC + self.pixel_PRO) / 2

    @classmethod
    def of(
        cls,
        shown: Sequence[Predictions],
        *,
        groups: Sequence[npt.NDArray[np.int64]] | None = None,
        learnt: int = 0,
        seconds_per_image: float = 0.0,
        fit_seconds: float = 0.0,
    ) -> Self:
        """Measure predictions of what was shown, trial by trial.

        Parameters
        ----------
        shown : sequence of Predictions
            Of the ``shown`` of one or more trials, each with good images and made defects.
        groups : sequence of int64 arrays, optional
            The ``shown_groups`` of each.
        learnt, seconds_per_image, fit_seconds
            To be told with it.

        Raises
        ------
        DataError
            If all made defects lie where nothing counts.
        """
        rows: dict[str, list[KindJudged]] = {}
        for i, predictions in enumerate(shown):
            of_trial = None if groups is None else groups[i]
            for kind, judged in _measured(predictions, of_trial).items():
                rows.setdefault(kind, []).append(judged)
        if not rows:
            raise DataError(
                "no made defect lies where a pixel counts: most of the part is cropped or ignored"
            )
        kinds = {}
        for kind, judgements in rows.items():
            weights = [judged.made for judged in judgements]
            means = {
                name: float(np.average([getattr(j, name) for j in judgements], weights=weights))
                for name in _MEASURED
            }
            kinds[kind] = KindJudged(sum(weights), **means)
        good = sum(int(np.count_nonzero(~_labels(predictions))) for predictions in shown)
        return cls(kinds, good, learnt, seconds_per_image, fit_seconds)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        values = dataclasses.asdict(self)
        return {**values, "kinds": {k: dataclasses.asdict(j) for k, j in self.kinds.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make it again from what `as_dict` returned.

        Raises
        ------
        ModelFileError
            If something is missing or doesn't belong there.
        """
        try:
            kinds = {kind: KindJudged(**judged) for kind, judged in values["kinds"].items()}
            return cls(**{**values, "kinds": kinds})
        except (AttributeError, KeyError, TypeError) as error:
            raise ModelFileError(f"a judgement is damaged: {error}") from error


def judge(
    detector: Detector,
    images: ImageSet,
    *,
    groups: Iterable[Hashable] | None = None,
    seed: int = 0,
    kinds: Sequence[str] = DECIDING,
    of_a_kind: int = OF_A_KIND,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Judgement:
    """Judge a detector's settings from good images alone.

    Copies of it are fitted to a share of the good images and shown the others, as they are and with
    made defects on them. No test image and no real defect has a part in it, so whatever is chosen
    by it can be measured on those honestly. It says which of several candidates is likely better;
    how many real defects one finds it can't say, as made ones are easier or harder.

    Parameters
    ----------
    detector : Detector
        Its settings are what counts; it is neither fitted nor changed.
    images : ImageSet
        Good images, at least 2.
    groups : iterable of hashable, optional
        One an image, equal for images that aren't independent, such as shots of one part.
    seed : int
        Which images are held out, and which defects are made. Candidates are to be compared at the
        same.
    kinds : sequence of str
        Kinds of defects: by default those that decide; `~anomalist.synthesis.CHECKING` are to check
        what was decided.
    of_a_kind : int
        About how many of each kind; fewer cost less and tell less.
    store : FeatureStore, optional
        Keeps feature maps, of made defects too, for other candidates.
    progress : callable, optional
        Called with the number of images fitted to and scored, and the total.

    Returns
    -------
    Judgement

    Raises
    ------
    DataError
        If there are fewer than 2 images or groups, one is labelled anomalous or can't be read.
    ParameterError
        If there is no such kind of defect.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import MVTecAD, PatchCore
    >>> from anomalist.data import make_sample_set
    >>> root = make_sample_set(
    ...     tempfile.mkdtemp(), image_size=64, train=9, good=1, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> key = MVTecAD(root).category("brass_key")
    >>> judgement = judge(PatchCore(image_size=64), key.train, kinds=("missing", "stain"))
    >>> sorted(judgement.kinds), 0 <= judgement.image_AUROC <= 1
    (['missing', 'stain'], True)
    """
    dealt = trials(images, groups=groups, seed=seed, kinds=kinds, of_a_kind=of_a_kind)
    return judge_by(detector, dealt, store=store, progress=progress)


def judge_by(
    detector: Detector,
    dealt: Sequence[Trial],
    *,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Judgement:
    """Judge a detector's settings as :func:`judge` does, by `trials` that may serve others too.

    Made defects are drawn once then, whatever the number of candidates.

    Parameters
    ----------
    detector : Detector
        Its settings are what counts; it is neither fitted nor changed.
    dealt : sequence of Trial
        At least one.
    store : FeatureStore, optional
        Keeps feature maps, of made defects too, for other candidates.
    progress : callable, optional
        Called with the number of images fitted to and scored, and the total.

    Raises
    ------
    DataError
        If an image can't be read.
    """
    store = FeatureStore() if store is None else store
    total = sum(len(trial.learnt) + len(trial.shown) for trial in dealt)
    done = 0
    made, fit_seconds = [], []
    for trial in dealt:
        watch = shifted(progress, done, total)
        begin = time.perf_counter()
        fitted, predictions = trial.predictions(detector, store=store, progress=watch)
        fit_seconds.append(time.perf_counter() - begin)
        made.append(predictions)
        done += len(trial.learnt) + len(trial.shown)
    return Judgement.of(
        made,
        groups=[trial.shown_groups for trial in dealt],
        learnt=round(np.mean([len(trial.learnt) for trial in dealt])),
        seconds_per_image=_seconds_per_image(fitted, dealt[-1].learnt),
        fit_seconds=float(np.mean(fit_seconds)),
    )


def _seconds_per_image(fitted: Detector, images: ImageSet) -> float:
    """The better of two passes over a few images, the first of which warms up."""
    chosen = images[: min(_TIMED, len(images))]
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        fitted.predict(chosen)
        seconds.append((time.perf_counter() - begin) / len(chosen))
    return min(seconds)


def _labels(predictions: Predictions) -> npt.NDArray[np.bool_]:
    assert predictions.labels is not None
    return predictions.labels


def _measured(
    predictions: Predictions, groups: npt.NDArray[np.int64] | None
) -> dict[str, KindJudged]:
    """What is measured of each kind in one trial."""
    labels, scores = _labels(predictions), predictions.scores.astype(np.float64)
    of_good = None if groups is None else groups[~labels]
    limit = threshold(scores[~labels], DEFAULT_ALPHA, groups=of_good)
    maps, masks, ignored = _framed(predictions)
    defects = np.asarray(predictions.defects)
    # A defect that lies where nothing counts is none.
    shown = labels & masks.any(axis=(1, 2))
    found = {}
    for kind in dict.fromkeys(defects[shown].tolist()):
        of_kind = shown & (defects == kind)
        chosen = of_kind | ~labels
        pixels = Pixels.of_arrays(
            maps[chosen], masks[chosen], None if ignored is None else ignored[chosen]
        )
        values = Summary.of(rank_pixels(pixels)).values
        found[kind] = KindJudged(
            made=int(np.count_nonzero(of_kind)),
            image_AUROC=auroc(scores[chosen], labels[chosen]),
            pixel_AUROC=values["AUROC"],
            pixel_PRO=values["PRO"],
            hits=float(np.mean(scores[of_kind] > limit)),
        )
    return found


def _framed(predictions: Predictions) -> tuple[Float32, Mask, Mask | None]:
    """Maps, masks and what is ignored in one small frame of the photographs, for all detectors.

    A pixel of it is defective if any of the photograph's within is, so that thin defects stay
    whole, and ignored if an ignored one has any part in it.
    """
    transform = predictions.transform or Transform(predictions.maps.shape[1:])
    height, width = predictions.images[0].size()
    scale = min(1.0, _SIDE / max(height, width))
    frame = max(1, round(height * scale)), max(1, round(width * scale))
    maps = np.empty((len(predictions), *frame), np.float32)
    masks = np.zeros((len(predictions), *frame), np.bool_)
    ignored = None if predictions.ignored is None else np.zeros_like(masks)
    lowest = np.float32(predictions.maps.min())
    for i, sample in enumerate(predictions.images):
        placed = transform.on_original(predictions.maps[i], frame)
        # What a crop cut off is lower than all that it left.
        maps[i] = np.where(np.isnan(placed), lowest, placed)
        mask = sample.read_mask() if sample.label else None
        if mask is not None:
            masks[i] = pool_mask(mask, frame)
        if ignored is not None and predictions.ignored is not None:
            hidden = predictions.ignored[i].astype(np.float32)
            ignored[i] = transform.on_original(hidden, frame) > 0
            masks[i] &= ~ignored[i]
    return maps, masks, ignored
