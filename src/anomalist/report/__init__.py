"""Tables of results."""

from anomalist.report.tables import (
    METRIC_NAMES,
    category_metrics,
    summary,
    to_latex,
    to_markdown,
    write_tables,
)

__all__ = [
    "METRIC_NAMES",
    "category_metrics",
    "summary",
    "to_latex",
    "to_markdown",
    "write_tables",
]
