"""What others published of the same detectors and categories, beside what was measured here."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anomalist.report.metric_tables import MEAN, Cell, cell
from anomalist.report.phrases import listed, percent
from anomalist.report.runs import Results
from anomalist.report.titles import METRIC_TITLES, ORACLE_TITLES


@dataclass(frozen=True)
class PublishedTable:
    """Published numbers of one category, detector by detector, below those measured here."""

    name: str
    columns: list[str]
    groups: list[tuple[str, tuple[str, list[Cell]], list[tuple[str, list[Cell], str, str]]]]


def published_tables(
    results: Results, numbers: Sequence[Mapping[str, Any]]
) -> list[PublishedTable]:
    """Return a table of the mean and one a category that others published numbers of.

    Parameters
    ----------
    results : Results
        What was measured here.
    numbers : sequence of mapping
        As `anomalist.report.write_report` takes them.
    """
    titles = {**METRIC_TITLES, **ORACLE_TITLES}
    found: dict[tuple[str, ...], dict[str, dict[str, float]]] = {}
    for number in numbers:
        run_name = tuple(
            number.get(key) or "" for key in ("detector", "backbone", "source", "note")
        )
        of_run = found.setdefault(run_name, {})
        of_run.setdefault(number["category"], {})[number["metric"]] = number["value"]
    named = {category for of_run in found.values() for category in of_run} - {MEAN}
    methods = {detector: results.method(detector) for detector in results.detectors}
    found = {name: of_run for name, of_run in found.items() if name[0] in methods.values()}
    tables = []
    means = [MEAN] if len(results.shared) > 1 else []
    for category in (*means, *results.categories):
        of = results.shared if category == MEAN else [category]
        values = {name: _theirs(of_run, of, named) for name, of_run in found.items()}
        columns = [m for m in titles if any(m in known for known in values.values())]
        groups = []
        for detector in results.detectors:
            theirs = [
                (backbone, [Cell(percent(known.get(m))) for m in columns], source, note)
                for (method, backbone, source, note), known in values.items()
                if known and method == methods[detector]
            ]
            if not theirs:
                continue
            cells = [cell(results.estimate(detector, m, of)) for m in columns]
            backbones = sorted({run.backbone for c in of for run in results.of(detector, c)})
            groups.append((detector, (listed(backbones), cells), theirs))
        if groups:
            title = f"mean over {len(of)} categories" if category == MEAN else category
            tables.append(PublishedTable(title, [titles[m] for m in columns], groups))
    return tables


def _theirs(
    of_run: Mapping[str, Mapping[str, float]], categories: Sequence[str], named: set[str]
) -> dict[str, float]:
    """A published run's metrics on the same categories as ours, where that can be told."""
    if len(categories) > 1 and named and named <= set(categories):
        return dict(of_run.get(MEAN, {}))
    known = [of_run.get(category, {}) for category in categories]
    metrics = [m for m in known[0] if all(m in values for values in known)]
    return {m: statistics.fmean(values[m] for values in known) for m in metrics}
