"""What metrics are called where people read them."""

from __future__ import annotations

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
    if name in known or "_" not in name:
        return known.get(name, name)
    kind, metric, *rest = name.split("_")
    title = f"{kind.capitalize()} {metric}"
    for part in rest:
        title += f" to {part}" if part[0].isdigit() else f", {part}"
    return title
