"""A bucket that goes away midway: a line, nothing half-written, and the same command goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from anomalist.cli.main import main
from anomalist.storage import open_storage, remote
from tests.s3 import upload

FAST = ["--image_size", "64", "--device", "cpu", "--alpha", "0.3"]


class Network:
    """Lets so many requests through, and none after these."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 1_000_000
        self.asked = 0
        real = remote._file_system

        def through(scheme: str, address: str) -> Any:
            self.asked += 1
            if self.left == 0:
                raise ConnectionResetError("reset by peer")
            self.left -= 1
            return real(scheme, address)

        monkeypatch.setattr(remote, "_file_system", through)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    pytest.importorskip("fsspec")
    return Network(monkeypatch)


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    return f"memory://{tmp_path.name}"


def refused(network: Network, after: int, capsys: pytest.CaptureFixture[str], *line: str) -> None:
    """Give a command that loses the storage after some requests, which it tells in a line."""
    network.left = after
    assert main([*line, "--quiet"]) == 1
    printed = capsys.readouterr()
    (told,) = printed.err.splitlines()
    assert told.startswith("anomalist: error: memory://")
    assert "the storage doesn't answer (reset by peer)" in told
    assert printed.out == ""
    network.left = 1_000_000


def test_a_fit(
    network: Network,
    bucket: str,
    dots: Path,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = upload(dots, f"{bucket}/dots")
    out = tmp_path / "models" / "dot.anomalist"
    line = ["fit", "padim", "--data", data, "--out", str(out), *FAST]
    for after in (0, 3, 9):
        refused(network, after, capsys, *line)
        assert not out.parent.exists() or not list(out.parent.iterdir())
    assert main([*line, "--quiet"]) == 0
    assert out.is_file()


def test_a_benchmark(
    network: Network,
    bucket: str,
    dots: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["benchmark", str(dots), "--detectors", "padim", "--seeds", "0,1", *FAST]
    address = f"{bucket}/results"
    assert main([*line, "--out", str(tmp_path / "here"), "--quiet"]) == 0
    network.asked = 0
    assert main([*line, "--out", address, "--quiet"]) == 0
    requests, there = network.asked, open_storage(address)
    whole = {key: there.read(key) for key in there.keys("")}
    for key in whole:
        there.delete(key)
    capsys.readouterr()
    done = set[str]()
    for after in (0, 3, requests // 2):
        refused(network, after, capsys, *line, "--out", address)
        for key in there.keys("runs/"):
            json.loads(there.read(key))
            done.add(key)
    assert done
    assert "report.html" not in there.keys("")
    assert main([*line, "--out", address, "--quiet"]) == 0
    assert sorted(there.keys("")) == sorted(whole)
    (tmp_path / "results.csv").write_bytes(there.read("results.csv"))
    times = ["fit_seconds", "calibrate_seconds", "predict_seconds", "images_per_second"]
    one, two = (
        pd.read_csv(folder / "results.csv").drop(columns=[*times, "peak_memory_mb"])
        for folder in (tmp_path, tmp_path / "here")
    )
    pd.testing.assert_frame_equal(one, two)


def test_photographs_are_added_from_an_address(
    bucket: str, dots: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = f"{bucket}/more"
    for name in ("dot", "other"):
        upload(dots / "dot", f"{more}/{name}")
    out = str(tmp_path / "dot.anomalist")
    line = ["fit", "padim", "--data", str(dots), "--category", "dot", "--add", more, "--out", out]
    assert main([*line, *FAST]) == 1
    # It looked into the category of that name, whose photographs are all known.
    assert f"{more} has no good image to add" in capsys.readouterr().err
