"""The interval of a share from the binomial distribution itself, by halving."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import comb


def _probability(values: range, total: int, share: Fraction) -> Fraction:
    return sum(
        (comb(total, k) * share**k * (1 - share) ** (total - k) for k in values), Fraction(0)
    )


def _solve(above: Callable[[Fraction], bool]) -> float:
    low, high = Fraction(0), Fraction(1)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if above(middle) else (middle, high)
    return float(low)


def exact_interval(count: int, total: int, level: float) -> tuple[float, float]:
    """The shares at which so many or more, and so few or fewer, have half of the rest."""
    tail = (1 - Fraction(level)) / 2
    low = high = None
    if count > 0:
        low = _solve(lambda share: _probability(range(count, total + 1), total, share) > tail)
    if count < total:
        high = _solve(lambda share: _probability(range(count + 1), total, share) < tail)
    return (0.0 if low is None else low, 1.0 if high is None else high)
