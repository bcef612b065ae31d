"""What photographs are compared by, in words, and which differences matter at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from anomalist.calibration.reference import FEATURES, SCORE
from anomalist.data import Sample
from anomalist.data.ignoring import Sight
from anomalist.data.looks import Look


@dataclass(frozen=True)
class Measure:
    """A number of a photograph that is compared with those learnt from.

    ``floor``, or the share ``least`` of what it is compared with, is what a difference must exceed
    to matter at all. ``low`` is None where lower numbers are no trouble.
    """

    low: str | None
    high: str
    what: str
    floor: float = 0.0
    least: float = 0.0

    def margin(self, end: float) -> float:
        """Return by how much a number must differ from another to matter."""
        return max(self.floor, self.least * abs(end))

    def word(self, side: int) -> str:
        """Return what a photograph is whose number is higher (1) or lower (-1)."""
        return self.high if side > 0 else self.low or ""

    @property
    def sides(self) -> tuple[int, ...]:
        """Which differences are trouble."""
        return (1,) if self.low is None else (-1, 1)


#: By name of the number; those whose ranges a model file records.
MEASURES = {
    "brightness": Measure("darker", "brighter", "mean grey level", 2.0),
    "contrast": Measure("of less contrast", "of more contrast", "deviation of grey levels", 2.0),
    "sharpness": Measure("less sharp", "sharper or noisier", "sharpness", least=0.1),
    "red": Measure("greener", "redder", "red less green", 2.0),
    "yellow": Measure("bluer", "yellower", "yellow less blue", 2.0),
    "colour": Measure("less colourful", "more colourful", "colour", 2.0),
}
_TURNED = "at another angle or of another shape"
#: By name of the number; those whose middle is watched.
WATCHED = {
    **{name: MEASURES[name] for name in ("brightness", "contrast")},
    "sharpness": Measure("less sharp", "sharper or noisier", "sharpness", least=0.02),
    **{name: MEASURES[name] for name in ("red", "yellow")},
    "across": Measure("further left", "further right", "centre across", 0.005),
    "down": Measure("higher up", "lower down", "centre down", 0.005),
    "extent": Measure("shown smaller", "shown larger", "extent", least=0.005),
    "upright": Measure(_TURNED, _TURNED, "cosine of twice the angle", 0.01),
    "tilt": Measure(_TURNED, _TURNED, "sine of twice the angle", 0.01),
    FEATURES: Measure(None, "of unusual features", "distance of mean features", least=0.02),
    SCORE: Measure(None, "scored higher", "score"),
}


def learnt_looks(samples: Iterable[Sample], sight: Sight) -> dict[str, list[float]]:
    """Return the range of each of the `MEASURES` over photographs, for a model's summary.

    Raises
    ------
    DataError
        If one can't be read, where it wasn't before.
    """
    ranges: dict[str, list[float]] = {}
    for sample in samples:
        widen_looks(ranges, learnt_look(sample.look(sight)))
    return ranges


def learnt_look(look: Look) -> dict[str, list[float]]:
    """Return the ranges of one photograph."""
    return {name: [getattr(look, name)] * 2 for name in MEASURES}


def widen_looks(ranges: dict[str, list[float]], others: dict[str, list[float]]) -> None:
    """Widen ranges to hold those of other photographs, too.

    Examples
    --------
    >>> ranges = {"contrast": [20.0, 30.0]}
    >>> widen_looks(ranges, {"contrast": [10.0, 25.0]})
    >>> ranges
    {'contrast': [10.0, 30.0]}
    """
    for name, (low, high) in others.items():
        known = ranges.get(name, [low, high])
        ranges[name] = [min(known[0], low), max(known[1], high)]
