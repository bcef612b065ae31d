"""What the charts of a report draw, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anomalist.calibration import error_coverage
from anomalist.report.runs import Results, Run

# Okabe and Ito's colours, told apart by colour-blind readers, of a lightness that holds on white
# and on black; a detector has a dash and a symbol too.
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#b58900",
    "#56a4e0",
    "#8c6bb1",
    "#7f7f7f",
)
_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down")
_MOST_BINS = 30
_MOST_POINTS = 200


def styles(detectors: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return a colour, a dash and a symbol for each detector.

    Examples
    --------
    >>> styles(["patchcore"])
    {'patchcore': {'colour': '#0072b2', 'dash': 'solid', 'symbol': 'circle'}}
    """
    return {
        name: {
            "colour": _COLOURS[i % len(_COLOURS)],
            "dash": _DASHES[i % len(_DASHES)],
            "symbol": _SYMBOLS[i % len(_SYMBOLS)],
        }
        for i, name in enumerate(detectors)
    }


def tradeoff(results: Results) -> dict[str, dict[str, Any]]:
    """Return accuracy and time of each detector, means over shared categories."""
    points = {}
    for detector in results.detectors:
        speed = results.cost(detector, "images_per_second")
        point: dict[str, Any] = {
            "predict": 1000 / speed if speed else None,
            "fit": results.cost(detector, "fit_seconds"),
        }
        for metric in ("image_AUROC", "pixel_AUROC", "pixel_PRO"):
            if (estimate := results.estimate(detector, metric)) is not None:
                point[metric] = [100 * estimate.value, *_percent(estimate.interval)]
        points[detector] = point
    return points


def by_run(results: Results) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what is drawn of every run, by category, seed and detector."""
    drawn: dict[str, dict[str, dict[str, Any]]] = {}
    for run in results.runs:
        threshold = run.calibration.get("image_threshold")
        of_seed = drawn.setdefault(run.category, {}).setdefault(str(run.seed), {})
        of_seed[run.detector] = {
            "curves": {name: _rounded(curve) for name, curve in run.curves.items()},
            "histogram": histogram(run),
            "coverage": coverage(run),
            "threshold": threshold,
        }
    return drawn


def histogram(run: Run) -> dict[str, Any] | None:
    """Return how scores are spread: edges of bins, and percent of each group of images in them."""
    groups = {
        "held out": list(run.calibration.get("scores") or []),
        "good": [i["score"] for i in run.images if i.get("label") is False],
        "defective": [i["score"] for i in run.images if i.get("label") is True],
        "unlabelled": [i["score"] for i in run.images if i.get("label") is None],
    }
    scores = np.concatenate([np.asarray(values, float) for values in groups.values()])
    if not len(scores):
        return None
    edges = np.histogram_bin_edges(scores, min(_MOST_BINS, 4 + math.isqrt(len(scores))))
    shares = {
        name: (100 * np.histogram(values, edges)[0] / len(values)).round(2).tolist()
        for name, values in groups.items()
        if values
    }
    counts = {name: len(values) for name, values in groups.items() if values}
    return {"edges": [float(f"{edge:.5g}") for edge in edges], "shares": shares, "counts": counts}


def coverage(run: Run) -> dict[str, list[float]] | None:
    """Return the error among the surest images, sure being far from the threshold."""
    threshold = run.calibration.get("image_threshold")
    known = [(i["score"], i["label"]) for i in run.images if i.get("label") is not None]
    if threshold is None or not known:
        return None
    scores, labels = (np.array(column) for column in zip(*known, strict=True))
    share, error = error_coverage(np.abs(scores - threshold), (scores > threshold) != labels)
    kept = np.unique(np.linspace(0, len(share) - 1, _MOST_POINTS).round().astype(int))
    return _rounded({"x": 100 * share[kept], "y": 100 * error[kept]}, 2)


def _percent(interval: tuple[float, float] | None) -> list[float | None]:
    return [None, None] if interval is None else [100 * end for end in interval]


def _rounded(curve: Mapping[str, Any], digits: int = 4) -> dict[str, list[float]]:
    return {axis: np.round(curve[axis], digits).tolist() for axis in ("x", "y")}
