"""Conformal p-values and thresholds: how often a normal image would look as anomalous as this one.

Everything here rests on one assumption, that normal images are exchangeable: those that calibrate
and those that come later could have come in any order. What it buys depends on where the scores of
the calibrating images come from:

==========================  ===============================================  ======================
function                    scores of the calibrating images                 false alarms at most
==========================  ===============================================  ======================
`p_values`, `threshold`     from the one detector, which saw none of them    alpha
`cross_p_values`            each from the detector that didn't see its       2 alpha, and a little,
                            fold, which scores the new image too             see there
`p_values`, `threshold`     as in the row above, but the new image is        nothing for certain,
                            scored by one detector that saw all              in practice near alpha
==========================  ===============================================  ======================

All are rates over the draw of the calibrating images and of the new one. `false_alarm_interval`
says what one given set of calibrating images may have in store.

Where images come in groups, such as shots of one part or frames of one run, groups are what is
exchangeable, and the new image is of a new group. Each image then counts as the share that it is of
its group, among groups instead of images (Lee, Barber and Willett, "Distribution-free inference
with hierarchical data", arXiv 2306.06342), and all of the above holds as it stands. Where
every image is a group of its own, nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv  # type: ignore[import-untyped]

from anomalist.calibration.grouping import number_groups
from anomalist.errors import DataError, ParameterError

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

PixelControl = Literal["images", "pixels"]


DEFAULT_ALPHA = 0.05
"""The false-alarm rate that is asked for where nobody says otherwise."""


def p_values(
    scores: npt.ArrayLike,
    normal_scores: npt.ArrayLike,
    *,
    groups: Iterable[Hashable] | None = None,
) -> Float64:
    """Conformal p-values: the share of normal images, itself included, that score as high or more.

    If the detector saw none of the calibrating images, a normal image gets a p-value of at most
    alpha with a chance of at most alpha, whatever the detector, the distribution of scores and the
    number of images. Ties count against the alarm, which keeps that true. With groups that holds of
    an image of a new group, however alike those of a group are.

    Parameters
    ----------
    scores : array of any shape
        Scores of new images, finite.
    normal_scores : array of shape (n,)
        Scores of calibrating images, all of them normal.
    groups : iterable of hashable, optional
        One a calibrating image, equal for those that aren't independent.

    Returns
    -------
    float64 array of the shape of ``scores``
        ``(1 + #{normal >= score}) / (n + 1)``, from 1 / (n + 1) to 1. Of G groups, the sum over
        groups of the share of each that scores as high or more takes the number's place, and G
        that of n.

    Raises
    ------
    DataError
        If a score isn't a finite number, there is no normal score, or groups are too few or many.

    References
    ----------
    Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005), proposition 2.4;
    Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics 51 (2023),
    equation 2; of groups: Lee, Barber and Willett, "Distribution-free inference with hierarchical
    data", arXiv 2306.06342 (2023).

    Examples
    --------
    >>> p_values([0.5, 2.0, 9.0], normal_scores=[1.0, 2.0, 3.0, 4.0]).tolist()
    [1.0, 0.8, 0.2]
    >>> p_values(3.0, normal_scores=[1.0, 2.0, 3.0, 4.0], groups=["a", "a", "b", "b"]).item()
    0.6666666666666666
    """
    ascending, at_least, count = _tails(checked_normal(normal_scores), groups)
    p: Float64 = (1 + at_least[np.searchsorted(ascending, _finite(scores, "scores"))]) / (count + 1)
    return p


def threshold(
    normal_scores: npt.ArrayLike, alpha: float = 0.05, *, groups: Iterable[Hashable] | None = None
) -> float:
    """Threshold that a normal image exceeds with a chance of at most ``alpha``.

    A score is above it exactly when its `p_values` are at most alpha, so the same guarantee holds.
    Scores equal to it are normal. Where images, or their groups, are fewer than `fewest_images`, it
    is the highest normal score: alpha isn't guaranteed then, but the `attainable_rate` is.

    Parameters
    ----------
    normal_scores : array of shape (n,)
        Scores of calibrating images, all of them normal.
    alpha : float
        False-alarm rate to allow, between 0 and 1.
    groups : iterable of hashable, optional
        One a calibrating image, equal for those that aren't independent.

    Returns
    -------
    float
        One of the normal scores.

    Raises
    ------
    DataError
        If a score isn't a finite number, there is no normal score, or groups are too few or many.
    ParameterError
        If ``alpha`` isn't between 0 and 1.

    Examples
    --------
    >>> threshold([1.0, 2.0, 3.0, 4.0], alpha=0.4)
    3.0
    >>> threshold([1.0, 2.0, 3.0, 4.0], alpha=0.1), attainable_rate(4, alpha=0.1)
    (4.0, 0.2)
    >>> threshold([1.0, 2.0, 3.0, 4.0], alpha=0.3, groups=["a", "a", "b", "b"])
    4.0
    """
    ascending, at_least, count = _tails(checked_normal(normal_scores), groups)
    above = (1 + at_least[np.searchsorted(ascending, ascending, side="right")]) / (count + 1)
    lowest = int(np.searchsorted(-above, -attainable_rate(count, alpha)))
    return float(ascending[lowest])


def _tails(normal: Array, groups: Iterable[Hashable] | None) -> tuple[Array, Float64, int]:
    """Normal scores, ascending, how many groups lie at or beyond each, and the number of groups.

    A group counts by the share of its images. Beyond the highest score there is none.
    """
    numbers = number_groups(groups, len(normal))
    sizes = np.bincount(numbers)
    order = np.argsort(normal, kind="stable")
    shares = (1 / sizes)[numbers[order]]
    # Rounded, so that a tenth ten times is one.
    at_least = np.round(np.append(np.cumsum(shares[::-1])[::-1], 0.0), 9)
    return normal[order], at_least, len(sizes)


def attainable_rate(groups: int, alpha: float) -> float:
    """Return the lowest false-alarm rate, ``alpha`` or above, that so many groups can promise.

    Examples
    --------
    >>> attainable_rate(40, 0.05), attainable_rate(4, 0.05)
    (0.05, 0.2)
    """
    return alpha if groups >= fewest_images(alpha) else 1 / (groups + 1)


def fewest_images(alpha: float) -> int:
    """Return how many normal images it takes until a p-value can be as low as ``alpha``.

    Raises
    ------
    ParameterError
        If ``alpha`` isn't between 0 and 1.

    Examples
    --------
    >>> fewest_images(0.05), fewest_images(0.01)
    (19, 99)
    """
    _check_share(alpha, "alpha")
    fewest = max(math.floor(1 / alpha) - 2, 1)
    while 1 / (fewest + 1) > alpha:
        fewest += 1
    return fewest


def false_alarm_interval(n: int, alpha: float, *, level: float = 0.95) -> tuple[float, float]:
    """Range of the false-alarm rate that one threshold from ``n`` normal images will have.

    The guarantee is a mean over all sets of calibrating images. For the one set at hand, the rate
    in the long run is a draw from a Beta distribution, which is wide for few images; ``n`` normal
    images allow no sharper promise.

    Parameters
    ----------
    n : int
        Number of calibrating images.
    alpha : float
        The rate that `threshold` was asked for.
    level : float
        Chance that the rate is in the range, tails being equal.

    Returns
    -------
    low, high : float
        Of the share of normal images above the threshold, if scores have no ties; with ties it can
        only be lower.

    Raises
    ------
    ParameterError
        If ``n`` is less than 1, or ``alpha`` or ``level`` isn't between 0 and 1.

    References
    ----------
    Vovk, "Conditional validity of inductive conformal predictors", ACML 2012, section 3.

    Examples
    --------
    >>> low, high = false_alarm_interval(40, 0.05)
    >>> f"asked for 5 %, to expect: {low:.1%} to {high:.1%}"
    'asked for 5 %, to expect: 0.6% to 13.2%'
    """
    if n < 1:
        raise ParameterError(f"n must be 1 or more, not {n}")
    _check_share(level, "level")
    rank = alarm_ranks(n, alpha)
    if not rank:
        return 0.0, 0.0
    low, high = betaincinv(rank, n + 1 - rank, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def promised_range(
    groups: int, alpha: float, *, retrained: bool = False, level: float = 0.95
) -> tuple[float, float]:
    """Range of the false-alarm rate that one threshold for ``alpha`` will have.

    It is the `false_alarm_interval` of as many images as there are independent groups, at the
    `attainable_rate`. Where images of a group differ as much as groups do, rates lie within it all
    the more, or below.

    Scores of other trainings than the detector's own, which differ in scale, promise less: from 0
    to what twice the rate would have. That is the worst case of cross-conformal p-values, the
    nearest thing with a guarantee (Barber et al. 2021, theorem 4).

    Raises
    ------
    ParameterError
        If ``groups`` is less than 1, or ``alpha`` or ``level`` isn't between 0 and 1.

    Examples
    --------
    >>> low, high = promised_range(4, 0.05)
    >>> f"asked for 5 %, to expect of 4 parts: {low:.1%} to {high:.1%}"
    'asked for 5 %, to expect of 4 parts: 0.6% to 60.2%'
    >>> low, high = promised_range(40, 0.05, retrained=True)
    >>> f"from folds of 40, each a training: {low:.1%} to {high:.1%}"
    'from folds of 40, each a training: 0.0% to 20.4%'
    """
    rate = attainable_rate(groups, alpha)
    if not retrained:
        return false_alarm_interval(groups, rate, level=level)
    twice = 2 * rate
    return 0.0, 1.0 if twice >= 1 else false_alarm_interval(groups, twice, level=level)[1]


def cross_p_values(
    fold_scores: npt.ArrayLike,
    held_out_scores: npt.ArrayLike,
    folds: npt.ArrayLike,
    *,
    groups: Iterable[Hashable] | None = None,
) -> Float64:
    """Cross-conformal p-values: every image calibrates, none with a detector that saw it.

    Each calibrating image is compared with the new one under the detector that was fitted without
    its fold. A normal image gets a p-value of at most alpha with a chance of at most
    2 alpha + 2 (1 - alpha) (K - 1) / (n + K), whatever the detector. With a fold an image (the
    jackknife+) the chance is at most 2 alpha, if the detector treats images alike whatever their
    order. These are worst cases; in practice the chance is near alpha.

    Parameters
    ----------
    fold_scores : array of shape (K, M)
        Scores of M new images by each of the K detectors.
    held_out_scores : array of shape (n,)
        Score of each calibrating image by the detector that didn't see it.
    folds : integer array of shape (n,)
        Which of the K detectors that was.
    groups : iterable of hashable, optional
        One a calibrating image, equal for those that aren't independent, which are of one fold.

    Returns
    -------
    float64 array of shape (M,)
        ``(1 + #{i : held_out[i] >= fold_scores[folds[i]]}) / (n + 1)``; of G groups, each image
        counts as its share of its group, and G takes the place of n.

    Raises
    ------
    DataError
        If a score isn't a finite number, there is no calibrating image, shapes, folds or groups
        disagree, or a group is of several folds.

    References
    ----------
    Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence 74 (2015);
    Barber et al., "Predictive inference with the jackknife+", Annals of Statistics 49 (2021),
    theorems 1 and 4; Vovk and Wang, "Combining p-values via averaging", Biometrika 107 (2020), on
    why twice a mean of p-values is one.

    Examples
    --------
    >>> by_fold = [[5.0, 0.0], [3.0, 1.0]]
    >>> cross_p_values(by_fold, held_out_scores=[1.0, 2.0, 4.0], folds=[0, 0, 1]).tolist()
    [0.5, 1.0]
    """
    by_fold, held_out = _finite(fold_scores, "fold scores"), checked_normal(held_out_scores)
    folds = np.asarray(folds)
    if by_fold.ndim != 2:
        raise DataError(f"fold scores must have shape (K, M), not {by_fold.shape}")
    if folds.shape != held_out.shape or folds.dtype.kind not in "iu":
        raise DataError(
            f"{len(held_out)} held-out scores need as many folds, as integers, not "
            f"{folds.dtype} of shape {folds.shape}"
        )
    if folds.min() < 0 or folds.max() >= len(by_fold):
        raise DataError(
            f"folds must be from 0 to {len(by_fold) - 1}, as there are scores of {len(by_fold)} "
            f"detectors, but they go from {folds.min()} to {folds.max()}"
        )
    numbers = number_groups(groups, len(held_out))
    count = int(numbers.max()) + 1
    if len(np.unique(np.stack([numbers, folds]), axis=1).T) > count:
        raise DataError("images of one group must be of one fold")
    total = np.zeros(by_fold.shape[1])
    for fold, scores in enumerate(by_fold):
        mine = folds == fold
        ascending, at_least, _ = _tails(held_out[mine], numbers[mine])
        total += at_least[np.searchsorted(ascending, scores)]
    p: Float64 = (1 + total) / (count + 1)
    return p


def pixel_threshold(
    normal_maps: npt.ArrayLike, alpha: float = 0.05, *, control: PixelControl = "images"
) -> float:
    """Threshold of map values that normal pixels seldom exceed.

    By default it controls images: with a chance of at most ``alpha`` any pixel at all of a normal
    image is above it. This is what a person at a line reads a contour as (a good part has none),
    it agrees with a decision by the map's maximum, and defects being small, only a small rate of
    wrong pixels leaves them a usable F1. Controlling pixels instead holds the expected share of a
    normal image that is above it to ``alpha``: at 0.05 every good part may show a blot of a
    twentieth of its area, so it wants an alpha of another order of size.

    Both hold for maps of a detector that didn't see the images, as `threshold` does.

    Parameters
    ----------
    normal_maps : array of shape (n, H, W)
        Maps of calibrating images, all of them normal.
    alpha : float
        Rate to allow, between 0 and 1, of what is controlled.
    control : str
        ``"images"`` that have a pixel above the threshold, or ``"pixels"`` that are above it.

    Returns
    -------
    float
        One of the map values; the highest where there are fewer images than `fewest_images` says.

    Raises
    ------
    DataError
        If maps have another shape or a value isn't a finite number, or there is no map.
    ParameterError
        If ``alpha`` isn't between 0 and 1, or ``control`` is unknown.

    References
    ----------
    Of pixels: Angelopoulos et al., "Conformal risk control", ICLR 2024, theorem 1, with the share
    of pixels above the threshold as the loss.

    Examples
    --------
    >>> maps = np.arange(16.0).reshape(4, 2, 2)
    >>> pixel_threshold(maps, alpha=0.4), pixel_threshold(maps, alpha=0.4, control="pixels")
    (11.0, 11.0)
    >>> pixel_threshold(maps, alpha=0.3, control="pixels")
    13.0
    """
    if control not in get_args(PixelControl):
        raise ParameterError(f"control must be images or pixels, not {control!r}")
    maps = _finite(normal_maps, "normal maps")
    if maps.ndim != 3 or maps.size == 0:
        raise DataError(f"normal maps must have shape (n, H, W), none of it 0, not {maps.shape}")
    n = len(maps)
    if control == "images":
        return threshold(maps.max(axis=(1, 2)), alpha)
    _check_share(alpha, "alpha")
    # The new image counts as if all of it were above: (exceeding / pixels + 1) / (n + 1) <= alpha.
    # A rounding error far below a pixel must not cost one.
    exceeding = max(math.floor((alpha * (n + 1) - 1) * maps[0].size + 1e-6), 0)
    return float(np.partition(maps, -exceeding - 1, axis=None)[-exceeding - 1])


def alarm_ranks(n: int, alpha: float) -> int:
    """Return how many of the ranks that a new score can have among ``n`` are alarms.

    They are the p-values 1 / (n + 1), 2 / (n + 1), ... below 1 that are at most ``alpha``.

    Raises
    ------
    ParameterError
        If ``alpha`` isn't between 0 and 1.

    Examples
    --------
    >>> alarm_ranks(18, 0.05), alarm_ranks(19, 0.05), alarm_ranks(40, 0.05)
    (0, 1, 2)
    """
    _check_share(alpha, "alpha")
    return int(np.searchsorted(np.arange(1, n + 1) / (n + 1), alpha, side="right"))


def _check_share(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ParameterError(f"{name} must be between 0 and 1, not {value}")


def checked_normal(scores: npt.ArrayLike) -> Array:
    """Return scores of normal images, refused where one isn't finite or there is none."""
    normal = _finite(scores, "normal scores")
    if normal.ndim != 1 or not len(normal):
        raise DataError(f"normal scores must have shape (n,), n at least 1, not {normal.shape}")
    return normal


def _finite(values: npt.ArrayLike, name: str) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} must be real numbers, not {array.dtype}")
    if not np.isfinite(array).all():
        raise DataError(f"{name} must be finite numbers: they hold NaN or infinity")
    return array
