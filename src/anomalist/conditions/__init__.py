"""Whether photographs are like those that a threshold's promise is for."""

from anomalist.conditions.conditions import Conditions
from anomalist.conditions.measures import MEASURES, WATCHED, learnt_look, learnt_looks, widen_looks
from anomalist.conditions.promise import Promise, Promised
from anomalist.conditions.shift import LEVEL, Difference, Measuring, ShiftWatch
from anomalist.conditions.urn import evidence

__all__ = [
    "LEVEL",
    "MEASURES",
    "WATCHED",
    "Conditions",
    "Difference",
    "Measuring",
    "Promise",
    "Promised",
    "ShiftWatch",
    "evidence",
    "learnt_look",
    "learnt_looks",
    "widen_looks",
]
