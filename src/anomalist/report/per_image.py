"""What runs say of every image, and their curves, as tables with all digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from anomalist.files import write_text
from anomalist.report.runs import Run

_SCORES = (
    *("path", "category", "detector", "seed", "label", "kind", "score", "p_value", "decision"),
)
_CURVES = ("detector", "category", "seed", "curve", "x", "y")


def scores_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a row a test image of every run.

    Parameters
    ----------
    runs : sequence of Run
        Records of a benchmark.

    Returns
    -------
    DataFrame
        ``path`` as short as tells the images of a category apart, ``category``, ``detector``,
        ``seed``, ``label`` (1 defective, 0 good, missing where unknown), ``kind`` of defect,
        ``score``, ``p_value`` (missing without calibration), ``decision`` (``normal`` or
        ``anomalous``, missing without a threshold).
    """
    rows = []
    for run in runs:
        threshold = run.calibration.get("image_threshold")
        for image in run.images:
            above = None if threshold is None else image["score"] > threshold
            rows.append(
                (
                    image["path"],
                    run.category,
                    run.detector,
                    run.seed,
                    image.get("label"),
                    image.get("defect"),
                    image["score"],
                    image.get("p_value"),
                    None if above is None else "anomalous" if above else "normal",
                )
            )
    frame = pd.DataFrame(rows, columns=list(_SCORES))
    return frame.astype({"label": "Int64", "score": float, "p_value": float})


def curves_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a row a point of every curve of every run, along the curve.

    Parameters
    ----------
    runs : sequence of Run
        Records of a benchmark, which keep at most 200 points of a curve.

    Returns
    -------
    DataFrame
        ``detector``, ``category``, ``seed``, ``curve``, ``x``, ``y``. Of ``roc`` and ``pixel_roc``
        these are the false and the true positive rate, of ``pr`` and ``pixel_pr`` recall and
        precision, of ``pro`` the false positive rate of pixels and the overlap of regions.
    """
    rows = [
        (run.detector, run.category, run.seed, name, x, y)
        for run in runs
        for name, curve in run.curves.items()
        for x, y in zip(curve["x"], curve["y"], strict=True)
    ]
    return pd.DataFrame(rows, columns=list(_CURVES))


def write_per_image(runs: Sequence[Run], out: str | Path) -> None:
    """Write ``scores.csv`` and ``curves.csv`` into a results folder.

    Parameters
    ----------
    runs : sequence of Run
        Records of a benchmark.
    out : str or Path
        The results folder.
    """
    write_text(Path(out) / "scores.csv", scores_frame(runs).to_csv(index=False))
    write_text(Path(out) / "curves.csv", curves_frame(runs).to_csv(index=False))
