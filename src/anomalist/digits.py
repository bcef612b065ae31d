"""Numbers as people read them: four significant digits; files for machines have all."""

from __future__ import annotations

import math

#: Significant digits of a number that is shown to people.
DIGITS = 4
# Beyond it, the whole part holds more digits than a float has.
_WHOLE = 1e15


def shown(value: float | None, digits: int = DIGITS, *, beside: float | None = None) -> str:
    """Return a number as people read it, in four significant digits.

    Parameters
    ----------
    value : float or None
        The number. None and nan, which are none, are a dash.
    digits : int
        How many significant digits; whole parts keep all of theirs.
    beside : float, optional
        Another number that is shown beside it, such as the threshold beside a score: where the two
        differ and would look the same, more digits tell them apart.

    Examples
    --------
    >>> shown(39.7231), shown(0.031254), shown(0.05), shown(1234567), shown(1234.5678)
    ('39.72', '0.03125', '0.05', '1234567', '1235')
    >>> shown(None), shown(float("inf")), shown(1.23456e-7)
    ('–', 'inf', '1.235e-07')
    >>> shown(41.1274, beside=41.1273), shown(41.1273, beside=41.1274)
    ('41.1274', '41.1273')
    """
    if value is None or math.isnan(value):
        return "–"
    text = _rounded(value, digits)
    if beside is None or math.isnan(beside) or value == beside:
        return text
    while text == _rounded(beside, digits) and digits < 17:  # which tell any two floats apart
        digits += 1
        text = _rounded(value, digits)
    return text


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    whole = "e+" in text and abs(value) < _WHOLE
    return f"{value:.0f}" if whole else text


def duration(seconds: float) -> str:
    """Return a time as a person says it.

    Examples
    --------
    >>> duration(42), duration(160), duration(8000)
    ('42 s', '3 min', '2.2 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
