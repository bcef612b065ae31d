from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.benchmark import RunRecord, benchmark
from anomalist.data import MVTecAD
from anomalist.detectors import Detector, Ensemble, PaDiM, PatchCore


def write(folder: Path, n: int, seed: int, light: float = 1.0) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(n):
        image = (rng.normal(110, 8, (32, 32, 3)) + rng.normal(0, 3)) * light
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03}.png")


def tree(root: Path, light: float) -> MVTecAD:
    write(root / "part" / "train" / "good", 30, 0)
    write(root / "part" / "test" / "good", 24, 1, light)
    write(root / "part" / "test" / "dark", 6, 2, 0.2)
    return MVTecAD(root)


@pytest.mark.parametrize(("light", "shifted"), [(1.0, False), (1.15, True)])
def test_good_test_images_unlike_the_training_images_are_told(
    light: float, shifted: bool, tmp_path: Path
) -> None:
    small = {"image_size": 32, "device": "cpu"}
    detectors: dict[str, Detector] = {
        "patchcore": PatchCore(**small),  # type: ignore[arg-type]
        "pair": Ensemble(members=("patchcore", "padim"), **small),  # type: ignore[arg-type]
        "padim": PaDiM(**small),  # type: ignore[arg-type]
    }
    out = tmp_path / "out"
    records = benchmark(tree(tmp_path / "data", light), detectors, out=out)
    report = (out / "report.html").read_text(encoding="utf-8")
    for record in records:
        told = record.conditions
        assert told["photographs"] == 24  # the defective ones aren't held against them
        assert told["shift"]["shifted"] is shifted
        note = "the good images have shifted, from the first on of 24"
        own = f"{record.detector}: {note}"
        assert any(text.startswith(own) for text in record.notes) is shifted
        assert (note in report) is shifted
        if shifted:
            assert told["shift"]["since"]["path"].startswith("good/")
            assert "brightness" in told["shift"]["differences"]
        again = RunRecord.from_json(record.to_json(), written="")
        assert again.conditions == json.loads(json.dumps(told))


def test_a_run_that_is_not_calibrated_says_nothing(tmp_path: Path) -> None:
    detector = PatchCore(image_size=32, device="cpu")
    data = tree(tmp_path / "data", 1.15)
    (record,) = benchmark(data, {"patchcore": detector}, out=tmp_path / "out", calibrate=False)
    assert record.conditions["shift"] is None
    assert record.conditions["failing"] == {}
