"""Whether numbers have shifted from those that were learnt, however often one asks."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri  # type: ignore[import-untyped]

from anomalist.errors import DataError

Float64 = npt.NDArray[np.float64]

# Shifts of the mean that are bet on, in standard deviations of a normal number.
_SHIFTS = np.array([0.6, 1.2, 2.4])
# Half of those since the change must lie in the outer quarter: fewer are a share of other parts.
_OUTER = 0.25
# Among so many the ranks are those among all to within a tenth of the smallest shift bet on; no
# more are kept, so that a watch of months takes neither memory nor time for them.
_KEPT = 2000


@dataclass(frozen=True)
class Shift:
    """What is known of a shift that was found.

    Parameters
    ----------
    since : int
        The new number at which it most likely began, from 0.
    side : int
        1 for higher numbers, -1 for lower ones.
    count : int
        How many came since then.
    mean : float
        Theirs.
    log_evidence : float
        Natural logarithm of how many times likelier the shift is than chance.
    """

    since: int
    side: int
    count: int
    mean: float
    log_evidence: float


class Drift:
    """A conformal test martingale: evidence that numbers no longer come as the learnt ones did.

    Each new number is ranked among the learnt and all new ones before it. If they are exchangeable,
    all ranks are equally likely, whatever the distribution, and one after the other they are
    independent. A bet on high ranks, ``exp(d z) / mean(exp(d z))`` with the normal score z of the
    rank (van der Waerden), has then the mean 1, and so has the product of bets from any number on.
    `log_evidence` is that of a mixture of such products: over three sizes of the shift d, over both
    directions, and over the number at which it begins, the first with a weight of a half. By
    Ville's inequality it ever exceeds x in at most one run of x, however often it is looked at. Of
    equal numbers, the bets on their ranks are averaged, so that numbers that never differ say
    nothing.

    A shift is `found` when the evidence reaches ``limit`` and half of the numbers since it began
    lie in the outer quarter of the ranks: a third of the parts may be others (defective, say)
    without being taken for a shift of all.

    Parameters
    ----------
    learnt : iterable of float
        N numbers of independent photographs, finite; at least one.
    limit : float
        The evidence that it takes, above 1.
    sides : tuple of int
        Which shifts count: 1 for higher numbers, -1 for lower ones.

    Raises
    ------
    DataError
        If there is no number, or one isn't finite.

    References
    ----------
    Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2nd edition (2022),
    chapter 8; Vovk et al., "Retrain or not retrain: conformal test martingales for change-point
    detection", COPA 2021, sections 3 and 4; Ville, "Étude critique de la notion de collectif"
    (1939).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> drift = Drift(rng.normal(size=100))
    >>> drift.add(rng.normal(size=50))
    >>> drift.found is None
    True
    >>> drift.add(rng.normal(3, size=10))
    >>> drift.found.since, drift.found.side
    (50, 1)
    """

    def __init__(
        self, learnt: Iterable[float], limit: float = 100.0, sides: tuple[int, ...] = (-1, 1)
    ) -> None:
        self._ranked = sorted(_finite(value) for value in learnt)
        if not self._ranked:
            raise DataError("a shift is told from at least one number that was learnt")
        self.limit = math.log(limit)
        self._sides = np.repeat(sides, len(_SHIFTS))
        bets = len(self._sides)
        #: How many numbers were added.
        self.count = 0
        #: Natural logarithm of the evidence now.
        self.log_evidence = 0.0
        #: The shift as it was last beyond the limit.
        self.found: Shift | None = None
        # Of each bet: the mixture over beginnings, and the likeliest of them with what came since.
        self._mixed = np.full(bets, -np.inf)
        self._best = np.full(bets, -np.inf)
        self._since = np.zeros(bets, np.int64)
        self._outer = np.zeros(bets, np.int64)
        self._sum = np.zeros(bets)

    def add(self, values: float | Iterable[float]) -> None:
        """Take in new numbers, in the order in which they came.

        Raises
        ------
        DataError
            If one isn't finite; those before it count.
        """
        for value in values if isinstance(values, Iterable) else (values,):
            self._add(_finite(value))

    def _add(self, value: float) -> None:
        ranked = self._ranked
        low, high = bisect.bisect_left(ranked, value), bisect.bisect_right(ranked, value)
        places = len(ranked) + 1
        bets = _bets(places)
        up = bets[:, low : high + 1].mean(axis=1)
        down = bets[:, places - 1 - high : places - low].mean(axis=1)
        gains = np.log([up if side > 0 else down for side in self._sides[:: len(_SHIFTS)]]).ravel()
        middle = (low + high + 1) / 2 / places
        if len(ranked) < _KEPT:
            ranked.insert(high, value)

        begins = math.log(_later(self.count) - _later(self.count + 1))
        self._mixed = np.logaddexp(self._mixed, begins) + gains
        anew = self._best < begins
        self._best = np.where(anew, begins, self._best) + gains
        self._since[anew] = self.count
        self._outer[anew] = 0
        self._sum[anew] = 0.0
        self._outer += np.where(self._sides > 0, middle > 1 - _OUTER, middle < _OUTER)
        self._sum += value
        self.count += 1
        rest = math.log(_later(self.count))
        mixture = np.logaddexp.reduce(self._mixed) - math.log(len(self._mixed))
        self.log_evidence = float(np.logaddexp(mixture, rest))
        self._look()

    def _look(self) -> None:
        if self.log_evidence < self.limit:
            return
        most = int(np.argmax(self._mixed))
        since = int(self._since[most])
        count = self.count - since
        if 2 * self._outer[most] >= count:
            self.found = Shift(
                since=since,
                side=int(self._sides[most]),
                count=count,
                mean=float(self._sum[most] / count),
                log_evidence=self.log_evidence,
            )


def _finite(value: float) -> float:
    value = float(value)
    if not math.isfinite(value):
        raise DataError(f"numbers that are watched must be finite, not {value}")
    return value


def _later(number: int) -> float:
    """How much of the bets is on a shift that begins at a number, from 0, or later.

    Half of it is on the first; the rest falls off so slowly that one after 1,000 isn't found much
    later than one after 10.
    """
    return 1.0 if number == 0 else 0.5 * math.log(2) / math.log(number + 1)


@lru_cache(maxsize=4)
def _bets(places: int) -> Float64:
    """What the bets on shifts pay for each of the ranks, ascending: in the mean 1."""
    scores = ndtri((np.arange(places) + 0.5) / places)
    bets = np.exp(_SHIFTS[:, None] * scores)
    paid: Float64 = bets / bets.mean(axis=1, keepdims=True)
    return paid
