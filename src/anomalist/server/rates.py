"""How often one may ask: a bucket that fills with time, for each who asks."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable


class Rates:
    """Token buckets, one for each key.

    Parameters
    ----------
    rate : float
        Requests a second, in the long run.
    burst : float
        Requests that may come at once after a rest.
    most : int
        Keys that are remembered; beyond, the one that asked longest ago is forgotten.
    clock : callable
        Gives seconds; one that never goes back.

    Examples
    --------
    >>> moment = [0.0]
    >>> rates = Rates(rate=2, burst=1, clock=lambda: moment[0])
    >>> rates.take("line 1"), rates.take("line 1"), rates.take("line 2")
    (0.0, 0.5, 0.0)
    >>> moment[0] = 0.5
    >>> rates.take("line 1")
    0.0
    """

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._burst, self._most, self._clock = rate, burst, most, clock
        # What is left of each, and when that was so.
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: object) -> float:
        """Take one request of a key; return 0 if it may, otherwise seconds to wait."""
        with self._lock:
            at = self._clock()
            left, since = self._left.pop(key, (self._burst, at))
            left = min(self._burst, left + (at - since) * self._rate)
            may = left >= 1
            self._left[key] = (left - 1 if may else left, at)
            if len(self._left) > self._most:
                self._left.popitem(last=False)
        return 0.0 if may else (1 - left) / self._rate
