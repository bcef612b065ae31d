from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anomalist.benchmark import RunRecord
from anomalist.metrics import auroc
from anomalist.report import Results, write_compact, write_per_image
from anomalist.report.compact import compact_tables
from tests.report.latex import check_compiles


def made(
    detector: str, category: str, skill: float, seed: int = 0, n: int = 60, **changes: Any
) -> RunRecord:
    """A record of ``n`` good and as many defective images, whose scores are ``skill`` higher."""
    rng = np.random.default_rng([*category.encode(), seed])
    labels = np.arange(2 * n) >= n
    scores = rng.normal(size=2 * n) + skill * labels + 0.1 * rng.normal(size=2 * n)
    values: dict[str, Any] = {
        "metrics": {"image_AUROC": auroc(scores, labels), "pixel_PRO": 0.5 + skill / 10},
        "intervals": {"pixel_PRO": (0.49 + skill / 10, 0.51 + skill / 10)},
        "calibration": {"alpha": 0.05, "image_threshold": 1.5},
        "curves": {"roc": {"x": [0.0, 1 / 3, 1.0], "y": [0.0, 0.75, 1.0]}},
        "images": [
            {
                "path": f"{'cut' if label else 'good'}/{i}.png",
                "defect": "cut" if label else "good",
                "label": bool(label),
                "score": float(score),
                "p_value": 1 / 3,
            }
            for i, (score, label) in enumerate(zip(scores, labels, strict=True))
        ],
        "evaluated_at": "original",
    }
    texts = ("method", "backbone", "weights_sha256", "config_hash", "data_hash", "version")
    seconds = ("fit_seconds", "calibrate_seconds", "predict_seconds", "images_per_second")
    return RunRecord(
        detector=detector,
        category=category,
        seed=seed,
        **dict.fromkeys(texts, "x"),  # type: ignore[arg-type]
        **dict.fromkeys(seconds, 1.0),  # type: ignore[arg-type]
        **{"parameters": {}, "transform": {}, "notes": (), "environment": {}},  # type: ignore[arg-type]
        train_images=9,
        test_images=2 * n,
        peak_memory_mb=1.0,
        **{**values, **changes},
    )


def test_the_best_is_bold_where_it_is_told_from_all_others() -> None:
    runs = [
        made(name, category, skill)
        for category, skills in {"bottle": (3.0, 0.5, 0.3), "screw": (1.0, 0.99, 0.98)}.items()
        for name, skill in zip(("padim", "dfm", "spade"), skills, strict=True)
    ]
    tables = {table.metric: table for table in compact_tables(Results(runs))}
    assert list(tables) == ["image_AUROC", "pixel_PRO"]
    assert tables["image_AUROC"].columns == ("bottle", "screw", "mean")
    best = {name: [cell.best for cell in cells] for name, cells in tables["image_AUROC"].rows}
    assert best == {"padim": [True, False, True], "dfm": [False] * 3, "spade": [False] * 3}
    # The first metric by DeLong's test, the other by intervals: the winner's is apart in bottle.
    best = {name: [cell.best for cell in cells] for name, cells in tables["pixel_PRO"].rows}
    assert best["padim"] == [True, False, True]


def test_a_mean_is_of_categories_that_all_detectors_have() -> None:
    runs = [made("padim", c, 1.0) for c in ("bottle", "cable", "screw")]
    runs += [made("dfm", c, 1.0) for c in ("bottle", "cable")]
    image, pixel = compact_tables(Results(runs))
    assert image.columns == ("bottle", "cable", "screw", "mean of 2")
    assert dict(image.rows)["dfm"][2].value == "–"
    none = made("dfm", "cable", 1.0, metrics={"image_AUROC": 0.5, "pixel_PRO": None})
    image, pixel = compact_tables(Results([*runs[:-1], none]))
    assert image.columns[-1] == "mean of 2"
    assert pixel.columns == ("bottle", "cable", "screw")


def test_several_seeds_have_a_deviation_and_ones_own_metrics_no_percent(tmp_path: Path) -> None:
    own = {"mine.area:largest": 12.5, "image_AUROC": 0.5}
    runs = [
        made("padim", "bottle", 1.0, 0, metrics=own),
        made("padim", "bottle", 1.0, 1, metrics=own | {"image_AUROC": 0.75}),
    ]
    write_compact(Results(runs), tmp_path)
    text = (tmp_path / "compact.md").read_text(encoding="utf-8")
    assert "### Image AUROC\n\n| detector | bottle |\n|---|---|\n| padim | 62.50 ± 17.68 |" in text
    assert "### mine.area:largest\n\n| detector | bottle |\n|---|---|\n| padim | 12.5 ± 0 |" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
@pytest.mark.parametrize("categories", [2, 16])
def test_the_compact_table_compiles_and_fits_a_page(categories: int, tmp_path: Path) -> None:
    names = [f"woven_fabric & {i}" for i in range(categories)]
    runs = [
        made(detector, category, skill, seed, 4)
        for detector, skill in (("efficient_ad+glass", 4.0), ("~^\\#$&{}", 0.1))
        for category in names
        for seed in (0, 1)
    ]
    write_compact(Results(runs), tmp_path)
    check_compiles(tmp_path / "compact.tex", "booktabs,graphicx")


def test_scores_and_curves_have_all_digits_and_a_row_each(tmp_path: Path) -> None:
    runs = [made("padim", "bottle", 1.0), made("dfm", "bottle", 1.0, calibration={})]
    runs[1].images[0] |= {"label": None, "p_value": None}
    write_per_image(runs, tmp_path)
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert list(scores.columns) == [
        *("path", "category", "detector", "seed", "label", "kind", "score", "p_value", "decision")
    ]
    assert len(scores) == 240
    assert scores["score"].tolist() == [image["score"] for run in runs for image in run.images]
    padim, dfm = scores[:120], scores[120:]
    assert auroc(padim["score"], padim["label"]) == runs[0].metrics["image_AUROC"]
    above = padim["score"] > 1.5
    assert (padim["decision"] == np.where(above, "anomalous", "normal")).all()
    assert dfm["decision"].isna().all()
    assert dfm["label"].isna().sum() == 1
    assert (tmp_path / "scores.csv").read_text().splitlines()[1].startswith("good/0.png,bottle,")
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert list(curves.columns) == ["detector", "category", "seed", "curve", "x", "y"]
    assert curves["x"].tolist() == [0.0, 1 / 3, 1.0] * 2
