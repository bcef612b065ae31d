"""The table that commands print when they are done."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from anomalist.benchmark import RunRecord, results_frame, tell_repeats
from anomalist.cli.output import Output
from anomalist.metrics import is_own
from anomalist.report import summary, where_pixels


def print_table(records: list[RunRecord], output: Output) -> None:
    """Print the means over seeds, in percent, and what a reader must know."""
    results = results_frame(records)
    frame = summary(results)
    table = Table()
    for column in frame.columns:
        name = column if is_own(column) else column.replace("_", " ")
        table.add_column(name, justify="left" if column in ("detector", "category") else "right")
    previous = None
    for row in frame.itertuples(index=False):
        if previous not in (None, row.detector):
            table.add_section()
        previous = row.detector
        table.add_row(*row)
    output.result(table)
    said = where_pixels((r.detector, r.evaluated_at) for r in records)
    own = ", one's own as they are" if any(map(is_own, frame.columns)) else ""
    several = " (mean ± standard deviation over seeds)" if results["seed"].nunique() > 1 else ""
    output.result(f"metrics in percent{own}{several}; {said[0].lower()}{said[1:].rstrip('.')}")
    for note in (*tell_repeats(records), *_notes(records)):
        output.result(note)


def print_summary(records: list[RunRecord], out: Path | str, output: Output) -> None:
    """Print the table of a results folder or address, and where its files are."""
    print_table(records, output)
    folder = out if isinstance(out, str) else out.resolve()
    report = f"{folder}/report.html" if isinstance(folder, str) else folder / "report.html"
    output.result(
        f"report: {report}\nresults: {folder} (results.csv, .parquet,"
        " .json, .md, .tex; compact.md and .tex with a table a metric; scores.csv, curves.csv;"
        " metrics and heatmaps in a folder a detector)"
    )
    output.fields |= {
        "results": results_frame(records).to_dict("records"),
        "notes": [*tell_repeats(records), *_notes(records)],
        "out": folder,
        "report": report,
    }


def _notes(records: list[RunRecord]) -> list[str]:
    """What a reader must know, each once."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for note in record.notes:
            found.setdefault(note, {})[record.category] = None
    return [f"{', '.join(categories)}: {note}" for note, categories in found.items()]
