"""The files of a benchmark's results: a row a run, metrics a category, averages, four formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from anomalist.files import atomic_path, write_text
from anomalist.metrics import CALIBRATED_NAMES, METRIC_NAMES, is_own, other_metrics
from anomalist.report.latex import to_latex
from anomalist.report.markdown import to_markdown
from anomalist.report.summary import (
    CALIBRATED_TITLES,
    category_metrics,
    evaluated_at,
    summary,
    where_pixels,
)

_METRICS = (*METRIC_NAMES, *CALIBRATED_NAMES)
_COSTS = ("fit_seconds", "images_per_second", "peak_memory_mb")
_SECONDS = ("fit_seconds", "calibrate_seconds", "predict_seconds")


def write_tables(results: pd.DataFrame, out: str | Path) -> None:
    """Write all tables of a benchmark's results.

    ``results.csv``, ``results.parquet`` and ``results.json`` hold a row a run; ``results.md`` and
    ``results.tex`` the means over seeds with their standard deviation;
    ``<detector>/<category>_metrics.json`` and ``.csv`` the metrics of one category.

    Parameters
    ----------
    results : DataFrame
        One row a detector, category and seed, with the columns of ``results.csv``.
    out : str or Path
        The results folder.
    """
    out = Path(out)
    write_text(out / "results.csv", results.to_csv(index=False))
    numbers = (*_METRICS, *other_metrics(results.columns), *_COSTS, *_SECONDS)
    numeric = [n for n in results.columns if n in numbers or n.startswith("oracle_")]
    with atomic_path(out / "results.parquet") as temporary:
        # A column whose values are all missing has a type too.
        results.astype(dict.fromkeys(numeric, float)).to_parquet(temporary, index=False)
    rows = json.loads(results.to_json(orient="records", double_precision=15))
    write_text(out / "results.json", json.dumps(rows, indent=1) + "\n")
    for (detector, category), runs in results.groupby(["detector", "category"]):
        values = category_metrics(runs)
        folder = out / str(detector)
        text = json.dumps(values, indent=2, allow_nan=False) + "\n"
        write_text(folder / f"{category}_metrics.json", text)
        write_text(folder / f"{category}_metrics.csv", metrics_csv(values))
    table = summary(results)
    sizes = where_pixels(zip(results["detector"], evaluated_at(results), strict=True))
    write_text(out / "results.md", f"{to_markdown(table)}\n{sizes}\n")
    write_text(out / "results.tex", _tables_for_a_paper(table, sizes))


def metrics_csv(values: Mapping[str, float | str | None]) -> str:
    r"""Return metrics as a table of their numbers alone, as every reader of such a table expects.

    Examples
    --------
    >>> metrics_csv({"image_AUROC": 0.5, "pixel_PRO": None, "evaluated_at": "input"})
    'metric,value\nimage_AUROC,0.5\npixel_PRO,\n'
    """
    numbers = {name: value for name, value in values.items() if not isinstance(value, str)}
    lines = [f"{name},{'' if value is None else value}" for name, value in numbers.items()]
    return "\n".join(["metric,value", *lines]) + "\n"


def _tables_for_a_paper(table: pd.DataFrame, sizes: str) -> str:
    """Metrics of images, metrics of pixels, and costs: all of them side by side are too wide."""
    rows = ["detector", "category"]
    calibrated = list(CALIBRATED_TITLES.values())
    own = [name for name in table.columns if is_own(name)]
    image = [name for name in table.columns if name.startswith("image_")] + calibrated
    pixel = [name for name in table.columns if name.startswith("pixel_")]
    cost = [name for name in table.columns if name not in (*rows, *image, *pixel, *own)]
    parts = [
        "% Needs the package booktabs. Metrics are in percent, with their standard deviation over\n"
        f"% seeds where there are several. {sizes}\n"
    ]
    groups = [group for group in (image, pixel, own, cost) if group]
    parts += [to_latex(table[rows + columns]) for columns in groups]
    return "\n".join(parts)
