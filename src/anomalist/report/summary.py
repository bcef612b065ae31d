"""What the runs of a detector come to: means over seeds, their spread, means over categories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from anomalist.metrics import CALIBRATED_NAMES, METRIC_NAMES, other_metrics
from anomalist.report.titles import spread_text

_METRICS = (*METRIC_NAMES, *CALIBRATED_NAMES)
_COSTS = ("fit_seconds", "images_per_second", "peak_memory_mb")
CALIBRATED_TITLES = {
    "image_F1_calibrated": "F1 calibrated",
    "image_false_alarm_rate": "false alarms",
}
_MEAN = "mean"
_SIZES = {
    "original": "at the size of each mask",
    "input": "at the resolution of the detector's input",
}


def where_pixels(runs: Iterable[tuple[str, str]]) -> str:
    """Say in one line where pixels were compared, of runs' detectors and ``evaluated_at``.

    Examples
    --------
    >>> where_pixels([("padim", "original"), ("patchcore", "original")])
    'Pixel metrics are at the size of each mask.'
    >>> where_pixels([("padim", "original"), ("small", "input")])
    "Pixel metrics aren't comparable: those of padim are at the size of each mask; those of small
     are at the resolution of the detector's input."
    """
    names: dict[str, dict[str, None]] = {}
    for detector, at in runs:
        names.setdefault(_SIZES.get(at, at), {})[detector] = None
    if len(names) == 1:
        return f"Pixel metrics are {next(iter(names))}."
    whose = [f"those of {', '.join(of)} are {where}" for where, of in names.items()]
    return f"Pixel metrics aren't comparable: {'; '.join(whose)}."


def evaluated_at(results: pd.DataFrame) -> pd.Series[str]:
    """Return where each run's pixels were compared: ``input``, unless a column says otherwise."""
    if "evaluated_at" not in results:
        return pd.Series("input", index=results.index)
    return results["evaluated_at"]


def category_metrics(runs: pd.DataFrame) -> dict[str, float | str | None]:
    """Return the mean of each metric over the seeds of one detector and category.

    Metrics that a run doesn't have are None, and those that none of them has and only some data
    sets or requests do aren't there. With several seeds, the sample standard deviation
    stands beside it as ``<metric>_std``. What the best epoch on the test set would have given
    stands there too, as ``oracle_...``, where it was measured. ``evaluated_at`` says where pixels
    were compared.

    Examples
    --------
    >>> runs = pd.DataFrame({name: [0.5, 1.0] for name in METRIC_NAMES})
    >>> category_metrics(runs)["pixel_PRO"], category_metrics(runs[:1]).get("pixel_PRO_std")
    (0.75, None)
    """
    values: dict[str, float | str | None] = {}
    oracle = [name for name in runs.columns if name.startswith("oracle_")]
    others = [*other_metrics(runs.columns), *oracle]
    for name in (*_METRICS, *(n for n in others if runs[n].notna().any())):
        column = _numbers(runs, name)
        known = bool(column.notna().all())
        values[name] = float(column.mean()) if known else None
        if len(runs) > 1:
            values[f"{name}_std"] = float(column.std()) if known else None
    if "evaluated_at" in runs:
        values["evaluated_at"] = str(runs["evaluated_at"].iloc[0])
    return values


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Return the table that people read: detector and category, metrics in percent, cost.

    Of metrics that only some data sets or requests have, those stand there that at least one run
    has; of sPRO, that up to a false positive rate of 0.05.

    Metrics are means over seeds, followed by ± their sample standard deviation where there are
    several. With several categories, a row a detector holds the mean over categories. ``F1
    calibrated`` and ``false alarms`` are those of images at the threshold that good training images
    gave. A dash stands for what is undefined, or was in one of the runs.

    Parameters
    ----------
    results : DataFrame
        One row a detector, category and seed.

    Returns
    -------
    DataFrame of str
    """
    rows: list[dict[str, Any]] = []
    others = headline_others(n for n in results.columns if results[n].notna().any())
    metrics = (*_METRICS, *others)
    for detector, of_detector in results.groupby("detector", sort=True):
        for category, runs in of_detector.groupby("category", sort=True):
            rows.append({"detector": detector, "category": category, **_cells(runs, others)})
        if of_detector["category"].nunique() > 1:
            values = pd.DataFrame({n: _numbers(of_detector, n) for n in (*metrics, *_COSTS)})
            if evaluated_at(of_detector).nunique() > 1:
                values[[n for n in metrics if n.startswith("pixel_")]] = float("nan")
            # Seeds first, so that a category with more of them doesn't weigh more.
            by_seed = values.groupby(of_detector["seed"]).mean(skipna=False)
            rows.append({"detector": detector, "category": _MEAN, **_cells(by_seed, others)})
    return pd.DataFrame(rows)


def headline_others(columns: Iterable[str]) -> list[str]:
    """Return the metrics of some runs alone that have room in a table for people.

    Examples
    --------
    >>> headline_others(["pixel_AUPIMO", "pixel_sPRO_0.3_mean", "pixel_sPRO_0.05_mean"])
    ['pixel_AUPIMO', 'pixel_sPRO_0.05_mean']
    """
    return [n for n in other_metrics(columns) if "sPRO" not in n or "_0.05_" in n]


def _cells(runs: pd.DataFrame, others: Iterable[str]) -> dict[str, str]:
    cells = {}
    for name in (*METRIC_NAMES, *others, *CALIBRATED_TITLES):
        column = _numbers(runs, name)
        title = CALIBRATED_TITLES.get(name, name)
        if column.isna().any():
            cells[title] = "–"
        else:
            deviation = float(column.std()) if len(column) > 1 else None
            cells[title] = spread_text(name, float(column.mean()), deviation)
    fit, speed, memory = (_numbers(runs, name).mean() for name in _COSTS)
    return {
        **cells,
        "fit s": f"{fit:.1f}",
        "images/s": f"{speed:.1f}",
        "peak MB": f"{memory:.0f}",
    }


def _numbers(runs: pd.DataFrame, name: str) -> pd.Series[float]:
    """A column as numbers, NaN where undefined or missing."""
    if name not in runs:
        return pd.Series(float("nan"), index=runs.index)
    return runs[name].astype(float)
