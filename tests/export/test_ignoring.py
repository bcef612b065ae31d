"""What a detector ignores, its exported graph ignores too, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomalist import DFM, Ensemble
from anomalist.data import as_image_set
from anomalist.export import OnnxDetector, export
from anomalist.export.ignoring import packed, unpacked

FAST: dict[str, Any] = {"image_size": 64, "layers": ("stride4",), "device": "cpu"}
BOX = (40, 40, 30, 20)


def plates(seed: int, *, dark: bool = False) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    made = list(np.random.default_rng(seed).integers(90, 140, (5, 96, 96, 3), np.uint8))
    for plate in made:
        plate[40:60, 40:70] = 0 if dark else plate[40:60, 40:70] ^ 255
    return made


@pytest.mark.parametrize("joined", [False, True])
def test_the_graph_ignores_what_the_detector_ignores(joined: bool, tmp_path: Path) -> None:
    detector: Any = DFM(**FAST, ignore_box=(BOX,))
    if joined:
        detector = Ensemble(members=("dfm", "padim"), **FAST, ignore_box=(BOX,))
    detector.fit(plates(0))
    report = export(detector, tmp_path / "a.onnx", images=as_image_set(plates(1)))
    assert max(report.map_relative, report.score_relative) < 1e-4
    runner = OnnxDetector(tmp_path / "a.onnx")
    found, other = runner.predict(plates(1)), runner.predict(plates(1, dark=True))
    assert np.array_equal(found.scores, other.scores)
    assert np.array_equal(found.maps, other.maps)
    assert found.ignored is not None
    assert np.array_equal(found.ignored[0], detector.preparation.ignored.mask)
    lowest = found.maps.min(axis=(1, 2))[:, None]
    assert (found.maps[:, found.ignored[0]] == lowest).all()


@pytest.mark.parametrize("shape", [(3, 5), (64, 64), (1, 1)])
def test_masks_are_packed_and_unpacked(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.3
    assert np.array_equal(unpacked(packed(mask)), mask)
    with pytest.raises(ValueError, match="900 x 900"):
        unpacked({**packed(mask), "size": [900, 900]})
