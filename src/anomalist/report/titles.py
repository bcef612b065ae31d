"""What metrics are called where people read them."""

from __future__ import annotations

from anomalist.digits import shown
from anomalist.metrics import is_own

METRIC_TITLES = {
    "image_AUROC": "Image AUROC",
    "image_AP": "Image AP",
    "image_F1_calibrated": "Image F1, calibrated",
    "image_false_alarm_rate": "False alarms",
    "pixel_AUROC": "Pixel AUROC",
    "pixel_AP": "Pixel AP",
    "pixel_F1_calibrated": "Pixel F1, calibrated",
    "pixel_PRO": "Pixel PRO",
}
"""Titles of the metrics that all runs have, but for those that the test set has chosen."""

ORACLE_TITLES = {
    "image_F1Score": "Image F1, oracle threshold",
    "pixel_F1Score": "Pixel F1, oracle threshold",
    "oracle_image_AUROC": "Image AUROC, oracle epoch",
    "oracle_pixel_AUROC": "Pixel AUROC, oracle epoch",
    "oracle_pixel_PRO": "Pixel PRO, oracle epoch",
}
"""Titles of what a label or a mask of the test set has chosen, which are named for it."""

UNRANKED = {"image_false_alarm_rate", *ORACLE_TITLES}
"""Metrics of which a higher value is no better, or says nothing of new images."""


def metric_title(name: str) -> str:
    """Return what a metric is called in tables for people.

    Examples
    --------
    >>> metric_title("pixel_PRO"), metric_title("image_F1Score")
    ('Pixel PRO', 'Image F1, oracle threshold')
    >>> metric_title("pixel_PRO_0.05"), metric_title("pixel_sPRO_0.05_mean")
    ('Pixel PRO to 0.05', 'Pixel sPRO to 0.05, mean')
    >>> metric_title("image_AUROC_logical"), metric_title("pixel_AUPIMO")
    ('Image AUROC, logical', 'Pixel AUPIMO')
    """
    known = METRIC_TITLES | ORACLE_TITLES
    if name in known or "_" not in name or is_own(name):
        return known.get(name, name)
    kind, metric, *rest = name.split("_")
    title = f"{kind.capitalize()} {metric}"
    for part in rest:
        title += f" to {part}" if part[0].isdigit() else f", {part}"
    return title


def metric_text(name: str, value: float) -> str:
    """Return a metric as people read it: in percent, but for one's own, of unknown unit.

    Examples
    --------
    >>> metric_text("image_AUROC", 0.98765), metric_text("my_metrics:missed", 3.0)
    ('98.77', '3')
    """
    return shown(value) if is_own(name) else f"{100 * value:.2f}"


def spread_text(name: str, value: float, deviation: float | None) -> str:
    """Return a metric and, where there is one, its standard deviation over seeds.

    Examples
    --------
    >>> spread_text("image_AUROC", 0.98765, 0.001), spread_text("image_AUROC", 0.98765, None)
    ('98.77 ± 0.10', '98.77')
    """
    text = metric_text(name, value)
    return text if deviation is None else f"{text} ± {metric_text(name, deviation)}"
