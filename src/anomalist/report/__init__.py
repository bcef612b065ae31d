"""Tables and pictures of results."""

from anomalist.report.figures import colour_map, heatmap_sheet, synthesis_sheet
from anomalist.report.tables import (
    category_metrics,
    summary,
    to_latex,
    to_markdown,
    write_tables,
)

__all__ = [
    "category_metrics",
    "colour_map",
    "heatmap_sheet",
    "summary",
    "synthesis_sheet",
    "to_latex",
    "to_markdown",
    "write_tables",
]
