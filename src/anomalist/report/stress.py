"""What a stress test comes to: curves over levels, a table of the worst, a sentence a detector."""

# ruff: noqa: D102 (what each property holds is said where runs are made)

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from anomalist.report.runs import Estimate, Results, Run

#: What is drawn, by its name among the metrics.
METRICS = {
    "image_AUROC": "Image AUROC",
    "image_hit_rate": "Defects found",
    "pixel_AUROC": "Pixel AUROC",
    "pixel_PRO": "Pixel PRO",
}
_ALARMS = "image_false_alarm_rate"
#: What a level is, and the level at which nothing is disturbed, where there is one.
_MEANINGS: dict[str, tuple[str, float | None]] = {
    "shots": ("good photographs learnt from", None),
    "contamination": ("share of defects among the photographs learnt from", None),
    "brightness": ("light, as a multiple", 1),
    "gamma": ("power of the stored values", 1),
    "gradient": ("difference of light from left to right, over its mean", 0),
    "focus": ("deviation of the blur over the longer side", 0),
    "noise": ("deviation of the noise over white", 0),
    "jpeg": ("quality of JPEG", 100),
    "shift": ("shift over the side", 0),
    "turn": ("turn, in degrees", 0),
    "scale": ("scale, as a multiple", 1),
}
# A detector that tells fewer than this of pairs of a good and a defective image apart is told of.
_LOW = 0.9
_MEAN = "mean"


class StressedRun(Protocol):
    """What the report needs of a run of a stress test."""

    @property
    def condition(self) -> str: ...
    @property
    def level(self) -> float | None: ...
    @property
    def where(self) -> str | None: ...
    @property
    def record(self) -> Run: ...


@dataclass(frozen=True)
class Worst:
    """The lowest image AUROC and the highest rate of false alarms over a condition's levels."""

    auroc: str
    alarms: str


class Stress:
    """The runs of a stress test, by condition, by what is disturbed, and by level.

    Parameters
    ----------
    runs : sequence of StressedRun
        At least one, with undisturbed ones among them.
    """

    def __init__(self, runs: Sequence[StressedRun]) -> None:
        by_level: defaultdict[tuple[str, str], defaultdict[float, list[Run]]] = defaultdict(
            lambda: defaultdict(list)
        )
        undisturbed = []
        for run in runs:
            if run.level is None or run.where is None:
                undisturbed.append(run.record)
            else:
                by_level[run.condition, run.where][run.level].append(run.record)
        self._undisturbed = Results(undisturbed)
        # The undisturbed run of shots has another number of images in each category.
        whole = {record.train_images for record in undisturbed}
        self._results = {
            place: {
                level: Results(records)
                for level, records in sorted(levels.items())
                if place[0] != "shots" or level not in whole
            }
            for place, levels in by_level.items()
        }
        self.detectors = self._undisturbed.detectors
        self.categories = self._undisturbed.categories

    @property
    def conditions(self) -> dict[str, str]:
        """What the levels of each condition are."""
        found = {condition for condition, _ in self._results}
        return {name: text for name, (text, _) in _MEANINGS.items() if name in found}

    @property
    def places(self) -> list[str]:
        """What was disturbed among test images alone and all images."""
        found = {where for _, where in self._results}
        return [where for where in ("test", "all") if where in found]

    @property
    def metrics(self) -> dict[str, str]:
        """What can be drawn."""
        return METRICS

    def points(
        self, condition: str, where: str, detector: str, metric: str, category: str | None = None
    ) -> dict[float, Estimate]:
        """Return a metric by level; the mean over categories where none is given."""
        categories = None if category is None else [category]
        found = {
            level: results.estimate(detector, metric, categories)
            for level, results in self._results.get((condition, where), {}).items()
        }
        return {level: estimate for level, estimate in found.items() if estimate is not None}

    def at_rest(self, detector: str, metric: str, category: str | None = None) -> Estimate | None:
        """Return a metric of the undisturbed run."""
        categories = None if category is None else [category]
        return self._undisturbed.estimate(detector, metric, categories)

    def charts(self) -> dict[str, Any]:
        """Return all that is drawn, as plain numbers in percent."""
        lines = [None, *self.categories] if len(self.categories) > 1 else self.categories
        return {
            "place": next(iter(self.places), "train"),
            "alpha": [100 * alpha for alpha in self._undisturbed.targets],
            "conditions": {name: self._axis(name) for name in self.conditions},
            "points": {
                category or _MEAN: {
                    name: {
                        where: self._lines(name, where, category)
                        for condition, where in self._results
                        if condition == name
                    }
                    for name in self.conditions
                }
                for category in lines
            },
        }

    def _axis(self, condition: str) -> dict[str, Any]:
        """Where levels are drawn, and the undisturbed run among them."""
        rest = _MEANINGS[condition][1]
        found = {
            level
            for (name, _), levels in self._results.items()
            if name == condition
            for level in levels
        }
        ticks = {level: f"{level:g}" for level in sorted(found)}
        if condition == "shots":
            rest = 2 * max(found)
            ticks[rest] = "all"
        elif rest is not None:
            ticks[rest] = "none" if condition == "jpeg" else f"{rest:g}"
        return {
            "rest": rest,
            "ticks": [[level, ticks[level]] for level in sorted(ticks)],
            "log": condition == "shots",
            "falling": condition == "jpeg",
        }

    def _lines(self, condition: str, where: str, category: str | None) -> dict[str, Any]:
        rest = self._axis(condition)["rest"]
        drawn: dict[str, Any] = {}
        for metric in (*METRICS, _ALARMS):
            for detector in self.detectors:
                points = self.points(condition, where, detector, metric, category)
                undisturbed = self.at_rest(detector, metric, category)
                if points and rest is not None and undisturbed is not None:
                    points.setdefault(rest, undisturbed)
                if points:
                    drawn.setdefault(metric, {})[detector] = [
                        [level, *_percents(points[level])] for level in sorted(points)
                    ]
        return drawn

    def worst(self, where: str) -> list[tuple[str, list[Worst]]]:
        """Return for each condition what it does to each detector at its worst level."""
        rows = []
        for name in self.conditions:
            place = where if (name, where) in self._results else "train"
            if (name, place) not in self._results:
                continue
            cells = []
            for detector in self.detectors:
                auroc = self.points(name, place, detector, "image_AUROC")
                alarms = self.points(name, place, detector, _ALARMS)
                cells.append(Worst(_extreme(auroc, min), _extreme(alarms, max)))
            rows.append((name, cells))
        return rows

    def verdict(self) -> list[tuple[str, str]]:
        """Return for each detector a sentence or two on its weakest point."""
        return [(detector, self._weakest(detector)) for detector in self.detectors]

    def _weakest(self, detector: str) -> str:
        place = self.places[0] if self.places else "train"
        changed = [name for name, where in self._results if where == place]
        changed.sort(key=list(_MEANINGS).index)
        said = [
            self._lowest(detector, changed, place),
            self._most_alarms(detector, changed, place),
            self._few(detector),
            self._contaminated(detector),
        ]
        return " ".join(filter(None, said)) or "nothing could be measured."

    def _lowest(self, detector: str, conditions: Sequence[str], where: str) -> str:
        rest = self.at_rest(detector, "image_AUROC")
        of = {name: self.points(name, where, detector, "image_AUROC") for name in conditions}
        worst = [(e.value, name, level) for name, p in of.items() for level, e in p.items()]
        if rest is None or not worst:
            return ""
        value, name, level = min(worst, key=lambda found: found[0])
        if value > rest.value - 0.01:
            return f"image AUROC stays at {_percent(rest.value)} within a point, whatever is done."
        text = (
            f"weakest under {name}: image AUROC falls from {_percent(rest.value)} to"
            f" {_percent(value)} at {level:g}"
        )
        start = _first_below(of[name], level, _MEANINGS[name][1])
        if start is not None and start != level and rest.value >= _LOW:
            text += f", below {_percent(_LOW)} from {start:g} on"
        return f"{text}."

    def _most_alarms(self, detector: str, conditions: Sequence[str], where: str) -> str:
        rest = self.at_rest(detector, _ALARMS)
        found = [
            (estimate.value, name, level)
            for name in conditions
            for level, estimate in self.points(name, where, detector, _ALARMS).items()
        ]
        if rest is None or not found:
            return ""
        value, name, level = max(found, key=lambda one: one[0])
        if value <= rest.value:
            return f"False alarms stay at {_percent(rest.value)} or below."
        return (
            f"False alarms rise most under {name}: from {_percent(rest.value)} to"
            f" {_percent(value)} at {level:g}."
        )

    def _few(self, detector: str) -> str:
        """What the most of few photographs give."""
        points = self.points("shots", "train", detector, "image_AUROC")
        if not points or not self.places:
            return ""
        level = max(points)
        return f"With {level:g} photographs, image AUROC is {_percent(points[level].value)}."

    def _contaminated(self, detector: str) -> str:
        """What the least contamination does to the defects that are found."""
        points = self.points("contamination", "train", detector, "image_hit_rate")
        levels = sorted(level for level in points if level > 0)
        if not levels or 0 not in points:
            return ""
        return (
            f"With {100 * levels[0]:g} % of defects among the photographs learnt from,"
            f" {_percent(points[levels[0]].value)} of defects are found, without"
            f" {_percent(points[0].value)}."
        )


def _first_below(
    points: Mapping[float, Estimate], worst: float, rest: float | None
) -> float | None:
    """The mildest level on the side of the worst from which on all are low."""
    centre = min(points) - 1 if rest is None else rest
    side = sorted(
        (level for level in points if (level > centre) == (worst > centre)),
        key=lambda level: -abs(level - centre),
    )
    first = None
    for level in side:
        if points[level].value >= _LOW:
            break
        first = level
    return first


def _extreme(points: Mapping[float, Estimate], choose: Any) -> str:
    if not points:
        return "–"
    level = choose(points, key=lambda level: points[level].value)
    return f"{100 * points[level].value:.1f} at {level:g}"


def _percents(estimate: Estimate) -> list[float | None]:
    ends = (None, None) if estimate.interval is None else estimate.interval
    return [None if v is None else round(100 * v, 3) for v in (estimate.value, *ends)]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
