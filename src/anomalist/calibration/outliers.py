"""Good images whose scores lie so far above the others' that they may not be good."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.calibration.conformal import checked_normal

Float64 = npt.NDArray[np.float64]

_FEWEST = 6
# More than three alike are no longer odd: then they are one kind of good image among others.
_MOST = 3
_LEVEL = 0.02
# A gap below a thousandth of the scores is no gap, however alike all others are.
_LEAST_GAP = 1e-3
# On the scale of logarithms, which halves the reach of every tail, less is asked for.
_LEVEL_OF_LOGS = 0.1


def find_outliers(scores: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Find the scores, three at most, that stand apart above all others.

    Above the median, the tail of the scores is taken to fall exponentially, as that of a maximum
    over many patches does. Then the gaps between neighbours, each times its rank from the top, are
    independent and alike (Rényi's representation), and the gap below the r highest over the mean of
    the gaps further down follows an F distribution with 2 and 2 (m - r) degrees of freedom, m being
    the number of gaps above the median. The r highest are told where that gap has a p-value of at
    most 0.02 / r² and, where all scores are positive, the gap of their logarithms one of at most
    0.1 / r²: tails that fall more slowly, such as those of a log-normal distribution, are then
    seldom taken for outliers. That several are tried at once is what keeps two or three alike from
    hiding one another.

    Parameters
    ----------
    scores : array of shape (n,)
        Held-out scores of good images, finite.

    Returns
    -------
    int array
        Their places, the highest score first; empty where there is none, and where there are fewer
        than 6 scores.

    Raises
    ------
    DataError
        If a score isn't a finite number, or there is none.

    References
    ----------
    Rényi, "On the theory of order statistics", Acta Mathematica Hungarica 4 (1953); Barnett and
    Lewis, "Outliers in Statistical Data" (1994), section 6.3, on blocks of outliers.

    Examples
    --------
    >>> scores = 10 + np.random.default_rng(0).random(20)
    >>> find_outliers(scores).tolist()
    []
    >>> scores[[4, 7]] = 30, 31
    >>> find_outliers(scores).tolist()
    [7, 4]
    """
    values = checked_normal(scores).astype(np.float64)
    n = len(values)
    if n < _FEWEST:
        return np.empty(0, np.intp)
    most = min(_MOST, n // _FEWEST)
    order = np.argsort(-values, kind="stable")
    limits = 1 / np.arange(1, most + 1) ** 2
    apart = _gap_p_values(values[order], most) <= _LEVEL * limits
    if values.min() > 0:
        apart &= _gap_p_values(np.log(values[order]), most) <= _LEVEL_OF_LOGS * limits
    count = int(np.flatnonzero(apart).max()) + 1 if apart.any() else 0
    return order[:count]


def _gap_p_values(descending: Float64, most: int) -> Float64:
    """The chance of so wide a gap below the r highest, for r from 1 to ``most``."""
    m = max(len(descending) // 2, 3)
    gaps = -np.diff(descending[: m + 1]) * np.arange(1, m + 1)
    p: list[Any] = []
    for r in range(1, most + 1):
        rest = float(gaps[r:].mean())
        gap = float(gaps[r - 1])
        if gap <= _LEAST_GAP * abs(float(descending[r])):
            p.append(1.0)
        elif rest <= 0:
            p.append(0.0)
        else:
            # The upper tail of F with 2 and 2 (m - r) degrees of freedom.
            p.append((1 + gap / rest / (m - r)) ** -(m - r))
    return np.array(p)
