"""Tables and pictures of results."""

from anomalist.report.compact import write_compact
from anomalist.report.copies import copies_sheet
from anomalist.report.figures import (
    HEATMAP_LEVEL,
    colour_map,
    contact_sheet,
    heatmap,
    heatmap_sheet,
    overlay,
    synthesis_sheet,
    write_heatmaps,
)
from anomalist.report.html import write_report
from anomalist.report.latex import to_latex
from anomalist.report.markdown import to_markdown
from anomalist.report.per_image import write_per_image
from anomalist.report.runs import Results
from anomalist.report.stress import Stress
from anomalist.report.summary import category_metrics, summary, where_pixels
from anomalist.report.tables import metrics_csv, write_tables

__all__ = [
    "HEATMAP_LEVEL",
    "Results",
    "Stress",
    "category_metrics",
    "colour_map",
    "contact_sheet",
    "copies_sheet",
    "heatmap",
    "heatmap_sheet",
    "metrics_csv",
    "overlay",
    "summary",
    "synthesis_sheet",
    "to_latex",
    "to_markdown",
    "where_pixels",
    "write_compact",
    "write_heatmaps",
    "write_per_image",
    "write_report",
    "write_tables",
]
