"""Metrics as tables for people: detectors or categories as lines, with intervals and costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anomalist.metrics import is_own
from anomalist.report.phrases import alphas, ends, number
from anomalist.report.runs import Estimate, Results
from anomalist.report.summary import headline_others
from anomalist.report.titles import METRIC_TITLES, ORACLE_TITLES, UNRANKED, metric_title

_HEADLINE = (
    "image_AUROC",
    "pixel_PRO",
    "pixel_AUROC",
    "image_F1_calibrated",
    "image_false_alarm_rate",
)
_COSTS = {
    "fit_seconds": "Fit, s",
    "calibrate_seconds": "Calibrate, s",
    "images_per_second": "Images/s",
    "peak_memory_mb": "Peak MB",
}
MEAN = "mean"
"""What the line over all categories is called."""


@dataclass(frozen=True)
class Cell:
    """A metric as it is printed: in percent, with its interval and its spread over seeds."""

    value: str
    interval: str = ""
    deviation: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table: its heading, the cells of its metrics and what it cost."""

    name: str
    cells: list[Cell]
    costs: list[str]


@dataclass(frozen=True)
class Table:
    """Metrics, a line a detector or a category."""

    name: str
    columns: list[str]
    costs: list[str]
    rows: list[Row]


def overview(results: Results) -> Table:
    """Return the few metrics that are read first, means over shared categories, leaders marked."""
    titles = {name: METRIC_TITLES[name] for name in _HEADLINE} | _others(results)
    return by_detector(results, "Summary", titles, results.shared, marks=True)


def all_titles(results: Results) -> dict[str, str]:
    """Return the titles of all metrics, those that the test set has chosen last."""
    return {**METRIC_TITLES, **_others(results), **oracle_titles(results)}


def oracle_titles(results: Results) -> dict[str, str]:
    """Return the titles of the metrics that the test set has chosen, as far as there are any."""
    return {n: t for n, t in ORACLE_TITLES.items() if _any(results, n, results.categories)}


def _others(results: Results) -> dict[str, str]:
    """Titles of the metrics that only some runs have."""
    known = headline_others(dict.fromkeys(n for run in results.runs for n in run.metrics))
    names = [name for name in known if not is_own(name)]  # of which the unit isn't known
    return {name: metric_title(name) for name in names}


def by_detector(
    results: Results,
    name: str,
    metrics: Mapping[str, str],
    categories: Sequence[str],
    *,
    marks: bool = False,
) -> Table:
    """Return a line a detector, a column a metric that at least one detector has.

    Where thresholds were set for several false-alarm rates, each line tells its own.
    """
    columns = {n: title for n, title in metrics.items() if _any(results, n, categories)}
    ahead = {n: results.ahead(n) if marks and n not in UNRANKED else [] for n in columns}
    several = len(results.targets) > 1
    rows = []
    for detector in by_accuracy(results, categories):
        runs = [run for category in categories for run in results.of(detector, category)]
        if not runs:
            continue
        cells = [
            cell(results.estimate(detector, n, categories), _mark(detector, ahead[n], results))
            for n in columns
        ]
        costs = [number(results.cost(detector, cost, categories)) for cost in _COSTS]
        rows.append(Row(detector, cells, [alphas(runs), *costs] if several else costs))
    costs = ["Alpha, %", *_COSTS.values()] if several else list(_COSTS.values())
    return Table(name, list(columns.values()), costs, rows)


def by_accuracy(results: Results, categories: Sequence[str]) -> list[str]:
    """Return detectors, the highest image AUROC first."""

    def key(detector: str) -> float:
        estimate = results.estimate(detector, "image_AUROC", categories)
        return math.inf if estimate is None else -estimate.value

    return sorted(results.detectors, key=key)


def by_metric(results: Results, metrics: Mapping[str, str]) -> list[Table]:
    """Return a table a metric: a line a category and the mean, a column a detector."""
    if len(results.categories) < 2:
        return []
    tables = []
    for name, title in metrics.items():
        if not _any(results, name, results.categories):
            continue
        lines = [(category, [category]) for category in results.categories]
        if results.shared:
            lines.append((MEAN, results.shared))
        rows = [
            Row(line, [cell(results.estimate(d, name, of)) for d in results.detectors], [])
            for line, of in lines
        ]
        tables.append(Table(title, results.detectors, [], rows))
    return tables


def cell(estimate: Estimate | None, mark: str = "") -> Cell:
    """Return a metric as a cell; a dash where it couldn't be measured.

    Examples
    --------
    >>> cell(Estimate(0.9, (0.85, 0.95), 0.01))
    Cell(value='90.00', interval='85.0 to 95.0', deviation='± 1.00', mark='')
    """
    if estimate is None:
        return Cell("–")
    interval = "" if estimate.interval is None else ends(estimate.interval)
    deviation = "" if estimate.deviation is None else f"± {100 * estimate.deviation:.2f}"
    return Cell(f"{100 * estimate.value:.2f}", interval, deviation, mark)


def _any(results: Results, metric: str, categories: Sequence[str]) -> bool:
    return any(results.estimate(d, metric, categories) for d in results.detectors)


def _mark(detector: str, ahead: list[str], results: Results) -> str:
    if detector not in ahead or len(ahead) == len(results.detectors):
        return ""
    return "best" if len(ahead) == 1 else "tied"
