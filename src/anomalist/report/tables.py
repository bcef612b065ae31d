"""Tables of results: per run, per category with spread, and averages, in four formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from anomalist.files import write_text
from anomalist.metrics import METRIC_NAMES

_COSTS = ("fit_seconds", "images_per_second", "peak_memory_mb")
_MEAN = "mean"


def write_tables(results: pd.DataFrame, out: str | Path) -> None:
    """Write all tables of a benchmark's results.

    ``results.csv`` and ``results.json`` hold a row a run; ``results.md`` and ``results.tex`` the
    means over seeds with their standard deviation; ``<detector>/<category>_metrics.json`` and
    ``.csv`` the metrics of one category.

    Parameters
    ----------
    results : DataFrame
        One row a detector, category and seed, with the columns of ``results.csv``.
    out : str or Path
        The results folder.
    """
    out = Path(out)
    write_text(out / "results.csv", results.to_csv(index=False))
    rows = json.loads(results.to_json(orient="records", double_precision=15))
    write_text(out / "results.json", json.dumps(rows, indent=1) + "\n")
    for (detector, category), runs in results.groupby(["detector", "category"]):
        values = category_metrics(runs)
        folder = out / str(detector)
        text = json.dumps(values, indent=2, allow_nan=False) + "\n"
        write_text(folder / f"{category}_metrics.json", text)
        lines = [f"{k},{'' if v is None else repr(v)}" for k, v in values.items()]
        write_text(folder / f"{category}_metrics.csv", "\n".join(["metric,value", *lines]) + "\n")
    table = summary(results)
    write_text(out / "results.md", to_markdown(table))
    write_text(out / "results.tex", to_latex(table))


def category_metrics(runs: pd.DataFrame) -> dict[str, float | None]:
    """Return the mean of each metric over the seeds of one detector and category.

    With several seeds, the sample standard deviation stands beside it as ``<metric>_std``. What the
    best epoch on the test set would have given stands there too, as ``oracle_...``, where it was
    measured.

    Examples
    --------
    >>> runs = pd.DataFrame({name: [0.5, 1.0] for name in METRIC_NAMES})
    >>> category_metrics(runs)["pixel_PRO"], category_metrics(runs[:1]).get("pixel_PRO_std")
    (0.75, None)
    """
    values: dict[str, float | None] = {}
    oracle = [name for name in runs.columns if name.startswith("oracle_")]
    for name in (*METRIC_NAMES, *(n for n in oracle if runs[n].notna().any())):
        column = pd.to_numeric(runs[name])
        known = bool(column.notna().all())
        values[name] = float(column.mean()) if known else None
        if len(runs) > 1:
            values[f"{name}_std"] = float(column.std()) if known else None
    return values


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Return the table that people read: detector and category, metrics in percent, cost.

    Metrics are means over seeds, followed by ± their sample standard deviation where there are
    several. With several categories, a row a detector holds the mean over categories.

    Parameters
    ----------
    results : DataFrame
        One row a detector, category and seed.

    Returns
    -------
    DataFrame of str
    """
    rows: list[dict[str, Any]] = []
    for detector, of_detector in results.groupby("detector", sort=True):
        for category, runs in of_detector.groupby("category", sort=True):
            rows.append({"detector": detector, "category": category, **_cells(runs)})
        if of_detector["category"].nunique() > 1:
            numeric = [*METRIC_NAMES, *_COSTS]
            values = of_detector[numeric].apply(pd.to_numeric)
            # Seeds first, so that a category with more of them doesn't weigh more.
            by_seed = values.groupby(of_detector["seed"]).mean()
            rows.append({"detector": detector, "category": _MEAN, **_cells(by_seed)})
    return pd.DataFrame(rows)


def _cells(runs: pd.DataFrame) -> dict[str, str]:
    cells = {}
    for name in METRIC_NAMES:
        column = pd.to_numeric(runs[name])
        if column.isna().any():
            cells[name] = "–"
        elif len(column) > 1:
            cells[name] = f"{100 * column.mean():.2f} ± {100 * column.std():.2f}"
        else:
            cells[name] = f"{100 * column.mean():.2f}"
    fit, speed, memory = (pd.to_numeric(runs[name]).mean() for name in _COSTS)
    return {
        **cells,
        "fit s": f"{fit:.1f}",
        "images/s": f"{speed:.1f}",
        "peak MB": f"{memory:.0f}",
    }


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown.

    Examples
    --------
    >>> print(to_markdown(pd.DataFrame({"detector": ["patchcore"], "fit s": ["1.5"]})))
    | detector | fit s |
    |---|---|
    | patchcore | 1.5 |
    <BLANKLINE>
    """
    lines = [_pipe(table.columns), "|" + "---|" * len(table.columns)]
    lines += [_pipe(row) for row in table.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def _pipe(cells: Any) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def to_latex(table: pd.DataFrame) -> str:
    r"""Return a table as LaTeX for the booktabs package.

    Examples
    --------
    >>> print(to_latex(pd.DataFrame({"image_AUROC": ["99.1 ± 0.2"]})))
    \begin{tabular}{l}
    \toprule
    image AUROC \\
    \midrule
    99.1 $\pm$ 0.2 \\
    \bottomrule
    \end{tabular}
    <BLANKLINE>
    """
    columns = "ll"[: len(table.columns)] + "r" * (len(table.columns) - 2)
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
    lines += [_ampersand([str(c).replace("_", " ") for c in table.columns]), "\\midrule"]
    previous = None
    for row in table.itertuples(index=False):
        if previous is not None and row[0] != previous:
            lines.append("\\midrule")
        previous = row[0]
        lines.append(_ampersand(row))
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "_": r"\_",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "–": "--",
    }
)


def _ampersand(cells: Any) -> str:
    return " & ".join(str(cell).translate(_LATEX) for cell in cells) + r" \\"
