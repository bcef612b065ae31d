from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from anomalist import PaDiM
from anomalist.benchmark import benchmark
from anomalist.data import open_dataset
from anomalist.metrics import pro
from tests.data.drawn_ad2 import draw_ad2
from tests.reference import binary


def test_columns_of_mvtec_ad_2_are_what_counting_gives(tmp_path: Path) -> None:
    data = open_dataset(draw_ad2(tmp_path / "data", ["can"], size=(64, 64), n=6))
    settings = {"image_size": 64, "layers": ("stride4",), "dimensions": 12, "device": "cpu"}
    (record,) = benchmark(data, {"padim": PaDiM(**settings)}, tmp_path / "out")
    category = data.category("can")
    detector = PaDiM(**settings).fit(category.train)
    threshold = binary.threshold(detector.calibrate(category.train).maps)
    maps = detector.predict(category.test).maps
    assert maps.shape[1:] == (64, 64)
    masks = np.array(
        [s.read_mask() if s.label else np.zeros((64, 64), bool) for s in category.test]
    )
    assert record.metrics["SegF1"] == pytest.approx(binary.seg_f1(maps, masks, threshold))
    labels = category.test.labels
    assert record.metrics["ClassF1"] == pytest.approx(binary.class_f1(maps, labels, threshold))
    assert record.metrics["pixel_PRO_0.05"] == pytest.approx(pro(maps, masks, 0.05))
    assert set(record.intervals) >= {"SegF1", "ClassF1"}
    with (tmp_path / "out" / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["SegF1"]) == pytest.approx(record.metrics["SegF1"])
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "SegF1" in report


def test_what_they_take_is_told(tmp_path: Path) -> None:
    data = open_dataset(draw_ad2(tmp_path / "data", ["can"], size=(64, 64)))
    detector = PaDiM(image_size=64, layers=("stride4",), dimensions=12, device="cpu")
    (one,) = benchmark(data, {"a": detector}, tmp_path / "a", calibrate=False)
    (two,) = benchmark(data, {"a": detector}, tmp_path / "b", evaluate_at="input")
    assert one.metrics["SegF1"] is None
    assert two.metrics["ClassF1"] is None
    assert any("no ClassF1 and SegF1: the detector isn't calibrated" in note for note in one.notes)
    assert any("at the size of each mask" in note for note in two.notes)
