"""How far a share may lie from what was counted."""

from __future__ import annotations

from scipy.special import betaincinv  # type: ignore[import-untyped]

from anomalist.errors import ParameterError


def exact_interval(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson for a share.

    It holds the true share in at least ``level`` of all cases, however few were counted, and in
    more where it must: the number of successes moves in steps. From none among 60 it says that the
    share is at most 6.0 %.

    Parameters
    ----------
    count : int
        Those that are so.
    total : int
        Those that were looked at, independent of each other and of what they are.
    level : float
        How sure, between 0 and 1.

    Returns
    -------
    (float, float)
        0 and 1 where nothing was looked at.

    Raises
    ------
    ParameterError
        If there are more of them than were looked at, or the level isn't between 0 and 1.

    Notes
    -----
    C. Clopper and E. Pearson, "The use of confidence or fiducial limits illustrated in the case of
    the binomial", Biometrika 26 (1934): each end is the share at which what was counted, or what is
    further off, has half of what is left of the level; a quantile of a beta distribution.

    Examples
    --------
    >>> low, high = exact_interval(0, 60)
    >>> f"{low:.3f} to {high:.3f}"
    '0.000 to 0.060'
    """
    if not 0 <= count <= total:
        raise ParameterError(f"{count} of {total} is no share")
    if not 0 < level < 1:
        raise ParameterError(f"level must be between 0 and 1, not {level}")
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1 - tail))
    return low, high


def wilson_interval(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval for a share, which holds it in about ``level`` of all cases.

    Parameters
    ----------
    count : int
        Those that are so.
    total : int
        Those that were looked at, at least one.
    level : float
        How sure, between 0 and 1.

    Notes
    -----
    E. Wilson, Journal of the American Statistical Association 22 (1927).

    Examples
    --------
    >>> low, high = wilson_interval(0, 60)
    >>> f"{low:.3f} to {high:.3f}"
    '0.000 to 0.060'
    """
    from scipy.stats import binomtest  # type: ignore[import-untyped] # takes long to load

    ends = binomtest(count, total).proportion_ci(level, method="wilson")
    return float(ends.low), float(ends.high)
