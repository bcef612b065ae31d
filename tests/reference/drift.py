"""The evidence for a shift, one beginning and one bet at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import norm


def evidence(
    learnt: npt.NDArray[np.float64], new: npt.NDArray[np.float64], sides: tuple[int, ...] = (-1, 1)
) -> float:
    total = []
    for side in sides:
        for shift in (0.6, 1.2, 2.4):
            paid = [_paid(learnt, new, t, side, shift) for t in range(len(new))]
            wealth = _later(len(new))
            for begin in range(len(new)):
                wealth += (_later(begin) - _later(begin + 1)) * float(np.prod(paid[begin:]))
            total.append(wealth)
    return float(np.mean(total))


def _later(number: int) -> float:
    return 1.0 if number == 0 else math.log(2) / (2 * math.log(number + 1))


def _paid(
    learnt: npt.NDArray[np.float64],
    new: npt.NDArray[np.float64],
    place: int,
    side: int,
    shift: float,
) -> float:
    everything = sorted(float(v) * side for v in [*learnt, *new[: place + 1]])
    n = len(everything)
    bets = [math.exp(shift * norm.ppf((rank + 0.5) / n)) for rank in range(n)]
    mine = [i for i, value in enumerate(everything) if value == new[place] * side]
    return float(np.mean([bets[i] for i in mine]) / np.mean(bets))
