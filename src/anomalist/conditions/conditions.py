"""Whether photographs are like those that a promise was made for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from anomalist.calibration import alarm_ranks, attainable_rate
from anomalist.conditions.measures import MEASURES
from anomalist.conditions.promise import Promise, Promised
from anomalist.conditions.shift import LEVEL, ShiftWatch
from anomalist.conditions.urn import evidence
from anomalist.data import Sample
from anomalist.data.ignoring import Sight
from anomalist.data.names import plural
from anomalist.detectors import Detector
from anomalist.errors import DataError
from anomalist.predictions import Predictions

_UNLIKE = "what the threshold promises isn't for them"
_REMEDY = (
    "20 new good ones restore it, by a threshold of theirs (anomalist calibrate MODEL --data FOLDER"
    " --out FILE) or learnt with the others (anomalist fit ... --add FOLDER)"
)
_FEW_SIZES = 4


# Mean differences between the channels below which a photograph is grey, and from which it has
# colour; JPEG leaves a little of it in grey ones.
_GREY, _COLOUR = 1.0, 2.0
_COUNTS = ("total", "failed", "alarms", "labelled", "_looked", "_grey", "_coloured")


@dataclass
class Conditions:
    """What of a promise's conditions fails in the photographs of one run.

    A promised rate of false alarms is for photographs that could as well have been among those
    learnt from. Compared are sizes; light, contrast, sharpness and colour with the ranges of those
    learnt from; and how many alarm with what is promised.

    The photographs beyond an end of a range, and the alarms, are counted. If new photographs are
    like those learnt from, each count follows a Pólya urn: of n photographs learnt from, the next
    comes to lie above them all with a chance of (1 + count) / (n + 1 + number). The count is told
    when a uniform mixture of higher chances makes it, at any time, so many times likelier that it
    would happen by chance in one run of a hundred, all ranges taken together (Ville's inequality):
    looking again and again inflates nothing. A photograph that lies further beyond a range than
    the range is wide is told at once. Differences that don't matter, such as two grey levels, don't
    count.

    That all photographs have shifted within the ranges is found by a `ShiftWatch`.

    Parameters
    ----------
    rule : Promised
        Which photographs alarm, and what was promised, such as a `Rule` of `anomalist.inspection`.
    images : int
        How many were learnt from and are independent.
    learnt : dict of str to (float, float)
        Ranges of the `MEASURES`; empty where the model doesn't say.
    sizes : list of (int, int)
        Widths and heights learnt from; empty where the model doesn't say.
    sight : Transform or Filled
        How photographs are looked at.
    shift : ShiftWatch, optional
        Watches for a shift; files of early versions know too little for one.
    level : float
        How often at most chance tells of a range, and how often of alarms.
    at_once : bool
        Whether one photograph is told that lies further beyond a range than the range is wide, or
        is the only one in colour; where thousands come, that is no news.

    Examples
    --------
    >>> from anomalist import PatchCore
    >>> rng = np.random.default_rng(0)
    >>> good = rng.normal(110, 6, (20, 64, 64, 3)).astype(np.uint8)
    >>> detector = PatchCore(image_size=64).fit(good)
    >>> _ = detector.calibrate(good)
    >>> conditions = Conditions.of(detector)
    >>> new = rng.normal(160, 6, (12, 64, 64, 3)).astype(np.uint8)
    >>> _ = conditions.add(detector.predict(new))
    >>> for note in conditions.notes():
    ...     print(note[:59])
    the photographs have shifted, from the first on of 12 (by c
    12 of 12 photographs alarm where 0.1% to 16.8% was promised
    """

    rule: Promised
    images: int
    learnt: dict[str, tuple[float, float]]
    sizes: list[tuple[int, int]]
    sight: Sight
    shift: ShiftWatch | None = None
    level: float = LEVEL
    at_once: bool = True
    total: int = 0
    failed: int = 0
    alarms: int = 0
    labelled: bool = False
    _looked: int = 0
    _outside: dict[str, list[int]] = field(default_factory=dict)
    _far: set[tuple[str, int]] = field(default_factory=set)
    _seen: dict[str, list[float]] = field(default_factory=dict)
    _other_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    _grey: int = 0
    _coloured: int = 0
    _told: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls,
        detector: Detector,
        rule: Promised | None = None,
        *,
        sizes: Iterable[tuple[int, int]] | None = None,
        level: float = LEVEL,
        at_once: bool = True,
    ) -> Self:
        """Begin with no photograph.

        Parameters
        ----------
        detector : Detector
            Fitted.
        rule : Promised, optional
            By default that of the detector.
        sizes : iterable of (int, int), optional
            Widths and heights learnt from; by default what the detector's summary tells.
        level : float
            How often at most chance tells of a shift, of a range, and of alarms: each so often.
        at_once : bool
            Whether one photograph far beyond a range is told.
        """
        rule = Promise.of(detector) if rule is None else rule
        summary, reference = detector.summary_, detector.reference_
        looks = summary.get("looks", {})
        images = summary.get("scenes", summary.get("images", 0))
        if reference is not None:
            # Those that calibrate, which needn't be those that it was fitted to.
            looks, images = reference.ranges(MEASURES), len(reference.rows)
        if sizes is None:
            sizes = [(width, height) for width, height, _ in summary.get("sizes", ())]
        return cls(
            rule=rule,
            images=images,
            learnt={name: (low, high) for name, (low, high) in looks.items()},
            sizes=list(sizes),
            sight=detector.sight,
            shift=(
                None if reference is None else ShiftWatch(reference, detector.sight, level=level)
            ),
            level=level,
            at_once=at_once,
        )

    def add(
        self, predictions: Predictions | None, failed: Mapping[Any, str] | None = None
    ) -> list[dict[str, float] | None]:
        """Count photographs.

        Parameters
        ----------
        predictions : Predictions or None
            Of those that could be scored. Where they are labelled, good ones count alone.
        failed : dict, optional
            The others.

        Returns
        -------
        list of dict of str to float, or None
            Of each photograph that counts, the numbers that `replay` takes.
        """
        self.failed += len(failed or {})
        if predictions is None:
            return []
        good = np.arange(len(predictions))
        if predictions.labels is not None:
            self.labelled = True
            good = np.flatnonzero(~predictions.labels)
        self.total += len(good)
        if self.rule.threshold is not None:
            self.alarms += int((predictions.scores[good] > self.rule.threshold).sum())
        for sample in predictions.images[good]:
            try:
                self._look(sample)
            except DataError:  # gone since it was scored
                continue
        if self.shift is None:
            return [None] * len(good)
        return self.shift.add(predictions, good.tolist())

    def replay(self, numbers: Mapping[str, float] | None, path: str) -> None:
        """Take in what an earlier call said of a photograph, for a shift that goes on."""
        if self.shift is not None:
            self.shift.replay(numbers, path)

    def count(
        self,
        numbers: Mapping[str, float] | None,
        path: str,
        *,
        score: float,
        size: tuple[int, int],
        watched: bool = True,
    ) -> None:
        """Count a photograph by what was kept of it, where it is no longer at hand.

        Parameters
        ----------
        numbers : dict of str to float, or None
            As `~anomalist.conditions.Measuring` gave them; None counts towards no range.
        path : str
            What it is called.
        score : float
            Its own.
        size : (int, int)
            Width and height.
        watched : bool
            Whether it counts towards a shift. Of millions, some that are spread evenly are enough,
            and take seconds.
        """
        self.total += 1
        if self.rule.threshold is not None:
            self.alarms += score > self.rule.threshold
        self._size(*size)
        if numbers and self.learnt.keys() <= numbers.keys():
            self._compare(numbers)
        self.replay(numbers if watched else {}, path)

    def _look(self, sample: Sample) -> None:
        if self.sizes:
            height, width = sample.size()
            self._size(width, height)
        if self.learnt:
            look = sample.look(self.sight)
            self._compare({name: getattr(look, name) for name in self.learnt})

    def _size(self, width: int, height: int) -> None:
        if self.sizes and not self._known_size(width, height):
            self._other_sizes[width, height] += 1

    def _compare(self, numbers: Mapping[str, float]) -> None:
        if not self.learnt:
            return
        self._looked += 1
        for name, (low, high) in self.learnt.items():
            value = numbers[name]
            seen = self._seen.setdefault(name, [math.inf, -math.inf])
            seen[:] = min(seen[0], value), max(seen[1], value)
            if name == "colour":
                self._grey += value < _GREY and low >= _COLOUR
                self._coloured += value >= _COLOUR and high < _GREY
                continue
            measure = MEASURES[name]
            for side, beyond, end in ((0, low - value, low), (1, value - high, high)):
                margin = measure.margin(end)
                if beyond > margin:
                    self._outside.setdefault(name, [0, 0])[side] += 1
                    if self.at_once and beyond > high - low + margin:
                        self._far.add((name, side))

    def _known_size(self, width: int, height: int) -> bool:
        if (width, height) in self.sizes:
            return True
        # Where every photograph was cut out by hand, a little more is allowed.
        more = 1.1 if len(self.sizes) > _FEW_SIZES else 1.0
        for value, learnt in (
            (width, [w for w, _ in self.sizes]),
            (height, [h for _, h in self.sizes]),
            (width / height, [w / h for w, h in self.sizes]),
        ):
            if not min(learnt) / more <= value <= max(learnt) * more:
                return False
        return True

    def failing(self) -> dict[str, str]:
        """Return the conditions that fail: a sentence each, by name."""
        found = {}
        shifted: set[tuple[str, int]] = set()
        shift = None if self.shift is None else self.shift.describe(self._noun())
        if self.shift is not None and shift is not None:
            found["shift"] = f"{shift}: {_UNLIKE}; {_REMEDY}"
            shifted = {(d.name, d.shift.side) for d in self.shift.differences()}
        if self._other_sizes:
            found["size"] = self._size_sentence()
        for name, measure in MEASURES.items():
            for side, word in enumerate((measure.low, measure.high)):
                count = self._outside.get(name, [0, 0])[side]
                if (name, 2 * side - 1) in shifted:  # told already
                    continue
                if count and ((name, side) in self._far or self._too_many(count)):
                    low, high = self.learnt[name]
                    end = self._seen[name][side]
                    found[f"{name}_{'above' if side else 'below'}"] = (
                        f"{self._of(count)} {word} than any learnt from ({measure.what}"
                        f" {'up' if side else 'down'} to {end:.3g}, where {low:.3g} to {high:.3g}"
                        f" was learnt from): {_UNLIKE}"
                    )
        if self._enough(self._grey):
            found["grey"] = (
                f"{self._of(self._grey)} grey, where all learnt from have colour: {_UNLIKE}"
            )
        if self._enough(self._coloured):
            found["coloured"] = (
                f"{self._of(self._coloured)} in colour, where all learnt from are grey: {_UNLIKE}"
            )
        promise = self.rule.promise
        if promise is not None and self._alarm_far_more(promise[1]):
            found["alarms"] = self._alarm_sentence(promise)
        return found

    def notes(self) -> list[str]:
        """Return a sentence for each condition that fails."""
        return list(self.failing().values())

    def news(self) -> list[str]:
        """Return the sentences of conditions that weren't told by an earlier call."""
        failing = self.failing()
        new = [text for name, text in failing.items() if name not in self._told]
        self._told |= failing.keys()
        return new

    def state(self) -> dict[str, Any]:
        """Return what `resume` takes, as JSON values."""
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            "outside": self._outside,
            "seen": self._seen,
            "far": [list(end) for end in self._far],
            "other_sizes": [[*size, count] for size, count in self._other_sizes.items()],
            "shift": None if self.shift is None else self.shift.state(),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on where others of the same detector were when they gave their `state`."""
        for name in _COUNTS:
            setattr(self, name, state[name])
        self._outside, self._seen = dict(state["outside"]), dict(state["seen"])
        self._far = {(name, side) for name, side in state["far"]}
        self._other_sizes = Counter({(w, h): count for w, h, count in state["other_sizes"]})
        if self.shift is not None and state["shift"] is not None:
            self.shift.resume(state["shift"])

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        promise = self.rule.promise
        return {
            "photographs": self.total,
            "good_only": self.labelled,
            "failed": self.failed,
            "alarms": None if self.rule.threshold is None else self.alarms,
            "promised": None if promise is None else list(promise),
            "failing": self.failing(),
            "shift": None if self.shift is None else self.shift.as_dict(),
            "other_sizes": [[w, h, count] for (w, h), count in self._other_sizes.most_common()],
            "looks": {
                name: {
                    "learnt": list(self.learnt[name]),
                    "seen": seen,
                    "below": self._outside.get(name, [0, 0])[0],
                    "above": self._outside.get(name, [0, 0])[1],
                }
                for name, seen in self._seen.items()
            },
        }

    def _noun(self) -> str:
        return "good image" if self.labelled else "photograph"

    def _photographs(self) -> str:
        return plural(self.total, self._noun())

    def _of(self, count: int) -> str:
        return f"{count} of {self._photographs()} {'is' if count == 1 else 'are'}"

    def _size_sentence(self) -> str:
        def listed(sizes: list[tuple[int, int]]) -> str:
            shown = ", ".join(f"{width} x {height}" for width, height in sizes[:2])
            return f"{shown} and others" if len(sizes) > 2 else shown

        count = sum(self._other_sizes.values())
        sizes = [size for size, _ in self._other_sizes.most_common()]
        return (
            f"{self._of(count)} of another size ({listed(sizes)} pixels) than any learnt from"
            f" ({listed(self.sizes)}): {_UNLIKE}"
        )

    def _enough(self, count: int) -> bool:
        """Whether so many that have colour, or have none, are told."""
        return bool(count) and (self.at_once or self._too_many(count))

    def _too_many(self, count: int) -> bool:
        """Whether so many beyond one end of a range are told."""
        if self.images < 1:
            return False
        # Of colour, that there is any or none is told, which is rarer than to be beyond its range.
        ends = 2 * (len(MEASURES) - self.at_once)
        return evidence(count, self._looked, 1, self.images) >= ends / self.level

    def _alarm_far_more(self, most: float) -> bool:
        if self.alarms <= most * self.total:
            return False
        n = self.rule.scenes
        above = alarm_ranks(n, attainable_rate(n, self.rule.alpha))
        if self.labelled:  # measured once, not watched
            from scipy.stats import betabinom  # type: ignore[import-untyped] # takes long to load

            chance = betabinom.sf(self.alarms - 1, self.total, above, n + 1 - above)
            return bool(chance <= self.level)
        return evidence(self.alarms, self.total, above, n) >= 1 / self.level

    def _alarm_sentence(self, promise: tuple[float, float]) -> str:
        low, high = promise
        if self.labelled:
            return (
                f"{self.alarms} of {self._photographs()}"
                f" {'alarms' if self.alarms == 1 else 'alarm'}: far above the {low:.1%} to"
                f" {high:.1%} that was promised; the promise doesn't hold for these photographs"
            )
        return (
            f"{self.alarms} of {self._photographs()}"
            f" {'alarms' if self.alarms == 1 else 'alarm'} where {low:.1%} to {high:.1%} was"
            " promised for images like those learnt from: either they are defective, or the"
            " promise doesn't hold for them (lighting, focus, framing, size?)"
        )
