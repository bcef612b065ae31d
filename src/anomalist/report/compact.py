"""Tables for a paper: a table a metric, detectors as rows, categories as columns, winners bold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from anomalist.files import write_text
from anomalist.metrics import CALIBRATED_NAMES, METRIC_NAMES, is_own
from anomalist.report.latex import LATEX, ampersand, latex_cell
from anomalist.report.markdown import to_markdown
from anomalist.report.runs import Results
from anomalist.report.summary import headline_others, where_pixels
from anomalist.report.titles import UNRANKED, metric_text, metric_title

# Beyond so many categories, a page has room for their names upright only, and for means alone.
_MANY = 6
_BOLD = (
    "Bold is the best of its column where it can be told from all others: in image AUROC by"
    " DeLong's test on the same images, held to 5 % over the column's comparisons by Holm's method,"
    " in other metrics where 95 % intervals are apart. Where none can, none is bold; false alarms,"
    " oracles and one's own metrics aren't ranked."
)


@dataclass(frozen=True)
class CompactCell:
    """A mean over seeds as it is printed, its deviation where there are several, whether it leads.

    Parameters
    ----------
    value, deviation : str
        Texts; a dash stands for what is undefined, nothing for the deviation of one seed.
    best : bool
        Whether it is the best of its column, told from all others.
    """

    value: str
    deviation: str = ""
    best: bool = False


@dataclass(frozen=True)
class CompactTable:
    """One metric of all detectors in all categories.

    Parameters
    ----------
    metric : str
        As columns of ``results.csv`` call it.
    columns : tuple of str
        The categories, and where there are several with this metric of every detector ``mean``, or
        ``mean of N`` where these aren't all.
    rows : tuple of (str, tuple of CompactCell)
        Each detector's name and cells.
    """

    metric: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[CompactCell, ...]], ...]


def compact_tables(results: Results) -> list[CompactTable]:
    """Return a table of each metric that at least one run has.

    Parameters
    ----------
    results : Results
        Runs of any detectors, categories and seeds.

    Returns
    -------
    list of CompactTable
    """
    others = headline_others(dict.fromkeys(n for run in results.runs for n in run.metrics))
    names = (*METRIC_NAMES, *CALIBRATED_NAMES, *others)
    return [table for name in names if (table := _table(results, name)) is not None]


def _table(results: Results, metric: str) -> CompactTable | None:
    known = {
        (detector, category): results.estimate(detector, metric, [category])
        for detector in results.detectors
        for category in results.categories
    }
    if not any(known.values()):
        return None
    columns = {category: [category] for category in results.categories}
    # A mean over other categories than its neighbour's would look better or worse than it is.
    common = [c for c in results.categories if all(known[d, c] for d in results.detectors)]
    if len(common) > 1:
        all_of_them = len(common) == len(results.categories)
        columns["mean" if all_of_them else f"mean of {len(common)}"] = common
    cells: dict[str, list[CompactCell]] = {detector: [] for detector in results.detectors}
    for of in columns.values():
        ahead = [] if metric in UNRANKED or is_own(metric) else results.ahead(metric, of)
        for detector, row in cells.items():
            estimate = results.estimate(detector, metric, of)
            if estimate is None:
                row.append(CompactCell("–"))
                continue
            deviation = estimate.deviation
            row.append(
                CompactCell(
                    metric_text(metric, estimate.value),
                    "" if deviation is None else metric_text(metric, deviation),
                    ahead == [detector],
                )
            )
    rows = tuple((detector, tuple(row)) for detector, row in cells.items())
    return CompactTable(metric, tuple(columns), rows)


def write_compact(results: Results, out: str | Path) -> None:
    """Write ``compact.md`` and ``compact.tex`` into a results folder.

    Parameters
    ----------
    results : Results
        Runs of any detectors, categories and seeds.
    out : str or Path
        The results folder.
    """
    tables, remarks = compact_tables(results), _remarks(results)
    parts = [f"### {metric_title(t.metric)}\n\n{_markdown(t)}" for t in tables]
    write_text(Path(out) / "compact.md", "\n".join([*parts, " ".join(remarks) + "\n"]))
    write_text(Path(out) / "compact.tex", compact_latex(tables, remarks))


def _remarks(results: Results) -> list[str]:
    """What a reader of the tables must know."""
    said = ["Metrics are in percent, one's own as they are."]
    if len(results.seeds) > 1:
        said.append(
            f"± is the standard deviation over {len(results.seeds)} seeds; of a mean, that of the"
            " seeds' means."
        )
    if len(results.detectors) > 1:
        said.append(_BOLD)
    return [*said, where_pixels((run.detector, run.evaluated_at) for run in results.runs)]


def _markdown(table: CompactTable) -> str:
    rows = []
    for detector, cells in table.rows:
        row = {"detector": detector}
        for column, cell in zip(table.columns, cells, strict=True):
            value = f"**{cell.value}**" if cell.best else cell.value
            row[column] = f"{value} ± {cell.deviation}" if cell.deviation else value
        rows.append(row)
    return to_markdown(pd.DataFrame(rows))


def compact_latex(tables: Sequence[CompactTable], remarks: Sequence[str] = ()) -> str:
    r"""Return tables as LaTeX for the packages booktabs and graphicx, none wider than a line.

    Of more than six categories, names stand upright, and deviations beside the mean alone.

    Examples
    --------
    >>> rows = (("dfm", (CompactCell("99.10", "0.20", True),)), ("spade", (CompactCell("–"),)))
    >>> print(compact_latex([CompactTable("image_AUROC", ("bottle",), rows)]))
    % Needs the packages booktabs and graphicx.
    % Image AUROC
    \noindent\begingroup\small\setlength{\tabcolsep}{3pt}%
    \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%
    \begin{tabular}{lr}
    \toprule
    Image AUROC & bottle \\
    \midrule
    dfm & \textbf{99.10}{\scriptsize\,$\pm$\,0.20} \\
    spade & -- \\
    \bottomrule
    \end{tabular}}\endgroup
    <BLANKLINE>
    """
    head = ["% Needs the packages booktabs and graphicx.", *(f"% {line}" for line in remarks)]
    parts = [_latex(table) for table in tables]
    return "\n".join(["\n".join(head), *parts])


def _latex(table: CompactTable) -> str:
    title = metric_title(table.metric).translate(LATEX)
    many = sum(not column.startswith("mean") for column in table.columns) > _MANY
    names = [column.translate(LATEX) for column in table.columns]
    if many:
        names = [rf"\rotatebox{{90}}{{{name}}}" for name in names]
    lines = [
        f"% {metric_title(table.metric)}",
        r"\noindent\begingroup\small\setlength{\tabcolsep}{3pt}%",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * len(names)}}}",
        r"\toprule",
        ampersand([title, *names]),
        r"\midrule",
    ]
    for detector, cells in table.rows:
        row = [detector.translate(LATEX)]
        for column, cell in zip(table.columns, cells, strict=True):
            with_deviation = cell.deviation and (not many or column.startswith("mean"))
            value = cell.value.translate(LATEX)
            value = rf"\textbf{{{value}}}" if cell.best else value
            deviation = latex_cell(f" ± {cell.deviation}") if with_deviation else ""
            row.append(value + deviation)
        lines.append(ampersand(row))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}\endgroup"]) + "\n"
