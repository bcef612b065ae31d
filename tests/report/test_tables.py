from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from anomalist.metrics import METRIC_NAMES
from anomalist.report import category_metrics, summary, to_latex, write_tables


def row(detector: str, category: str, seed: int, value: float, **changes: Any) -> dict[str, Any]:
    return {
        "detector": detector,
        "category": category,
        "seed": seed,
        "backbone": "resnet18",
        **dict.fromkeys(METRIC_NAMES, value),
        "fit_seconds": 1.0,
        "predict_seconds": 2.0,
        "images_per_second": 3.0,
        "peak_memory_mb": 4.0,
        "config_hash": "c",
        "data_hash": "d",
        "version": "0",
        **changes,
    }


@pytest.fixture
def results() -> pd.DataFrame:
    return pd.DataFrame(
        [
            row("patchcore", "bottle", 0, 0.8),
            row("patchcore", "bottle", 1, 1 / 3),
            row("patchcore", "screw_a", 0, 0.6),
            row("patchcore", "screw_a", 1, 0.7, pixel_PRO=None),
        ]
    )


def test_metrics_files_hold_mean_and_spread_at_full_precision(
    results: pd.DataFrame, tmp_path: Path
) -> None:
    write_tables(results, tmp_path)
    values = json.loads((tmp_path / "patchcore" / "bottle_metrics.json").read_text())
    assert list(values) == [n for m in METRIC_NAMES for n in (m, f"{m}_std")]
    assert values["image_AUROC"] == pytest.approx((0.8 + 1 / 3) / 2, abs=1e-15)
    assert values["image_AUROC_std"] == pytest.approx((0.8 - 1 / 3) / 2**0.5)
    table = pd.read_csv(tmp_path / "patchcore" / "bottle_metrics.csv", index_col="metric")
    assert table.loc["image_AUROC", "value"] == values["image_AUROC"]
    assert table.columns.tolist() == ["value"]


def test_undefined_metrics_stay_undefined(results: pd.DataFrame, tmp_path: Path) -> None:
    write_tables(results, tmp_path)
    values = json.loads((tmp_path / "patchcore" / "screw_a_metrics.json").read_text())
    assert values["pixel_PRO"] is None
    lines = (tmp_path / "patchcore" / "screw_a_metrics.csv").read_text().splitlines()
    assert "pixel_PRO," in lines
    assert "–" in summary(results).query("category == 'screw_a'")["pixel_PRO"].item()


def test_one_seed_has_no_spread(results: pd.DataFrame) -> None:
    assert list(category_metrics(results[:1])) == list(METRIC_NAMES)
    assert summary(results[:1])["image_AUROC"].item() == "80.00"


def test_the_mean_weighs_categories_alike() -> None:
    rows = [row("a", "x", 0, 0.0), row("a", "y", 0, 1.0), row("b", "x", 0, 1.0)]
    table = summary(pd.DataFrame(rows)).set_index(["detector", "category"])
    assert table.loc[("a", "mean"), "image_AUROC"] == "50.00"
    assert ("b", "mean") not in table.index


def test_results_csv_keeps_every_bit(results: pd.DataFrame, tmp_path: Path) -> None:
    write_tables(results, tmp_path)
    again = pd.read_csv(tmp_path / "results.csv")
    assert again["image_AUROC"].tolist() == results["image_AUROC"].tolist()
    records = json.loads((tmp_path / "results.json").read_text())
    assert [r["image_AUROC"] for r in records] == pytest.approx(
        results["image_AUROC"].tolist(), abs=1e-14
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_the_latex_table_compiles(results: pd.DataFrame, tmp_path: Path) -> None:
    document = (
        r"\documentclass{article}\usepackage{booktabs}\begin{document}"
        + to_latex(summary(results))
        + r"\end{document}"
    )
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
