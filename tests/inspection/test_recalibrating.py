from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist import PatchCore, load
from anomalist.conditions import Conditions
from anomalist.detectors import Detector
from anomalist.errors import DataError, ParameterError
from anomalist.inspection import Rule, fit_parts, open_parts, recalibrate

SIZE = 32


def write(folder: Path, n: int, seed: int, light: float = 1.0) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        image = np.full((SIZE, SIZE, 3), 120.0) + rng.normal(0, 3)
        image[8:24, 8:24] -= 60 + rng.normal(0, 3)
        image = (image + rng.normal(0, 6, image.shape)) * light
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "learnt", 40, 0)


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Detector:
    out = tmp_path_factory.mktemp("model") / "part.anomalist"
    return fit_parts(PatchCore(image_size=SIZE, device="cpu"), open_parts(data), out).detector


def failing(model: Detector, folder: Path) -> dict[str, str]:
    conditions = Conditions.of(model)
    conditions.add(model.predict(open_parts(folder).train))
    return conditions.failing()


def test_the_promise_is_restored_for_photographs_like_the_new_ones(
    model: Detector, data: Path, tmp_path: Path
) -> None:
    assert failing(model, write(tmp_path / "same", 40, 1)) == {}
    brighter = write(tmp_path / "brighter", 60, 2, light=1.15)
    assert "shift" in failing(model, brighter)
    before = Rule.of(model)
    new = write(tmp_path / "new", 24, 3, light=1.15)
    result = recalibrate(model, new, tmp_path / "out" / "new.anomalist")
    assert (result.images, result.before) == (24, before)
    assert Rule.of(model) == before  # unchanged
    assert result.notes[0].startswith("until now, the good images have shifted, from the first on")
    saved = load(result.path)
    assert Rule.of(saved) == result.rule
    assert result.rule.scenes == 24
    assert failing(saved, brighter) == {}
    conditions = Conditions.of(saved)
    assert conditions.images == 24
    looks = saved.summary_["looks"]["brightness"]
    assert conditions.learnt["brightness"] == pytest.approx(looks, rel=1e-4)
    # What was learnt from is now what differs.
    assert "darker" in failing(saved, data)["shift"]
    assert saved.summary_["images"] == 40
    assert len(saved.summary_["known_images"]) == 64


def test_too_few_are_told_with_how_many_more_it_takes(model: Detector, tmp_path: Path) -> None:
    few = write(tmp_path / "few", 12, 4)
    with pytest.raises(DataError, match=r"12 new good images, and .* takes 19: photograph 7 more"):
        recalibrate(model, few, tmp_path / "new.anomalist")
    assert not (tmp_path / "new.anomalist").exists()
    assert recalibrate(model, few, tmp_path / "new.anomalist", alpha=0.1).rule.alpha == 0.1


def test_images_that_it_was_fitted_to_are_left_out(
    model: Detector, data: Path, tmp_path: Path
) -> None:
    mixed = write(tmp_path / "mixed", 20, 5)
    for path in sorted(data.iterdir())[:3]:
        (mixed / f"old-{path.name}").write_bytes(path.read_bytes())
    result = recalibrate(model, mixed, tmp_path / "new.anomalist")
    assert result.images == 20
    assert "not used: 3 others that it was fitted to" in result.notes
    with pytest.raises(DataError, match=r"0 new good images .and 40 others that it was fitted to"):
        recalibrate(model, data, tmp_path / "none.anomalist")


def test_defective_images_never_calibrate(model: Detector, tmp_path: Path) -> None:
    write(tmp_path / "set" / "good", 25, 6)
    write(tmp_path / "set" / "scratch", 5, 7, light=2)
    result = recalibrate(model, tmp_path / "set", tmp_path / "new.anomalist")
    assert result.images == 25
    assert result.rule.threshold is not None
    assert result.alarms is not None
    assert result.alarms < 10


def test_it_is_not_written_among_the_images(model: Detector, tmp_path: Path) -> None:
    new = write(tmp_path / "new", 20, 8)
    with pytest.raises(ParameterError, match="lies in the folder of images"):
        recalibrate(model, new, new / "new.anomalist")
    with pytest.raises(ParameterError, match="alpha"):
        recalibrate(model, new, tmp_path / "new.anomalist", alpha=2)


def test_a_model_that_was_never_calibrated_gets_its_first_threshold(tmp_path: Path) -> None:
    data = write(tmp_path / "one", 1, 9)
    detector = PatchCore(image_size=SIZE, device="cpu").fit(open_parts(data).train)
    result = recalibrate(detector, write(tmp_path / "new", 20, 10), tmp_path / "new.anomalist")
    assert result.alarms is None
    assert result.rule.promise is not None
