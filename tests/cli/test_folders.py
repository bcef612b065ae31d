"""What commands that run categories tell of a data set as they open it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.cli.main import main


def test_what_is_noted_of_the_whole_folder_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for category in ("bolt", "nut"):
        for part in ("train/good", "test/good"):
            folder = tmp_path / "data" / category / part
            folder.mkdir(parents=True)
            for i in range(2):
                pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    (tmp_path / "data" / "bolt" / "SUMS").write_text("of bolts")
    command = ["benchmark", str(tmp_path / "data"), "--detectors", "padim", "--image_size", "32"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert told.count("SUMS") == 1
    assert "bolt, nut: left out 1 file" in told
