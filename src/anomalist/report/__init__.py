"""Tables and pictures of results."""

from anomalist.drawing import HEATMAP_SIDE, colour_map, heatmap, overlay
from anomalist.report.compact import write_compact
from anomalist.report.contact_sheet import SHEET_SIDE, contact_sheet
from anomalist.report.copies import copies_sheet
from anomalist.report.html import write_report
from anomalist.report.latex import to_latex
from anomalist.report.markdown import to_markdown
from anomalist.report.per_image import write_per_image
from anomalist.report.pictures import (
    HeatmapFormat,
    PictureWriter,
    preview_name,
    save_heatmap,
    write_heatmaps,
)
from anomalist.report.runs import Results
from anomalist.report.sheets import heatmap_sheet, synthesis_sheet
from anomalist.report.stress import Stress
from anomalist.report.summary import category_metrics, summary, where_pixels
from anomalist.report.tables import metrics_csv, write_tables

__all__ = [
    "HEATMAP_SIDE",
    "SHEET_SIDE",
    "HeatmapFormat",
    "PictureWriter",
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
    "preview_name",
    "save_heatmap",
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
