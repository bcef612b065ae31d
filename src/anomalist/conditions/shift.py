"""Whether new photographs, as a whole, have shifted from those learnt from: since when, in what."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.calibration import Drift, Reference, Shift, look_of
from anomalist.conditions.measures import WATCHED
from anomalist.data.ignoring import Sight
from anomalist.errors import DataError
from anomalist.predictions import Predictions

#: How often a shift may be told of photographs that are like those learnt from, in all of a run,
#: however often it is looked at.
LEVEL = 0.01

# Among how many photographs before it a photograph is looked for.
_RECENT = 64
_TOLD = 3
_SURE = 1e6
# After so many photographs, what was remembered of those that no shift begins with is forgotten.
_FORGOTTEN = 1000
# The middle of those learnt from, which is told as what is usual.
_USUAL = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Difference:
    """One number in which photographs have shifted.

    Parameters
    ----------
    name : str
        Of the `~anomalist.conditions.measures.WATCHED`.
    shift : Shift
        Since when, in which direction, how sure.
    usual : (float, float, float)
        What 5 %, half and 95 % of those learnt from don't exceed.
    """

    name: str
    shift: Shift
    usual: tuple[float, float, float]

    def describe(self) -> str:
        """Say in a few words how they differ.

        Examples
        --------
        >>> Difference("brightness", Shift(3, 1, 9, 121.4, 9.0), (104.0, 111.0, 118.2)).describe()
        'brighter (mean grey level about 121, where 104 to 118 was usual)'
        """
        measure = WATCHED[self.name]
        low, _, high = self.usual
        return (
            f"{measure.word(self.shift.side)} ({measure.what} about {self.shift.mean:.3g}, where"
            f" {low:.3g} to {high:.3g} was usual)"
        )


class Measuring:
    """Measures photographs for a `ShiftWatch`, in the order in which they come.

    Parameters
    ----------
    reference : Reference
        Of the photographs that were learnt from.
    sight : Transform or Filled
        How photographs are looked at.
    """

    def __init__(self, reference: Reference, sight: Sight) -> None:
        self._reference, self._sight = reference, sight
        self._recent: deque[npt.NDArray[np.float32]] = deque(maxlen=_RECENT)

    def numbers(
        self, predictions: Predictions, places: Sequence[int] | None = None
    ) -> list[dict[str, float] | None]:
        """Return the numbers of each photograph; None of one that shows the same again or is gone.

        Parameters
        ----------
        predictions : Predictions
            Of the photographs.
        places : sequence of int, optional
            Which of them; by default all.
        """
        found = list[dict[str, float] | None]()
        places = range(len(predictions)) if places is None else places
        rows = self._reference.measure(predictions, self._sight, places)
        for values, place in zip(rows, places, strict=True):
            if self._shows_again(predictions.images[place]):
                found.append(None)
                continue
            named = zip(self._reference.names, values.tolist(), strict=True)
            found.append({name: value for name, value in named if math.isfinite(value)})
        return found

    def _shows_again(self, sample: Any) -> bool:
        try:
            shown = look_of(sample.look(self._sight))
        except DataError:
            return True
        near = self._reference.near
        if any(np.linalg.norm(shown - other) <= near for other in self._recent):
            return True
        self._recent.append(shown)
        return False


class ShiftWatch:
    """Watches each of some numbers of new photographs for a shift of their middle.

    Every number has a `~anomalist.calibration.Drift` of its own, and all together warn in at most
    one run of a hundred where photographs are like those learnt from. A photograph that shows
    again what one of the 64 before it shows isn't counted: it would say the same once more.

    Parameters
    ----------
    reference : Reference
        Of the photographs that were learnt from.
    sight : Transform or Filled
        How photographs are looked at.
    level : float
        How often at most it warns by chance, in all of a run.
    """

    def __init__(self, reference: Reference, sight: Sight, *, level: float = LEVEL) -> None:
        self._measuring = Measuring(reference, sight)
        names = [name for name in reference.names if name in WATCHED]
        limit = max(len(names), 1) / level
        columns = dict(zip(reference.names, reference.rows.T, strict=True))
        self._learnt_from = len(reference.rows)
        self._drifts = {n: Drift(columns[n], limit, WATCHED[n].sides) for n in names}
        #: What 5 %, half and 95 % of those learnt from don't exceed, by number that is watched.
        self.usual: dict[str, tuple[float, float, float]] = {
            n: tuple(np.quantile(columns[n], _USUAL).tolist()) for n in names
        }
        # Of those that count: how many did, and of those that a shift may begin with their number
        # among all and what they are called.
        self._count = 0
        self._counted: dict[int, tuple[int, str]] = {}
        #: How many were seen, and how many of them showed the same again.
        self.seen = self.again = 0

    def add(
        self, predictions: Predictions, places: Sequence[int] | None = None
    ) -> list[dict[str, float] | None]:
        """Take in photographs in their order.

        Parameters
        ----------
        predictions : Predictions
            Of the photographs.
        places : sequence of int, optional
            Which of them; by default all.

        Returns
        -------
        list of dict of str to float, or None
            The numbers of each, for `replay`; None of one that shows the same again or is gone.
        """
        numbers = self._measuring.numbers(predictions, places)
        places = range(len(predictions)) if places is None else places
        for one, place in zip(numbers, places, strict=True):
            self.replay(one, str(predictions.images[place].path))
        return numbers

    def replay(self, numbers: Mapping[str, float] | None, path: str) -> None:
        """Take in a photograph whose numbers `add` gave once."""
        self.seen += 1
        if not numbers:
            self.again += numbers is None
            return
        self._counted[self._count] = (self.seen, path)
        self._count += 1
        for name, drift in self._drifts.items():
            # One that is missing stands in the middle, so that all count alike.
            drift.add(numbers.get(name, self.usual[name][1]))
        if len(self._counted) > _FORGOTTEN:
            begin = set[int]().union(*(drift.beginnings() for drift in self._drifts.values()))
            self._counted = {i: known for i, known in self._counted.items() if i in begin}

    @property
    def limit(self) -> float:
        """The evidence from which a number is told to have shifted, as a natural logarithm."""
        return next((drift.limit for drift in self._drifts.values()), math.inf)

    def evidence(self) -> dict[str, float]:
        """Return the natural logarithm of the evidence of each number that is watched, now."""
        return {name: drift.log_evidence for name, drift in self._drifts.items()}

    def state(self) -> dict[str, Any]:
        """Return what `resume` takes, as JSON values."""
        return {
            "seen": self.seen,
            "again": self.again,
            "count": self._count,
            "counted": [[i, *known] for i, known in self._counted.items()],
            # Those that took in nothing are as they are made.
            "drifts": {n: drift.state() for n, drift in self._drifts.items() if drift.count},
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on where another of the same reference was when it gave its `state`."""
        self.seen, self.again, self._count = state["seen"], state["again"], state["count"]
        self._counted = {i: (number, path) for i, number, path in state["counted"]}
        for name, known in state["drifts"].items():
            self._drifts[name].resume(known)

    def differences(self) -> list[Difference]:
        """Return in what they have shifted, by as much as matters; the surest first."""
        found = []
        for name, drift in self._drifts.items():
            shift, usual = drift.found, self.usual[name]
            if shift is None or abs(shift.mean - usual[1]) < WATCHED[name].margin(usual[1]):
                continue
            found.append(Difference(name, shift, usual))
        return sorted(found, key=lambda d: -d.shift.log_evidence)

    def describe(self, noun: str) -> str | None:
        """Say what has shifted, since when and how sure that is; None where nothing is known to.

        Parameters
        ----------
        noun : str
            What the photographs are called, in the singular.
        """
        differences = self.differences()
        if not differences:
            return None
        number, path = self._counted[self._since(differences)]
        words: dict[str, None] = {}
        for difference in differences:
            words.setdefault(difference.describe())
        named = ", ".join(list(words)[:_TOLD])
        more = " and more" if len(words) > _TOLD else ""
        name = "/".join(Path(path).parts[-2:])
        start = "from the first on" if number == 1 else f"from {name} on, number {number}"
        return (
            f"the {noun}s have shifted, {start} of {self.seen} ({self._sure(differences)}): they"
            f" are {named}{more}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        differences = self.differences()
        since = self._counted[self._since(differences)] if differences else None
        return {
            "shifted": bool(differences),
            "since": None if since is None else {"number": since[0], "path": since[1]},
            "chance": self._chance(differences) if differences else None,
            "seen": self.seen,
            "shown_again": self.again,
            "learnt_from": self._learnt_from,
            "differences": {
                d.name: {
                    "what": d.describe(),
                    "since": self._counted[d.shift.since][0],
                    "photographs": d.shift.count,
                    "mean": d.shift.mean,
                    "usual": list(d.usual),
                    "chance": self._chance([d]),
                }
                for d in differences
            },
        }

    def _since(self, differences: list[Difference]) -> int:
        return differences[0].shift.since

    def _chance(self, differences: list[Difference]) -> float:
        """How often at most it would be told by chance."""
        most = differences[0].shift.log_evidence - math.log(len(self._drifts))
        return math.exp(-min(most, 700.0))

    def _sure(self, differences: list[Difference]) -> str:
        runs = 1 / max(self._chance(differences), 1 / _SURE)
        shown = f"{float(f'{runs:.2g}'):,.0f}"
        return f"by chance in less than 1 of {shown} runs"
