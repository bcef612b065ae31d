from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.cli.main import main

FAST = ["--image_size", "32", "--patchcore.coreset_ratio", "0.2", "--device", "cpu"]


def write(folder: Path, n: int, seed: int, light: float = 1.0) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(n):
        image = (rng.normal(110, 8, (32, 32, 3)) + rng.normal(0, 3)) * light
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrate")
    out = folder / "part.anomalist"
    data = write(folder / "parts", 30, 0)
    assert main(["fit", "patchcore", "--data", str(data), "--out", str(out), *FAST]) == 0
    return out


def test_a_threshold_from_new_good_images(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write(tmp_path / "new", 24, 1, light=1.2)
    out = tmp_path / "new.anomalist"
    asked = ["calibrate", str(model), "--data", str(new), "--out", str(out)]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert "Note: until now, the good images have shifted, from the first on of 24" in printed
    assert "brighter" in printed
    assert "of 24 new good images alarm at it" in printed
    assert "from now on: threshold" in printed
    assert main(["--json", *asked]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 24
    assert told["rule"]["promised"] is not None

    others = write(tmp_path / "others", 40, 2, light=1.2)
    for file, shifted in ((model, True), (out, False)):
        results = tmp_path / f"results-{file.stem}"
        assert main(["--json", "predict", str(file), str(others), "--out", str(results)]) == 0
        conditions = json.loads(capsys.readouterr().out)["conditions"]
        assert conditions["shift"]["shifted"] is shifted
        assert ("shift" in conditions["failing"]) is shifted


def test_too_few_are_one_clear_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = write(tmp_path / "few", 4, 3)
    asked = ["calibrate", str(model), "--data", str(few), "--out", str(tmp_path / "x.anomalist")]
    assert main(asked) == 1
    assert "takes 19: photograph 15 more" in capsys.readouterr().err
