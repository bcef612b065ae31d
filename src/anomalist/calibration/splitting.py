"""A share of the good images is kept from the fit, so that what thresholds promise is exact."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import numpy.typing as npt

from anomalist.calibration.conformal import fewest_images
from anomalist.calibration.grouping import number_groups
from anomalist.errors import DataError, ParameterError

DEFAULT_SPLIT = 0.3
"""The share that is held out where nobody says how much."""


def check_split(split: float) -> None:
    """Refuse a share that can't be held out.

    Raises
    ------
    ParameterError
        If it is below 0, or 1 or more.
    """
    if not 0 <= split < 1:
        raise ParameterError(
            f"split must be a share of the images from 0, for none, to below 1, not {split}"
        )


def hold_out(
    n: int, split: float, *, seed: int = 0, groups: Iterable[Hashable] | None = None
) -> npt.NDArray[np.bool_]:
    """Choose at random which of ``n`` images are held out of a fit, whole groups of them.

    Parameters
    ----------
    n : int
        Number of images.
    split : float
        Share of the groups that is held out, above 0 and below 1; at least one is, and at least one
        isn't.
    seed : int
        Seed of the deal.
    groups : iterable of hashable, optional
        One an image, equal for images that aren't independent; without it, every image is a group
        of its own.

    Returns
    -------
    bool array of shape (n,)
        Whether each image is held out.

    Raises
    ------
    DataError
        If there are fewer than 2 images or groups, or groups aren't one an image.
    ParameterError
        If ``split`` isn't between 0 and 1.

    Examples
    --------
    >>> hold_out(10, 0.3).sum()
    np.int64(3)
    >>> hold_out(5, 0.5, groups=["a", "a", "a", "b", "b"]).tolist()
    [True, True, True, False, False]
    """
    check_split(split)
    if split == 0:
        raise ParameterError("split must be above 0 for images to be held out")
    numbers = number_groups(groups, n)
    count = int(numbers.max(initial=-1)) + 1
    if count < 2:
        what = f"all {n} images are of one scene" if n > 1 else f"there {'is' if n else 'are'} {n}"
        raise DataError(
            f"holding out a share of {split:g} needs at least 2 good images, one to fit and one to"
            f" calibrate, of scenes of their own: {what}"
        )
    held = np.zeros(count, np.bool_)
    held[np.random.default_rng(seed).permutation(count)[: count_held_out(count, split)]] = True
    return held[numbers]


def count_held_out(groups: int, split: float) -> int:
    """Return how many of so many groups a share of them is, of 2 or more at least one.

    Examples
    --------
    >>> count_held_out(40, 0.3), count_held_out(2, 0.1)
    (12, 1)
    """
    return min(max(round(split * groups), 1), groups - 1)


def affordable_split(groups: int, alpha: float) -> float:
    """Return the share that a detector which trains can spare for its calibration, or 0.

    It is 0.3 where that many give a threshold. Its range is then no wider than the one that scores
    of other trainings must be given, see `promised_range`, and it costs one training on the others
    instead of one on all and more to calibrate. With fewer the rate couldn't be promised.

    Parameters
    ----------
    groups : int
        Number of independent images.
    alpha : float
        The false-alarm rate that thresholds are to have.

    Examples
    --------
    >>> affordable_split(63, 0.05), affordable_split(40, 0.05), affordable_split(40, 0.1)
    (0.3, 0.0, 0.3)
    """
    if groups < 2 or count_held_out(groups, DEFAULT_SPLIT) < fewest_images(alpha):
        return 0.0
    return DEFAULT_SPLIT
