"""Whether numbers have shifted from those that were learnt, however often one asks."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri  # type: ignore[import-untyped]

from anomalist.errors import DataError

Float64 = npt.NDArray[np.float64]

# Shifts of the mean that are bet on, in standard deviations of a normal number.
_SHIFTS = (0.6, 1.2, 2.4)
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
        self._bets = [_Bet(side, shift) for side in sides for shift in _SHIFTS]
        #: How many numbers were added.
        self.count = 0
        #: Natural logarithm of the evidence now.
        self.log_evidence = 0.0
        #: The shift as it was last beyond the limit.
        self.found: Shift | None = None

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
        scores, paid = _normal_scores(places)
        # The place among equal ones is one of several, all as likely.
        mine = scores[low : high + 1]
        middle = (low + high + 1) / 2 / places
        if len(ranked) < _KEPT:
            ranked.insert(high, value)
        begins = math.log(_later(self.count) - _later(self.count + 1))
        for bet in self._bets:
            bet.take(mine, paid[bet.shift], begins, self.count)
            bet.sum += value
            bet.outer += middle > 1 - _OUTER if bet.side > 0 else middle < _OUTER
        self.count += 1
        rest = math.log(_later(self.count))
        most = max(self._bets, key=lambda bet: bet.mixed)
        highest = max(most.mixed, rest)
        total = sum(math.exp(bet.mixed - highest) for bet in self._bets) / len(self._bets)
        self.log_evidence = highest + math.log(total + math.exp(rest - highest))
        if self.log_evidence >= self.limit:
            self._find(most)

    def beginnings(self) -> set[int]:
        """Return the numbers, from 0, at which a shift that is found now may be said to begin."""
        known = {bet.since for bet in self._bets}
        return known if self.found is None else known | {self.found.since}

    def state(self) -> dict[str, Any]:
        """Return what `resume` takes, as JSON values; of one that has taken in a number.

        Examples
        --------
        >>> first, second = Drift([1, 2, 3, 4]), Drift([1, 2, 3, 4])
        >>> first.add([5, 6])
        >>> second.resume(first.state())
        >>> first.add(7)
        >>> second.add(7)
        >>> second.log_evidence == first.log_evidence
        True
        """
        return {
            "ranked": list(self._ranked),
            "bets": [[getattr(bet, name) for name in _Bet.CHANGES] for bet in self._bets],
            "count": self.count,
            "log_evidence": self.log_evidence,
            "found": None if self.found is None else asdict(self.found),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on where another with the same learnt numbers was when it gave its `state`."""
        self._ranked = list(state["ranked"])
        for bet, values in zip(self._bets, state["bets"], strict=True):
            for name, value in zip(_Bet.CHANGES, values, strict=True):
                setattr(bet, name, value)
        self.count, self.log_evidence = state["count"], state["log_evidence"]
        self.found = None if state["found"] is None else Shift(**state["found"])

    def _find(self, bet: _Bet) -> None:
        count = self.count - bet.since
        if 2 * bet.outer >= count:
            mean = bet.sum / count
            self.found = Shift(bet.since, bet.side, count, mean, self.log_evidence)


class _Bet:
    """A bet on one size and direction of a shift: over all beginnings, and on the likeliest."""

    CHANGES = ("best", "mixed", "outer", "since", "sum")
    __slots__ = (*CHANGES, "shift", "side")

    def __init__(self, side: int, shift: float) -> None:
        self.side, self.shift = side, shift
        self.mixed = self.best = -math.inf
        # Of the likeliest beginning: where it is, and what came since.
        self.since = self.outer = 0
        self.sum = 0.0

    def take(self, scores: Float64, paid: float, begins: float, number: int) -> None:
        """Take what a rank pays that has one of these normal scores."""
        slope = self.side * self.shift
        if len(scores) == 1:
            gain = slope * float(scores[0]) - paid
        else:
            gain = math.log(float(np.exp(slope * scores).mean())) - paid
        high, low = max(self.mixed, begins), min(self.mixed, begins)
        self.mixed = high + math.log1p(math.exp(low - high)) + gain
        if self.best < begins:
            self.best, self.since, self.outer, self.sum = begins, number, 0, 0.0
        self.best += gain


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
def _normal_scores(places: int) -> tuple[Float64, dict[float, float]]:
    """The normal scores of ranks, ascending, and the logarithm of what each bet pays in the mean.

    They are symmetric, so that bets on low ranks pay the same in the mean.
    """
    scores: Float64 = ndtri((np.arange(places) + 0.5) / places)
    return scores, {s: math.log(float(np.exp(s * scores).mean())) for s in _SHIFTS}
