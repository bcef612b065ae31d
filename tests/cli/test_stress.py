from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from anomalist.cli.main import main

FAST = ["--image_size", "64", "--patchcore.coreset_ratio", "0.2", "--device", "cpu"]


def test_a_stress_test_from_the_command_line(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = ["--conditions", "brightness=0.4,shots=2", "--where", "test", "--draws", "1"]
    command = ["stress", str(dots), "--detectors", "patchcore,dfm", "--out", str(out), *asked]
    assert main([*command, "--alpha", "0.3", *FAST]) == 0
    printed = capsys.readouterr()
    assert "patchcore: " in printed.out
    assert "False alarms rise most under brightness: from " in printed.out
    assert "[4/4] dot shots 2 (train)" in printed.err
    assert " left" in printed.err
    assert "Under stress" in (out / "report.html").read_text(encoding="utf-8")
    table = (out / "stress.csv").read_bytes()
    # Once more nothing is done, and what is printed for programs is the table.
    assert main([*command, "--alpha", "0.3", *FAST, "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert (out / "stress.csv").read_bytes() == table
    assert len(fields["stress"]) == len(pd.read_csv(out / "stress.csv")) == 8
    assert set(fields["weakest"]) == {"patchcore", "dfm"}
    assert fields["stress"][0]["level"] is None
    # The report is written again with all that is there.
    (out / "stress.csv").unlink()
    assert main(["report", str(out)]) == 0
    assert (out / "stress.csv").read_bytes() == table
