"""Inspections as a table that spreadsheets read, and run nothing of."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from anomalist.server.memory import Record

_OF_INSPECTION = (
    "source", "camera", "name", "sha256", "width", "height",
    "score", "threshold", "alpha", "p_value", "decision", "seconds",
)  # fmt: skip
COLUMNS = (
    "id", "at", "model", "version", *_OF_INSPECTION,
    "verdict", "kind", "note", "judged_at", "judged_by",
)  # fmt: skip

# What a spreadsheet may take for the beginning of a formula, as letters of full width too.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_ROWS = 200


def csv_lines(records: Iterable[Record]) -> Iterator[str]:
    """Give the lines of a CSV file, some at a time, its header first.

    Texts that a spreadsheet would take for a formula begin with an apostrophe, as OWASP advises
    ("CSV injection"): a file's name comes from anyone. Numbers are in full precision.

    Parameters
    ----------
    records : iterable of Record
        Inspections, with the verdicts that hold.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for index, record in enumerate(records, 1):
        writer.writerow([_cell(value) for value in _values(record)])
        if index % _ROWS == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _values(record: Record) -> list[Any]:
    row, verdict = record.inspection, record.verdict
    values = [row.id, row.at.isoformat(), record.model, record.version]
    values += [getattr(row, column) for column in _OF_INSPECTION]
    if verdict is None:
        return values + [None] * (len(COLUMNS) - len(values))
    return [
        *values,
        verdict.verdict,
        verdict.kind,
        verdict.note,
        verdict.at.isoformat(),
        verdict.by,
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    if value.lstrip().startswith(_FORMULA) or value[:1] in ("\t", "\r", "\n"):
        return "'" + value
    return value
