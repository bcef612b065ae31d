"""How the evidence of a shift went, in few points however long it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

_MOST = 400
_DIGITS = 3


class EvidencePath:
    """Values of evidence along a stream, at most 400 points evenly spread, the last one exact.

    When they are full, every second one goes, and from then on half as many are kept.

    Examples
    --------
    >>> from datetime import UTC
    >>> path = EvidencePath()
    >>> for number in range(1, 1001):
    ...     path.add(number, datetime(2030, 1, 1, tzinfo=UTC), {"score": -number / 1000})
    >>> points = path.points()
    >>> len(points) <= 400, points[0][0], points[-1][0], points[-1][2]
    (True, 1, 1000, {'score': -1.0})
    """

    def __init__(self) -> None:
        self._points: list[tuple[int, str, list[float]]] = []
        self._names: list[str] = []
        self._stride, self._count = 1, 0
        self._last: tuple[int, str, list[float]] | None = None

    def add(self, number: int, at: datetime, evidence: Mapping[str, float]) -> None:
        """Take in the evidence after an inspection, as natural logarithms by name."""
        self._names = list(evidence)
        values = [round(value, _DIGITS) for value in evidence.values()]
        self._last = number, at.isoformat(), values
        if self._count % self._stride == 0:
            self._points.append(self._last)
            if len(self._points) == _MOST:
                self._points = self._points[::2]
                self._stride *= 2
        self._count += 1

    def points(self) -> list[tuple[int, str, dict[str, float]]]:
        """Return the number of each inspection that is kept, when it was, and the evidence."""
        kept = list(self._points)
        if self._last is not None and kept[-1] != self._last:
            kept.append(self._last)
        return [(n, at, dict(zip(self._names, v, strict=True))) for n, at, v in kept]

    def state(self) -> dict[str, Any]:
        """Return what `resume` takes, as JSON values."""
        return {
            "points": self._points,
            "names": self._names,
            "stride": self._stride,
            "count": self._count,
            "last": self._last,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on where another was when it gave its `state`."""
        self._points = [(n, at, values) for n, at, values in state["points"]]
        self._names, self._stride = list(state["names"]), state["stride"]
        self._count = state["count"]
        self._last = None if state["last"] is None else tuple(state["last"])
