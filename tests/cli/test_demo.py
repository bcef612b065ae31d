from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from anomalist.cli import demo
from anomalist.cli.main import main
from anomalist.detectors import DETECTORS, Detector


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few and small images, and short trainings."""
    settings = {"image_size": 32, "train": 4, "good": 2, "per_defect": 1}
    monkeypatch.setattr(demo, "_IMAGES", settings)
    monkeypatch.setattr(demo, "_SHORT", {"meta_epochs": 1, "epochs": 1, "variants": 1})
    check = Detector.__post_init__

    def shrink(detector: Any) -> None:
        check(detector)
        detector.image_size = 32

    monkeypatch.setattr(Detector, "__post_init__", shrink)


@pytest.mark.usefixtures("small")
def test_a_table_and_a_heatmap_come_first_and_the_rest_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    captured = capsys.readouterr()
    out = tmp_path / "anomalist-demo"
    heatmaps = out / "padim" / "woven_fabric_heatmaps.png"
    first, rest = captured.out.split(f"heatmaps: {heatmaps}\n")
    assert "padim" in first
    assert "woven_fabric" in first
    assert "patchcore" not in first
    assert "brass_key" not in first
    assert heatmaps.is_file()
    results = pd.read_csv(out / "results.csv")
    assert set(results["detector"]) == {*demo.QUICK}
    assert results["category"].nunique() == 3
    assert all(name in rest for name in ("patchcore", "ensemble", "brass_key", "report.html"))
    left = ", ".join(name for name in DETECTORS if name not in demo.QUICK)
    assert captured.out.endswith(
        f"left out, to be done sooner: {left}; anomalist demo --all runs them too\n"
    )
    assert (out / "report.html").is_file()
    times = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.json")}
    assert main(["demo", "--all"]) == 0
    assert "left out" not in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in times} == times
    assert set(pd.read_csv(out / "results.csv")["detector"]) == {*DETECTORS}


@pytest.mark.usefixtures("small")
def test_a_line_of_parts_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from anomalist.cli import demo_line
    from anomalist.server import listening
    from anomalist.server.database.tables import Inspection
    from anomalist.server.service import Service

    seen: list[str] = []
    done = threading.Event()

    def serve(settings: Any, *, ready: Any) -> None:
        service = Service(settings).start()
        service.inspector.on_inspected.append(watch)
        ready(service, "http://127.0.0.1:1")
        assert done.wait(60)
        assert service.faults() == {}
        service.stop()

    def watch(_answering: object, rows: list[Inspection]) -> None:
        seen.extend(row.name for row in rows)
        if len(set(seen)) == len(list((out / "sample_data").glob("*/test/*/*.png"))):
            done.set()

    monkeypatch.setattr(demo_line, "_EVERY_S", 0.01)
    monkeypatch.setattr(listening, "serve", serve)
    images = {"image_size": 32, "train": 8, "good": 2, "per_defect": 1}
    monkeypatch.setattr(demo, "_IMAGES", images)
    out = tmp_path / "demo"
    assert main(["demo", "--serve", "--out", str(out), "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields["address"] == "http://127.0.0.1:1"
    names = {path.stem for path in (out / "models").glob("*.anomalist")}
    assert names == {"woven_fabric", "brass_key", "bottle_mouth"}
