from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist import PatchCore
from anomalist.data import ImageSet, MVTecAD, as_image_set, read_image, source
from anomalist.detectors import Detector, Ensemble
from anomalist.features import FeatureStore
from anomalist.inspection import Rule, fit_parts, open_parts
from anomalist.predictions import Predictions
from anomalist.report import contact_sheet, write_heatmaps


@pytest.mark.parametrize("name", ["patchcore", "ensemble"])
def test_images_in_memory_do_what_their_files_do(name: str, dots: Path, tmp_path: Path) -> None:
    detector: Detector = PatchCore(image_size=64, device="cpu")
    if name == "ensemble":
        detector = Ensemble(members=("patchcore", "dfm"), image_size=64, device="cpu")
    dot = MVTecAD(dots).category("dot")

    def held(images: ImageSet) -> ImageSet:
        return as_image_set([np.asarray(read_image(path)) for path in images.paths])

    expected = detector.fit(dot.train).predict(dot.test)
    detector.fit(held(dot.train), store=FeatureStore())
    noise = np.random.default_rng(1).normal(110, 6, (20, 64, 64, 3))
    detector.calibrate(noise.clip(0, 255).astype(np.uint8), seen=False)
    predictions = detector.predict(held(dot.test), store=FeatureStore())
    assert np.array_equal(predictions.scores, expected.scores)
    assert np.array_equal(predictions.maps, expected.maps)
    assert predictions.paths == [Path(f"image-{i}") for i in range(6)]
    rule = Rule.of(detector, alpha=0.05)
    findings = rule.judge(detector, predictions)
    assert [found.path for found in findings] == [f"image-{i}" for i in range(6)]
    assert all(found.regions for found in findings if found.decision == "anomalous")
    scale = {"transform": detector.transform, "low": rule.low, "high": rule.high}
    for one in predictions:
        (picture,) = write_heatmaps(one, tmp_path / "heatmaps", **scale)
        assert picture == tmp_path / "heatmaps" / f"{one.paths[0]}.png"
    contact_sheet(Predictions.join([predictions[3:], predictions[:3]]), **scale)


def test_a_folder_of_parts_is_hashed_once(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    real = source.sha256_of

    def counted(path: Path) -> str:
        hashed.append(path)
        return real(path)

    monkeypatch.setattr(source, "sha256_of", counted)
    monkeypatch.setattr(source, "_TICK_NS", -1)
    parts = open_parts(dots)
    fit_parts(PatchCore(image_size=64, device="cpu"), parts, tmp_path / "dot.anomalist")
    assert sorted(hashed) == sorted(set(hashed))


@pytest.mark.parametrize("kind", ["path", "bytes", "pillow", "array"])
def test_detectors_take_what_there_is(dots: Path, kind: str) -> None:
    paths = MVTecAD(dots).category("dot").train.paths
    take = {
        "path": str,
        "bytes": Path.read_bytes,
        "pillow": Image.open,
        "array": lambda path: np.asarray(Image.open(path)),
    }[kind]
    images = as_image_set([take(path) for path in paths])
    detector = PatchCore(image_size=64, device="cpu").fit(images)
    assert detector.predict(as_image_set(take(paths[0]))).scores.shape == (1,)
