"""Benchmarks of detectors that ignore a part: what a run is, and what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomalist import MVTecAD, PaDiM
from anomalist.benchmark import benchmark
from anomalist.benchmark.configuration import config_hash
from anomalist.errors import DataError

FAST: dict[str, Any] = {"image_size": 64, "layers": ("stride4",), "device": "cpu", "dimensions": 8}


def test_a_mask_counts_by_its_content(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[40:] = 255
    for name in ("a.png", "b.png"):
        Image.fromarray(mask).save(tmp_path / name)
    first, second = (config_hash(PaDiM(ignore=str(tmp_path / name))) for name in ("a.png", "b.png"))
    assert first == second != config_hash(PaDiM())
    Image.fromarray(255 - mask).save(tmp_path / "b.png")
    assert config_hash(PaDiM(ignore=str(tmp_path / "b.png"))) != first
    with pytest.raises(DataError, match=r"gone\.png"):
        config_hash(PaDiM(ignore="gone.png"))


def test_what_is_ignored_is_kept_for_the_report(dots: Path, tmp_path: Path) -> None:
    plain, ignoring = PaDiM(**FAST), PaDiM(**FAST, ignore_box=((0, 0, 64, 16),))
    benchmark(
        MVTecAD(dots),
        {"plain": plain, "ignoring": ignoring},
        tmp_path / "out",
        categories=["dot"],
        seeds=[0],
    )
    pictures = tmp_path / "out" / "pictures"
    with np.load(pictures / "ignoring" / "dot.npz") as kept:
        assert kept["ignored"].shape == kept["maps"].shape
        assert kept["ignored"][:, :16].all()
        assert not kept["ignored"][:, 16:].any()
        assert not kept["maps"][:, :14].any()
    with np.load(pictures / "plain" / "dot.npz") as kept:
        assert "ignored" not in kept
