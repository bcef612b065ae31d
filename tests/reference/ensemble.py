"""Ensembles the slow, obvious way: one number at a time, from the definitions."""

from __future__ import annotations

import math
import statistics


def standardised(value, good):
    """Standard deviations above the mean of good values."""
    return (value - statistics.fmean(good)) / (statistics.pstdev(good) or 1.0)


def surprise(value, good):
    """Minus the logarithm of the share of good scores at and above, exponential in the tail.

    Shares are those of n ranks among n + 1 places; between two good scores their logarithms are
    interpolated, and beyond the first that at most a fifth of them reach, they fall by one for
    every mean excess.
    """
    good = sorted(good)
    n = len(good)
    logs = [-math.log((n - rank) / (n + 1)) for rank in range(n)]
    begin = next((r for r in range(n) if (n - r) / (n + 1) <= 0.2), n - 1)
    excesses = [g - good[begin] for g in good[begin:]]
    excess = statistics.fmean(excesses) or statistics.pstdev(good) or 1.0
    if value >= good[begin]:
        return logs[begin] + (value - good[begin]) / excess
    if value <= good[0]:
        return logs[0]
    upper = next(r for r in range(n) if good[r] > value)
    lower = upper - 1
    share = (value - good[lower]) / (good[upper] - good[lower])
    return logs[lower] + share * (logs[upper] - logs[lower])


def cauchy(surprises, weights):
    """Minus the logarithm of the p-value of Cauchy's combination (Liu and Xie 2020, equation 3).

    p-values are kept below 0.99, where the tangent runs off to minus infinity.
    """
    p_values = [min(math.exp(-s), math.exp(-0.01)) for s in surprises]
    statistic = sum(
        w * math.tan((0.5 - p) * math.pi) for p, w in zip(p_values, weights, strict=True)
    )
    return -math.log(0.5 - math.atan(statistic) / math.pi)
