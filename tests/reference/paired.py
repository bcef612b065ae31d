"""Two rates on the same images, straight from the papers' formulas."""

from __future__ import annotations

from math import comb, sqrt

Z = 1.959963984540054


def _wilson(k: int, n: int) -> tuple[float, float]:
    middle = (k + Z**2 / 2) / (n + Z**2)
    half = Z / (n + Z**2) * sqrt(k * (n - k) / n + Z**2 / 4)
    return middle - half, middle + half


def difference_interval(a: int, b: int, c: int, d: int) -> tuple[float, float]:
    """Newcombe (1998), method 10, after less before: both, only before, only after, neither."""
    n = a + b + c + d
    p1, p2 = (a + c) / n, (a + b) / n
    (l1, u1), (l2, u2) = _wilson(a + c, n), _wilson(a + b, n)
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if margins == 0:
        phi = 0.0
    elif a * d - b * c > n / 2:
        phi = (a * d - b * c - n / 2) / sqrt(margins)
    elif a * d - b * c >= 0:
        phi = 0.0
    else:
        phi = (a * d - b * c) / sqrt(margins)
    delta = sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    epsilon = sqrt((u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2)
    return p1 - p2 - delta, p1 - p2 + epsilon


def exact_mcnemar(b: int, c: int) -> float:
    """Twice the chance of so few or fewer of the rarer kind, were both as likely."""
    n = b + c
    return min(1.0, 2 * sum(comb(n, k) for k in range(min(b, c) + 1)) / 2**n)
