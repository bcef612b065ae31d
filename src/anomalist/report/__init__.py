"""Tables and pictures of results."""

from anomalist.report.figures import colour_map, heatmap_sheet
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
    "colour_map",
    "heatmap_sheet",
    "summary",
    "to_latex",
    "to_markdown",
    "write_tables",
]
