"""The conditions of a stress test, their levels, and the cases that they make."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from anomalist.errors import ParameterError

#: What is disturbed: test images alone, all images, or what is learnt from.
Where = Literal["test", "all", "train"]
#: Where photographs can be changed.
CHANGED: tuple[Where, ...] = ("test", "all")


@dataclass(frozen=True)
class Condition:
    """What a stress test disturbs.

    Parameters
    ----------
    levels : tuple of float
        Those that are run by default.
    low, high : float
        Levels that make sense.
    neutral : float or None
        The level at which nothing is disturbed; None where there is none.
    text : str
        What a level is, in words.
    whole : bool
        Whether levels are whole numbers.
    of_training : bool
        Whether it is a matter of which images are learnt from, not of how they look.
    """

    levels: tuple[float, ...]
    low: float
    high: float
    neutral: float | None
    text: str
    whole: bool = False
    of_training: bool = False


#: Every condition by name, in the order of tables.
CONDITIONS: dict[str, Condition] = {
    "shots": Condition(
        (1, 2, 4, 8, 16),
        1,
        10**6,
        None,
        "good photographs learnt from",
        whole=True,
        of_training=True,
    ),
    "contamination": Condition(
        (0, 0.05, 0.1, 0.2, 0.4),
        0,
        0.4,
        None,
        "share of defects among the photographs learnt from",
        of_training=True,
    ),
    "brightness": Condition((0.8, 0.9, 0.95, 1.05, 1.1, 1.2), 0.01, 100, 1, "light, as a multiple"),
    "gamma": Condition((0.8, 0.9, 1.1, 1.25), 0.05, 20, 1, "power of the stored values"),
    "gradient": Condition(
        (0.1, 0.2, 0.4), -2, 2, 0, "difference of light from left to right, over its mean"
    ),
    "focus": Condition(
        (0.001, 0.002, 0.004), 0, 0.2, 0, "blur: deviation over the longer side of the photograph"
    ),
    "noise": Condition((0.01, 0.02, 0.05), 0, 1, 0, "noise: deviation over white"),
    "jpeg": Condition((90, 70, 50, 30), 1, 95, None, "quality of JPEG", whole=True),
    "shift": Condition((0.01, 0.02, 0.05), -0.5, 0.5, 0, "shift over the side of the photograph"),
    "turn": Condition((1, 2, 5), -180, 180, 0, "turn, in degrees"),
    "scale": Condition((0.95, 0.97, 1.03, 1.05), 0.5, 2, 1, "scale, as a multiple"),
}


def shown_level(level: float) -> str:
    """Return a level as it is written.

    Examples
    --------
    >>> shown_level(0.95), shown_level(4.0)
    ('0.95', '4')
    """
    return repr(float(level)).removesuffix(".0")


@dataclass(frozen=True)
class Case:
    """A condition at one level.

    Parameters
    ----------
    condition : str
        One of `CONDITIONS`.
    level : float
        One that makes sense for it.
    where : {"test", "all", "train"}
        What is disturbed.
    """

    condition: str
    level: float
    where: Where

    @property
    def key(self) -> str:
        """What its folder is called.

        Examples
        --------
        >>> Case("brightness", 1.2, "test").key
        'brightness_1.2_test'
        """
        return f"{self.condition}_{shown_level(self.level)}_{self.where}"

    @property
    def of_training(self) -> bool:
        """Whether it is a matter of which images are learnt from."""
        return CONDITIONS[self.condition].of_training

    @property
    def order(self) -> tuple[int, int, float]:
        """Where it comes in tables."""
        places = list(CONDITIONS).index(self.condition), get_args(Where).index(self.where)
        return *places, self.level

    @classmethod
    def parse(cls, key: str) -> Case | None:
        """Return the case of a folder's name; None of any other name.

        Examples
        --------
        >>> Case.parse("brightness_1.2_test")
        Case(condition='brightness', level=1.2, where='test')
        """
        parts = key.split("_")
        try:
            condition, level, where = parts
            found = cls(condition, float(level), where)  # type: ignore[arg-type]
            known = condition in CONDITIONS and where in get_args(Where)
        except ValueError:
            return None
        return found if known and found.key == key else None


def parse_cases(
    conditions: Iterable[str] | None = None, where: Sequence[str] = CHANGED
) -> list[Case]:
    """Return the cases that are asked for.

    Parameters
    ----------
    conditions : iterable of str, optional
        Names of `CONDITIONS`, each with levels of its own where some are given:
        ``brightness=0.8:1.2``. All by default. The level ``all`` of shots is the undisturbed run.
    where : sequence of {"test", "all"}
        What is changed by conditions that change photographs.

    Returns
    -------
    list of Case
        Each once, in the order of `CONDITIONS`.

    Raises
    ------
    ParameterError
        If a condition is unknown or named twice, or a level isn't one.

    Examples
    --------
    >>> [case.key for case in parse_cases(["jpeg=30", "brightness=0.8:1.2"], where=["test"])]
    ['brightness_0.8_test', 'brightness_1.2_test', 'jpeg_30_test']
    """
    levels: dict[str, tuple[float, ...]] = {}
    for entry in CONDITIONS if conditions is None else conditions:
        name, equals, given = entry.partition("=")
        if name not in CONDITIONS:
            close = difflib.get_close_matches(name, CONDITIONS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ParameterError(
                f"no condition {name!r}; {hint}the conditions are {', '.join(CONDITIONS)}, each"
                " with levels as in brightness=0.8:1.2"
            )
        if name in levels:
            raise ParameterError(f"condition {name} is named twice: join its levels with colons")
        levels[name] = _levels(name, given.split(":")) if equals else CONDITIONS[name].levels
    if not levels:
        raise ParameterError("a stress test needs at least one condition")
    unknown = [place for place in where if place not in CHANGED]
    if unknown or not where:
        raise ParameterError(f"where must be test, all or both, not {', '.join(unknown) or 'none'}")
    found = []
    for name, condition in CONDITIONS.items():
        places: Iterable[Where] = ("train",) if condition.of_training else CHANGED
        found += [
            Case(name, level, place)
            for place in places
            if condition.of_training or place in where
            for level in levels.get(name, ())
        ]
    return found


def _levels(name: str, given: Sequence[str]) -> tuple[float, ...]:
    condition = CONDITIONS[name]
    found: dict[float, None] = {}
    for text in given:
        if name == "shots" and text == "all":
            continue
        try:
            level = float(text)
        except ValueError:
            level = math.nan
        fits = condition.low <= level <= condition.high
        if not fits or (condition.whole and level != int(level)):
            kind = "a whole number" if condition.whole else "a number"
            top = "up" if name == "shots" else f"to {shown_level(condition.high)}"
            raise ParameterError(
                f"{text!r} is no level of {name} ({condition.text}): it must be {kind} from"
                f" {shown_level(condition.low)} {top}"
            )
        found[level + 0.0] = None
    return tuple(sorted(found))
