from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from anomalist.cli.main import COMMANDS, main
from anomalist.detectors import DETECTORS


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: anomalist {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["bake"], 2, ["no command 'bake'", "benchmark"]),
        (["benchmark"], 2, ["data"]),
        (["benchmark", "/nowhere"], 1, ["/nowhere"]),
        (["benchmark", "{data}", "--preset", "magic"], 1, ["magic", "resnet18"]),
        (["benchmark", "{data}", "--image_size", "64,a"], 2, ["image_size", "64,a"]),
        (["download", "imagenet"], 1, ["imagenet", "mvtec_ad"]),
    ],
)
def test_failures_are_one_clear_line(
    arguments: list[str],
    code: int,
    words: list[str],
    dots: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([a.format(data=dots) for a in arguments]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("anomalist: error: ")
    assert sum("error" in line for line in lines) == 1
    assert "Traceback" not in lines[-1]
    for word in words:
        assert word in lines[-1]


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "/nowhere", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_unexpected_failure_is_told_as_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("odd")

    monkeypatch.setattr("anomalist.cli.report.run", fail)
    assert main(["report", str(tmp_path)]) == 1
    assert "LookupError: odd - a bug" in capsys.readouterr().err


CUDA = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 7.79 GiB of"
    " which 1.20 GiB is free. See documentation for Memory Management"
)
MPS = "MPS backend out of memory (MPS allocated: 5.22 GB, max allowed: 9.07 GB). Tried 256 MB. Use"


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (torch.OutOfMemoryError(CUDA), "CUDA out of memory. Tried to allocate 2.50 GiB;"),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors"), "CUDA error: out of memo"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublas"), "ALLOC_FAIL"),
        (RuntimeError(MPS), "MPS backend out of memory (MPS allocated: 5.22 GB"),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory"), "allocate"),
        (MemoryError("Unable to allocate 7.11 PiB for an array"), "Unable to allocate 7.11 PiB"),
        (MemoryError(), "no more could be had"),
    ],
)
def test_running_out_of_memory_is_one_line_that_says_what_to_lower(
    error: Exception,
    asked: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("anomalist.cli.report.run", fail)
    assert main(["report", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("anomalist: error: out of memory: ")
    assert asked in line
    for flag in ("--batch_size", "--image_size", "--coreset_ratio", "--device cpu"):
        assert flag in line
    assert "bug" not in line
    assert "documentation" not in line


def benchmark(dots: Path, out: Path, *arguments: str) -> pd.DataFrame:
    fast = ["--image_size", "64", "--patchcore.coreset_ratio", "0.2", "--device", "cpu"]
    names = ["--detectors", "patchcore"]
    assert main(["benchmark", str(dots), "--out", str(out), *names, *fast, *arguments]) == 0
    return pd.read_csv(out / "results.csv")


def test_benchmark_prints_a_table_and_writes_results(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = benchmark(dots, tmp_path, "--seeds", "0,1")
    assert table["seed"].tolist() == [0, 1]
    captured = capsys.readouterr()
    assert "patchcore" in captured.out
    assert "±" in captured.out
    assert str(tmp_path) in captured.out
    assert "[2/2] patchcore dot seed 1" in captured.err


def test_the_command_is_kept_as_it_is_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = []
    monkeypatch.setattr(
        "anomalist.cli.report.run", lambda parsed, output: kept.append(parsed.command_line)
    )
    assert main(["report", f"{tmp_path}/two words"]) == 0
    assert kept == [f"anomalist report '{tmp_path}/two words'"]


def test_the_table_says_why_a_metric_is_missing(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train/good", "test/square"):
        name = "good" if "good" in split else "square"
        shutil.copytree(dots / "dot" / split, tmp_path / "parts" / name)
    benchmark(tmp_path / "parts", tmp_path / "out")
    out = capsys.readouterr().out
    assert "–" in out
    assert "parts: " in out
    assert "mask" in out


def test_flags_configuration_and_presets_reach_the_detector(dots: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("patchcore:\n  num_neighbors: 4\n  sigma: 2.5\nseeds: [3]\n")
    benchmark(dots, tmp_path, "--config", str(config), "--patchcore.sigma", "1.5")
    record = json.loads((tmp_path / "runs" / "patchcore" / "dot_seed3.json").read_text())
    values = record["parameters"]
    assert (values["num_neighbors"], values["sigma"], values["image_size"]) == (4, 1.5, 64)
    other = tmp_path / "other"
    benchmark(dots, other, "--preset", "efficientnet_lite0", "--layers", "stride16")
    record = json.loads((other / "runs" / "patchcore" / "dot_seed0.json").read_text())
    assert record["parameters"]["layers"] == ["stride16"]


def test_features_are_kept_in_a_folder(dots: Path, tmp_path: Path) -> None:
    folder = tmp_path / "features"
    benchmark(dots, tmp_path / "a", "--store.folder", str(folder))
    files = {path: path.stat().st_size for path in folder.glob("*/*.safetensors")}
    assert files
    benchmark(dots, tmp_path / "b", "--store.folder", str(folder))
    assert {path: path.stat().st_size for path in folder.glob("*/*.safetensors")} == files


def test_report_writes_the_same_tables_again(dots: Path, tmp_path: Path) -> None:
    benchmark(dots, tmp_path)
    files = [tmp_path / name for name in ("results.csv", "results.md", "results.tex")]
    before = [path.read_bytes() for path in files]
    for path in files:
        path.unlink()
    assert main(["report", str(tmp_path)]) == 0
    assert [path.read_bytes() for path in files] == before


def test_list_names_every_detector(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in (*DETECTORS, "efficientnet_lite0", "wide_resnet50_2.tv_in1k", "mvtec_ad"):
        assert name in out


def test_the_installed_command_runs(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("anomalist")
    result = subprocess.run(
        [command, "report", "nowhere"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning:anomalist"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
