from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anomalist.metrics import CALIBRATED_NAMES, METRIC_NAMES
from anomalist.report import category_metrics, summary, to_latex, write_tables
from tests.report.latex import check_compiles

ALL_METRICS = (*METRIC_NAMES, *CALIBRATED_NAMES)


def row(detector: str, category: str, seed: int, value: float, **changes: Any) -> dict[str, Any]:
    return {
        "detector": detector,
        "category": category,
        "seed": seed,
        "backbone": "resnet18",
        **dict.fromkeys(ALL_METRICS, value),
        "fit_seconds": 1.0,
        "calibrate_seconds": 1.5,
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
    assert list(values) == [n for m in ALL_METRICS for n in (m, f"{m}_std")]
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
    shown = summary(results).set_index("category")["pixel_PRO"]
    assert shown["screw_a"] == "–"
    # The mean over some of the categories would look better or worse than it is.
    assert shown["mean"] == "–"
    assert shown["bottle"] != "–"


def test_pixels_compared_at_different_sizes_have_no_mean(results: pd.DataFrame) -> None:
    apart = results.assign(evaluated_at=["original", *["input"] * (len(results) - 1)])
    apart = apart[apart["detector"] == apart["detector"].iloc[0]].fillna(0.5)
    assert apart["category"].nunique() > 1
    shown = summary(apart).set_index("category")
    assert shown["pixel_AUROC"]["mean"] == "–"
    assert shown["image_AUROC"]["mean"] != "–"


def test_what_calibration_gives_stands_in_the_summary() -> None:
    values = dict(zip(CALIBRATED_NAMES, (0.875, 0.5, 0.0625), strict=True))
    table = summary(pd.DataFrame([row("patchcore", "bottle", 0, 0.8, **values)]))
    assert table["F1 calibrated"].item() == "87.50"
    assert table["false alarms"].item() == "6.25"
    assert table.columns.tolist()[2:] == [
        *METRIC_NAMES,
        "F1 calibrated",
        "false alarms",
        "fit s",
        "images/s",
        "peak MB",
    ]


@pytest.mark.parametrize("missing", [True, False], ids=["no columns", "no values"])
def test_results_without_calibration(missing: bool, tmp_path: Path) -> None:
    results = pd.DataFrame(
        [row("a", c, s, 0.5, **dict.fromkeys(CALIBRATED_NAMES)) for c in "xy" for s in (0, 1)]
    )
    if missing:
        results = results.drop(columns=list(CALIBRATED_NAMES))
    write_tables(results, tmp_path)
    values = json.loads((tmp_path / "a" / "x_metrics.json").read_text())
    assert values["image_AUROC"] == 0.5
    for name in CALIBRATED_NAMES:
        assert values[name] is None
        assert values[f"{name}_std"] is None
    table = summary(results)
    assert set(table["F1 calibrated"]) == set(table["false alarms"]) == {"–"}
    assert "–" not in table["image_AUROC"].tolist()


def test_parquet_holds_what_the_csv_does(results: pd.DataFrame, tmp_path: Path) -> None:
    results["image_F1_calibrated"] = None
    write_tables(results, tmp_path)
    again = pd.read_parquet(tmp_path / "results.parquet")
    assert again.columns.tolist() == results.columns.tolist()
    for name in again.columns:
        values = [None if pd.isna(v) else v for v in results[name]]
        assert [None if pd.isna(v) else v for v in again[name]] == values, name
    # Files of several benchmarks can be read as one: types don't depend on what is missing.
    assert {again[name].dtype for name in ALL_METRICS} == {np.dtype(float)}
    assert again["seed"].dtype.kind == "i"


def test_one_seed_has_no_spread(results: pd.DataFrame) -> None:
    assert list(category_metrics(results[:1])) == list(ALL_METRICS)
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


def test_latex_groups_the_rows_of_a_detector_and_escapes_names() -> None:
    rows = [
        {"detector": d, "category": c, "image_AUROC": "99.10 ± 0.20", "fit s": "–"}
        for d in ("patchcore+glass", "50%_{x}")
        for c in ("metal_nut", "a&b")
    ]
    lines = to_latex(pd.DataFrame(rows)).splitlines()
    assert lines[1] == r"\begin{tabular}{lrr}"
    assert lines[3:5] == [r" & image & fit \\", r"category & AUROC & s \\"]
    assert lines[6:9] == [
        r"\multicolumn{3}{l}{\textit{patchcore+glass}} \\",
        r"metal\_nut & 99.10{\scriptsize\,$\pm$\,0.20} & -- \\",
        r"a\&b & 99.10{\scriptsize\,$\pm$\,0.20} & -- \\",
    ]
    assert lines[9:11] == [r"\midrule", r"\multicolumn{3}{l}{\textit{50\%\_\{x\}}} \\"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_the_latex_tables_compile_and_fit_a_page(tmp_path: Path) -> None:
    rows = [
        row(detector, category, seed, value, pixel_PRO=None)
        for detector in ("patchcore+glass", "efficient_ad", "~^\\#$&{}")
        for category in ("bottle", "woven_fabric")
        for seed, value in ((0, 1.0), (1, 1.0), (2, 0.7))
    ]
    write_tables(pd.DataFrame(rows), tmp_path / "out")
    check_compiles(tmp_path / "out" / "results.tex", "booktabs")


def test_metrics_that_only_some_runs_have_stand_after_the_others(tmp_path: Path) -> None:
    limits = {"pixel_sPRO_0.05_mean": 0.25, "pixel_sPRO_0.3_mean": 0.5}
    results = pd.DataFrame(
        [row("a", "bottle", 0, 0.75), {**row("a", "pushpins", 0, 0.75), **limits}]
    )
    table = summary(results)
    assert table["pixel_sPRO_0.05_mean"].tolist() == ["–", "25.00", "–"]
    assert "pixel_sPRO_0.3_mean" not in table.columns
    assert list(table.columns).index("pixel_sPRO_0.05_mean") == 2 + len(METRIC_NAMES)
    write_tables(results, tmp_path)
    values = json.loads((tmp_path / "a" / "pushpins_metrics.json").read_text())
    assert (values["pixel_sPRO_0.05_mean"], values["pixel_sPRO_0.3_mean"]) == (0.25, 0.5)
    without = json.loads((tmp_path / "a" / "bottle_metrics.json").read_text())
    assert "pixel_sPRO_0.05_mean" not in without
