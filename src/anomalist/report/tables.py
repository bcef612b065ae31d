"""Tables of results: per run, per category with spread, and averages, in four formats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from anomalist.files import atomic_path, write_text
from anomalist.metrics import CALIBRATED_NAMES, METRIC_NAMES, other_metrics

_METRICS = (*METRIC_NAMES, *CALIBRATED_NAMES)
_COSTS = ("fit_seconds", "images_per_second", "peak_memory_mb")
_SECONDS = ("fit_seconds", "calibrate_seconds", "predict_seconds")
_CALIBRATED = {"image_F1_calibrated": "F1 calibrated", "image_false_alarm_rate": "false alarms"}
_MEAN = "mean"
_SIZES = {
    "original": "at the size of each mask",
    "input": "at the resolution of the detector's input",
}


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
    sizes = where_pixels(zip(results["detector"], _evaluated_at(results), strict=True))
    write_text(out / "results.md", f"{to_markdown(table)}\n{sizes}\n")
    write_text(out / "results.tex", _tables_for_a_paper(table, sizes))


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


def _evaluated_at(results: pd.DataFrame) -> pd.Series[str]:
    if "evaluated_at" not in results:
        return pd.Series("input", index=results.index)
    return results["evaluated_at"]


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
            if _evaluated_at(of_detector).nunique() > 1:
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
    for name in (*METRIC_NAMES, *others, *_CALIBRATED):
        column = _numbers(runs, name)
        title = _CALIBRATED.get(name, name)
        if column.isna().any():
            cells[title] = "–"
        elif len(column) > 1:
            cells[title] = f"{100 * column.mean():.2f} ± {100 * column.std():.2f}"
        else:
            cells[title] = f"{100 * column.mean():.2f}"
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
    r"""Return a table as LaTeX for the booktabs package, each detector's rows below its name.

    Examples
    --------
    >>> row = {"detector": "patchcore", "category": "bottle", "image_AUROC": "99.1 ± 0.2"}
    >>> print(to_latex(pd.DataFrame([row])))
    \begingroup\small\setlength{\tabcolsep}{3pt}
    \begin{tabular}{lr}
    \toprule
     & image \\
    category & AUROC \\
    \midrule
    \multicolumn{2}{l}{\textit{patchcore}} \\
    bottle & 99.1{\scriptsize\,$\pm$\,0.2} \\
    \bottomrule
    \end{tabular}\endgroup
    <BLANKLINE>
    """
    columns = [name for name in table.columns if name != "detector"]
    kinds = "".join("l" if name == "category" else "r" for name in columns)
    lines = [
        r"\begingroup\small\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        *_head(columns),
        r"\midrule",
    ]
    previous = None
    for row in table.to_dict("records"):
        detector = row.get("detector")
        if detector != previous:
            lines += [r"\midrule"] if previous is not None else []
            name = str(detector).translate(_LATEX)
            lines.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\textit{{{name}}}}} \\")
            previous = detector
        lines.append(_ampersand(_latex_cell(row[name]) for name in columns))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}\endgroup"]) + "\n"


def _tables_for_a_paper(table: pd.DataFrame, sizes: str) -> str:
    """Metrics of images, metrics of pixels, and costs: all of them side by side are too wide."""
    rows = ["detector", "category"]
    calibrated = list(_CALIBRATED.values())
    image = [name for name in table.columns if name.startswith("image_")] + calibrated
    pixel = [name for name in table.columns if name.startswith("pixel_")]
    cost = [name for name in table.columns if name not in (*rows, *image, *pixel)]
    parts = [
        "% Needs the package booktabs. Metrics are in percent, with their standard deviation over\n"
        f"% seeds where there are several. {sizes}\n"
    ]
    parts += [to_latex(table[rows + columns]) for columns in (image, pixel, cost)]
    return "\n".join(parts)


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


def _head(names: list[str]) -> list[str]:
    """The heads of the columns, in two lines where one of them has two words or more."""
    heads = [name.replace("_", " ").translate(_LATEX).partition(" ") for name in names]
    upper = [first if rest else "" for first, _, rest in heads]
    lower = [rest or first for first, _, rest in heads]
    return [_ampersand(line) for line in (upper, lower) if any(line)]


def _latex_cell(cell: str) -> str:
    mean, plus_minus, deviation = (part.translate(_LATEX) for part in cell.partition(" ± "))
    return rf"{mean}{{\scriptsize\,$\pm$\,{deviation}}}" if plus_minus else mean


def _ampersand(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
