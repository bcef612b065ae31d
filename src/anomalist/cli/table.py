"""The table that commands print when they are done."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from anomalist.benchmark import RunRecord, results_frame
from anomalist.report import summary, where_pixels


def print_table(records: list[RunRecord]) -> None:
    """Print the means over seeds, in percent, and what a reader must know."""
    results = results_frame(records)
    frame = summary(results)
    table = Table()
    for column in frame.columns:
        name = column.replace("_", " ")
        table.add_column(name, justify="left" if column in ("detector", "category") else "right")
    previous = None
    for row in frame.itertuples(index=False):
        if previous not in (None, row.detector):
            table.add_section()
        previous = row.detector
        table.add_row(*row)
    console = _console()
    # A pipe has no width; a table cut to 80 columns would lose digits.
    console.width = max(console.width, 240) if not console.is_terminal else console.width
    console.print(table)
    said = where_pixels((r.detector, r.evaluated_at) for r in records)
    several = " (mean ± standard deviation over seeds)" if results["seed"].nunique() > 1 else ""
    console.print(f"metrics in percent{several}; {said[0].lower()}{said[1:].rstrip('.')}")
    for note in dict.fromkeys(f"{r.category}: {note}" for r in records for note in r.notes):
        console.print(note, soft_wrap=True, markup=False)


def print_summary(records: list[RunRecord], out: Path) -> None:
    """Print the table of a results folder, and where its files are."""
    print_table(records)
    _console().print(
        f"report: {out.resolve() / 'report.html'}\nresults: {out.resolve()} (results.csv, .parquet,"
        " .json, .md, .tex; metrics and heatmaps in a folder a detector)",
        soft_wrap=True,
        markup=False,
    )


def _console() -> Console:
    return Console(highlight=False)
