"""A shift is told over all of a results folder, in however many calls its photographs came."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist import PatchCore
from anomalist.conditions import Conditions
from anomalist.detectors import Detector
from anomalist.inspection import Rule, Tally, fit_parts, open_parts, predict_files

SIZE = 32


def write(folder: Path, n: int, seed: int, light: float = 1.0) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(n):
        image = (rng.normal(110, 8, (SIZE, SIZE, 3)) + rng.normal(0, 3)) * light
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    folder = tmp_path_factory.mktemp("shift")
    parts = open_parts(write(folder / "parts", 40, 0))
    return fit_parts(
        PatchCore(image_size=SIZE, device="cpu"), parts, folder / "a.anomalist"
    ).detector


def predict(model: Detector, paths: list[Path], out: Path, news: list[str] | None = None) -> Tally:
    rule = Rule.of(model)
    return predict_files(
        model,
        [paths],
        out,
        rule,
        heatmaps="none",
        conditions=Conditions.of(model, rule),
        news=None if news is None else news.append,
    )


def test_a_call_goes_on_where_another_was_stopped(model: Detector, tmp_path: Path) -> None:
    paths = sorted(write(tmp_path / "new", 24, 1, light=1.04).iterdir())
    whole = predict(model, paths, tmp_path / "whole")
    for many in (5, 12, 24):
        tally = predict(model, paths[:many], tmp_path / "parts")
    assert tally.conditions["shift"] == whole.conditions["shift"]
    assert tally.conditions["shift"]["shifted"]
    assert tally.conditions["shift"]["seen"] == 24
    # Nothing is new, and it is still told.
    again = predict(model, paths, tmp_path / "parts")
    assert again.conditions["shift"] == whole.conditions["shift"]
    assert any("have shifted" in note for note in again.notes)


def test_a_watch_tells_at_once_and_again_at_its_next_start(model: Detector, tmp_path: Path) -> None:
    paths = sorted(write(tmp_path / "new", 30, 2, light=1.15).iterdir())
    news: list[str] = []
    predict(model, paths[:20], tmp_path / "out", news)
    assert sum("have shifted" in text for text in news) == 1
    news.clear()
    predict(model, [], tmp_path / "out", news)
    assert sum("have shifted" in text for text in news) == 1


def test_rows_of_another_threshold_or_without_looks_do_not_count(
    model: Detector, tmp_path: Path
) -> None:
    paths = sorted(write(tmp_path / "new", 12, 3, light=1.2).iterdir())
    out = tmp_path / "out"
    predict(model, paths, out)
    early = tmp_path / "early"
    shutil.copytree(out, early)
    rows = [json.loads(line) for line in (early / "predictions.jsonl").read_text().splitlines()]
    assert {"brightness", "across", "features", "score"} <= rows[0]["looks"].keys()
    rows[0].pop("looks")
    rows[1]["looks"] = {"brightness": "high", "price": 3}
    rows[2]["looks"] = [1]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (early / "predictions.jsonl").write_text(text)
    tally = predict(model, [], early)
    assert tally.conditions["shift"]["seen"] == 10
