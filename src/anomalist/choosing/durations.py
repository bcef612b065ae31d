"""Times as people write them: ``90s``, ``5min``, ``1h``."""

from __future__ import annotations

import math
import re

from anomalist.errors import ParameterError

_UNITS = {
    "": 1.0,
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
_TIME = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*", re.IGNORECASE)


def seconds_of(text: str | float, name: str = "budget") -> float:
    """Return the seconds of a time.

    Parameters
    ----------
    text : str or float
        A number and a unit, such as ``90s``, ``5min`` or ``1.5h``, or several of them. A number
        alone is seconds.
    name : str
        What the time is for, to name it where it makes no sense.

    Raises
    ------
    ParameterError
        If it is no time, or none is left of it.

    Examples
    --------
    >>> seconds_of("90s"), seconds_of("5min"), seconds_of("1h30min"), seconds_of(45)
    (90.0, 300.0, 5400.0, 45.0)
    """
    found = list(_TIME.finditer(str(text)))
    whole = "".join(match.group() for match in found) == str(text)
    units = [match[2].lower() for match in found]
    known = bool(found) and all(unit in _UNITS for unit in units)
    alone = len(found) == 1 or "" not in units
    seconds = sum(float(m[1]) * _UNITS[m[2].lower()] for m in found) if known else math.nan
    if isinstance(text, bool) or not (whole and alone) or not 0 < seconds < math.inf:
        raise ParameterError(f"{name} must be a time such as 90s, 5min or 1h, not {text!r}")
    return seconds
