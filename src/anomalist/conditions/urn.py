"""How much likelier a higher chance is than the one that learnt images leave to the next."""

from __future__ import annotations

import math

from scipy.special import betainc, betaln  # type: ignore[import-untyped]


def evidence(count: int, number: int, above: int, images: int) -> float:
    """How much likelier a count is if it comes from a higher chance than from the urn.

    It may be asked for after every photograph: where they are like those learnt from, it ever
    exceeds x with a chance of at most 1 / x.

    Parameters
    ----------
    count, number : int
        How many of how many new photographs lie above a limit.
    above : int
        Places above the limit among the ``images`` + 1 that images leave to the next: 1 if the
        limit is the highest of them.
    images : int
        How many images gave the limit.

    References
    ----------
    Ville, "Étude critique de la notion de collectif" (1939); Vovk, Nouretdinov and Gammerman,
    "Testing exchangeability on-line", ICML 2003.

    Examples
    --------
    >>> evidence(0, 10, 1, 20) < 1 < 100 < evidence(4, 4, 1, 20)
    True
    """
    others = number - count
    usual = above / (images + 1)
    urn = betaln(above + count, images + 1 - above + others) - betaln(above, images + 1 - above)
    share = betainc(others + 1, count + 1, 1 - usual)
    if share <= 0:
        return 0.0
    higher = betaln(count + 1, others + 1) + math.log(share) - math.log1p(-usual)
    return math.exp(min(higher - urn, 700.0))
