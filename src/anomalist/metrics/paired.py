"""How often two models alarm on the same images: both rates, and their difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError, ParameterError
from anomalist.metrics.bootstrap import Interval
from anomalist.metrics.proportions import wilson_interval


@dataclass(frozen=True)
class PairedRates:
    """How often something happens before and after a change, on the same N images.

    Parameters
    ----------
    images : int
        N.
    before, after : int
        On how many it happens.
    only_before, only_after : int
        On how many it happens before and not after, and the other way round.
    before_interval, after_interval : (float, float)
        Wilson's intervals of the two rates.
    difference : float
        The rate after minus that before.
    difference_interval : (float, float)
        Newcombe's interval of the difference, which knows that the images are the same.
    p_value : float
        Two-sided, of McNemar's exact test that neither is likelier to stand alone.
    level : float
        Of the intervals.
    """

    images: int
    before: int
    after: int
    only_before: int
    only_after: int
    before_interval: Interval
    after_interval: Interval
    difference: float
    difference_interval: Interval
    p_value: float
    level: float = 0.95

    def as_dict(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
        }


def paired_rates(
    before: npt.ArrayLike, after: npt.ArrayLike, *, level: float = 0.95
) -> PairedRates:
    """Compare two rates on the same N images.

    Parameters
    ----------
    before, after : bool array of shape (N,)
        Whether it happens on each, such as that a model alarms.
    level : float
        Level of the intervals.

    Raises
    ------
    DataError
        If there is no image, or shapes differ.
    ParameterError
        If ``level`` isn't between 0 and 1.

    References
    ----------
    Newcombe, "Improved confidence intervals for the difference between binomial proportions based
    on paired data", Statistics in Medicine 17 (1998), method 10; McNemar, Psychometrika 12 (1947);
    Wilson, Journal of the American Statistical Association 22 (1927).

    Examples
    --------
    >>> rates = paired_rates([True] * 8 + [False] * 32, [False] * 6 + [True] * 2 + [False] * 32)
    >>> rates.before, rates.after, rates.difference
    (8, 2, -0.15)
    >>> [round(end, 3) for end in rates.difference_interval], rates.p_value
    ([-0.29, -0.026], 0.03125)
    """
    first, second = np.asarray(before, np.bool_), np.asarray(after, np.bool_)
    if first.ndim != 1 or first.shape != second.shape or len(first) == 0:
        raise DataError(
            f"paired rates take one of each an image, (N,), not {first.shape} and {second.shape}"
        )
    if not 0 < level < 1:
        raise ParameterError(f"level must be between 0 and 1, not {level}")
    n = len(first)
    both = int((first & second).sum())
    only_before, only_after = int((first & ~second).sum()), int((~first & second).sum())
    apart = only_before + only_after
    before_interval = wilson_interval(both + only_before, n, level)
    after_interval = wilson_interval(both + only_after, n, level)
    from scipy.stats import binomtest  # type: ignore[import-untyped] # takes long to load

    return PairedRates(
        images=n,
        before=both + only_before,
        after=both + only_after,
        only_before=only_before,
        only_after=only_after,
        before_interval=before_interval,
        after_interval=after_interval,
        difference=(only_after - only_before) / n,
        difference_interval=_newcombe(
            n, both, only_before, only_after, before_interval, after_interval
        ),
        p_value=1.0 if apart == 0 else float(binomtest(only_after, apart).pvalue),
        level=level,
    )


def _newcombe(
    n: int,
    both: int,
    only_before: int,
    only_after: int,
    before_interval: Interval,
    after_interval: Interval,
) -> Interval:
    neither = n - both - only_before - only_after
    p, q = (both + only_after) / n, (both + only_before) / n
    (below_q, above_q), (below_p, above_p) = before_interval, after_interval
    margins = (
        (both + only_before)
        * (both + only_after)
        * (neither + only_before)
        * (neither + only_after)
    )
    product = float(both * neither - only_before * only_after)
    # For continuity, of a positive correlation alone.
    product = product - n / 2 if product > n / 2 else min(product, 0.0)
    phi = product / math.sqrt(margins) if margins else 0.0

    def half(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    difference = p - q
    return (
        difference - half(p - below_p, above_q - q),
        difference + half(above_p - p, q - below_q),
    )
