from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from anomalist.data import Category, ImageSet, MVTecAD, load_batches
from anomalist.detectors import DETECTORS, presets
from anomalist.detectors.spade import SPADE
from anomalist.errors import ParameterError
from anomalist.features import Backbone
from tests.reference import spade as reference

LAYERS = ("stride4", "stride8", "stride16", "stride32")


@pytest.fixture
def category(dots: Path) -> Category:
    return MVTecAD(dots).category("dot")


def features(detector: SPADE, images: ImageSet) -> tuple[list[np.ndarray], np.ndarray]:
    """Levels (n, h, w, C) and the averaged last layer (n, C) in float64."""
    backbone = Backbone(detector.backbone, LAYERS)
    batches = load_batches(images, detector.transform, detector.batch_size)
    layers = [
        np.concatenate(parts).transpose(0, 2, 3, 1).astype(float)
        for parts in zip(*[[m.numpy() for m in backbone(b)] for b in batches], strict=True)
    ]
    return layers[:-1], layers[-1].mean(axis=(1, 2))


@pytest.mark.parametrize(("k", "sigma"), [(1, 4.0), (2, 0.0), (6, 4.0), (50, 4.0)])
def test_scores_and_maps_are_those_of_the_reference(
    category: Category, k: int, sigma: float
) -> None:
    detector = SPADE(image_size=(64, 96), k=k, sigma=sigma, device="cpu").fit(category.train)
    predictions = detector.predict(category.test)
    good_pyramids, good_pooled = features(detector, category.train)
    pyramids, pooled = features(detector, category.test)
    for i in range(len(category.test)):
        score, expected = reference.score_image(
            [level[i] for level in pyramids],
            pooled[i],
            good_pyramids,
            good_pooled,
            k,
            (64, 96),
            sigma,
        )
        assert predictions.scores[i] == pytest.approx(score, rel=1e-5)
        np.testing.assert_allclose(predictions.maps[i], expected, rtol=1e-5, atol=1e-5)


def test_only_the_nearest_images_are_the_gallery(category: Category) -> None:
    few, all_ = (
        SPADE(image_size=64, k=k, device="cpu").fit(category.train).predict(category.test).maps
        for k in (2, 6)
    )
    assert (few >= all_ - 1e-5).all()
    assert few.mean() > all_.mean() + 1e-3


def test_an_image_may_score_the_maximum_of_its_map(category: Category) -> None:
    detector = SPADE(image_size=64, k=2, device="cpu").fit(category.train)
    by_images = detector.predict(category.test)
    detector.image_score = "map"
    by_map = detector.predict(category.test)
    assert np.array_equal(by_map.maps, by_images.maps)
    assert np.array_equal(by_map.scores, by_map.maps.max(axis=(1, 2)))
    assert not np.allclose(by_map.scores, by_images.scores)


def test_a_good_image_is_no_distance_from_itself(category: Category) -> None:
    detector = SPADE(image_size=64, k=1, batch_size=2, device="cpu").fit(category.train)
    predictions = detector.predict(category.train)
    np.testing.assert_allclose(predictions.scores, 0, atol=1e-5)
    np.testing.assert_allclose(predictions.maps, 0, atol=1e-5)


def test_the_pyramids_are_in_a_file_that_goes_with_the_detector(
    category: Category, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    detector = SPADE(image_size=64, device="cpu").fit(category.train)
    assert isinstance(detector.gallery_, np.memmap)
    pyramids, pooled = features(detector, category.train)
    stored = np.concatenate([level.reshape(6, -1) for level in pyramids], axis=1)
    np.testing.assert_allclose(detector.gallery_, stored, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(detector.pooled_, pooled, rtol=1e-5, atol=1e-5)
    del detector
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_loaded_detector_keeps_the_gallery_and_the_image_score(
    category: Category, tmp_path: Path
) -> None:
    detector = SPADE(image_size=64, k=3, image_score="map", device="cpu").fit(category.train)
    detector.save(tmp_path / "dot.anomalist")
    loaded = SPADE.load(tmp_path / "dot.anomalist")
    assert np.array_equal(loaded.gallery_, detector.gallery_)
    assert np.array_equal(loaded.pooled_, detector.pooled_)
    expected = detector.predict(category.test)
    got = loaded.predict(category.test)
    assert np.array_equal(got.scores, expected.scores)
    assert np.array_equal(got.maps, expected.maps)


def test_the_last_layer_is_for_the_image_and_the_others_for_the_map(category: Category) -> None:
    detector = SPADE(image_size=64, layers=("stride16", "stride8"), device="cpu")
    detector.fit(category.train)
    assert detector.gallery_.shape == (6, 4 * 4 * 112)
    assert detector.pooled_.shape == (6, 40)


@pytest.mark.parametrize(
    ("name", "value"),
    [("k", 0), ("image_score", "magic"), ("sigma", -1.0), ("layers", ("stride8",))],
)
def test_values_that_make_no_sense_are_refused(name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=name):
        SPADE(**{name: value})  # type: ignore[arg-type]


def test_presets_are_the_papers_and_the_reference_codes() -> None:
    paper, code = SPADE.preset("wide_resnet50_2"), SPADE.preset("wide_resnet50_2_k5")
    assert (paper.k, code.k) == (50, 5)
    for detector in (paper, code):
        assert detector.layers == ("layer1", "layer2", "layer3", "layer4")
        assert (detector.image_size, detector.crop_size, detector.sigma) == (256, 224, 4.0)
        assert detector.image_score == "knn"
    assert {"efficientnet_lite0", "resnet18"} <= set(presets("spade"))
    assert DETECTORS["spade"] is SPADE


def test_bottle_is_told_apart(mvtec_ad: Path) -> None:
    bottle = MVTecAD(mvtec_ad).category("bottle")
    detector = SPADE(image_size=128, device="cpu").fit(bottle.train[::4])
    predictions = detector.predict(bottle.test[::3])
    assert predictions.labels is not None
    for scores in (predictions.scores, predictions.maps.max(axis=(1, 2))):
        good, bad = scores[~predictions.labels], scores[predictions.labels]
        assert (bad[:, None] > good[None]).mean() > 0.9
