"""The first figure of a report: how well each detector tells images apart, how surely, how fast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from anomalist.digits import shown
from anomalist.report import failures
from anomalist.report.metric_tables import by_accuracy
from anomalist.report.phrases import ends, percent
from anomalist.report.runs import Results
from anomalist.report.titles import METRIC_TITLES

# What the figure ranks by: the first of these that every detector has.
_METRICS = ("image_AUROC", "pixel_PRO", "pixel_AUROC")
_MOST_TICKS = 5


@dataclass(frozen=True)
class Line:
    """A detector in the figure; places are percent of its width.

    Parameters
    ----------
    name, colour : str
        Of the detector.
    value, interval : str
        The metric in percent, as text.
    place : float
        Of the metric.
    low, high : float or None
        Places of the ends of its interval.
    categories : list of (str, float)
        Where there are several: what each is, with its value, and its place.
    hits, alarms, milliseconds : str
        Defects found and false alarms in percent, and the time of an image.
    share : float
        Of the longest time, in percent.
    """

    name: str
    colour: str
    value: str
    interval: str
    place: float
    low: float | None
    high: float | None
    categories: list[tuple[str, float]]
    hits: str
    alarms: str
    milliseconds: str
    share: float


@dataclass(frozen=True)
class Ranking:
    """Detectors, the best first, on one scale."""

    metric: str
    ticks: list[tuple[str, float]]
    lines: list[Line]


def ranking(results: Results, styles: Mapping[str, Mapping[str, str]]) -> Ranking | None:
    """Return what the figure shows; None where there is nothing that all detectors have."""
    for metric in _METRICS:
        estimates = {d: results.estimate(d, metric) for d in results.detectors}
        known = {d: e for d, e in estimates.items() if e is not None}
        if len(known) == len(results.detectors):
            break
    else:
        return None
    of_category = {
        detector: {
            category: estimate.value
            for category in results.shared
            if len(results.shared) > 1
            and (estimate := results.estimate(detector, metric, [category])) is not None
        }
        for detector in known
    }
    lowest = min(
        [e.interval[0] if e.interval else e.value for e in known.values()]
        + [value for values in of_category.values() for value in values.values()]
    )
    start, ticks = scale(100 * lowest)

    def place(value: float) -> float:
        return round(min(max(100 * (100 * value - start) / (100 - start), 0), 100), 2)

    found = failures.overall(results).recall
    speeds = {d: results.cost(d, "images_per_second") or 0 for d in known}
    times = {d: 1000 / speed if speed > 0 else math.nan for d, speed in speeds.items()}
    longest = max((time for time in times.values() if not math.isnan(time)), default=1)
    order = [d for d in by_accuracy(results, results.shared) if d in known]
    if metric != "image_AUROC":
        order.sort(key=lambda d: -known[d].value)
    lines = []
    for detector in order:
        estimate, alarms = known[detector], results.estimate(detector, "image_false_alarm_rate")
        interval = estimate.interval
        lines.append(
            Line(
                name=detector,
                colour=styles[detector]["colour"],
                value=percent(estimate.value),
                interval="" if interval is None else ends(interval),
                place=place(estimate.value),
                low=None if interval is None else place(interval[0]),
                high=None if interval is None else place(interval[1]),
                categories=[
                    (f"{category}: {percent(value)} %", place(value))
                    for category, value in of_category[detector].items()
                ],
                hits=percent(found[detector].images, 1),
                alarms=percent(None if alarms is None else alarms.value, 1),
                milliseconds=shown(times[detector], 3),
                share=0 if math.isnan(times[detector]) else 100 * times[detector] / longest,
            )
        )
    marks = [(f"{tick:g}", place(tick / 100)) for tick in ticks]
    return Ranking(METRIC_TITLES[metric], marks, lines)


def scale(lowest: float) -> tuple[float, list[float]]:
    """Return where an axis up to 100 begins, and its ticks, that it holds ``lowest``.

    Examples
    --------
    >>> scale(91.3)
    (90.0, [90.0, 92.5, 95.0, 97.5, 100.0])
    >>> scale(99.97)[0], scale(-3)[0]
    (99.9, 0.0)
    """
    lowest = min(max(lowest, 0), 99.9)
    for power in (0.1, 1, 10):
        for step in (0.25 * power, 0.5 * power, power, 2 * power, 2.5 * power):
            count = math.ceil(round((100 - lowest) / step, 9))
            if count < _MOST_TICKS:
                return _ticks(step, max(count, 2))
    return _ticks(25, 4)


def _ticks(step: float, count: int) -> tuple[float, list[float]]:
    ticks = [round(100 - step * i, 9) for i in range(count, -1, -1)]
    return ticks[0], ticks
