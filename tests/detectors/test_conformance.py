"""What every detector promises, checked on every detector that there is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import anomalist
from anomalist.data import Category, ImageSet, MVTecAD
from anomalist.detectors import DETECTORS, Detector
from anomalist.detectors.model_file import sign
from anomalist.errors import DataError, ModelFileError, ParameterError
from anomalist.features import FeatureStore
from anomalist.predictions import Predictions

SIZE = 64


@pytest.fixture(params=list(DETECTORS))
def detector_class(request: pytest.FixtureRequest) -> type[Detector]:
    return DETECTORS[request.param]


@pytest.fixture
def category(dots: Path) -> Category:
    return MVTecAD(dots).category("dot")


def make(detector: type[Detector], **changes: Any) -> Detector:
    settings: dict[str, Any] = {"image_size": SIZE, "device": "cpu"}
    if "meta_epochs" in (field.name for field in dataclasses.fields(detector)):
        settings["meta_epochs"] = 150  # a long training promises no more than a short one
    return detector(**{**settings, **changes})


def assert_same_bits(a: Predictions, b: Predictions) -> None:
    assert np.array_equal(a.scores, b.scores)
    assert np.array_equal(a.maps, b.maps)


def test_constructing_changes_no_hyperparameter(detector_class: type[Detector]) -> None:
    detector = detector_class()
    for field in dataclasses.fields(detector):
        assert getattr(detector, field.name) is field.default
    assert detector_class(**detector.parameters()).parameters() == detector.parameters()


def test_every_hyperparameter_is_documented(detector_class: type[Detector]) -> None:
    from anomalist.cli.signatures import signature_of

    assert all(p.text for p in signature_of(detector_class).parameters.values())


def test_every_detector_is_exported(detector_class: type[Detector]) -> None:
    assert getattr(anomalist.detectors, detector_class.__name__) is detector_class


def test_fit_returns_itself_and_defects_stand_out(
    detector_class: type[Detector], category: Category
) -> None:
    detector = make(detector_class)
    assert detector.fit(category.train) is detector
    predictions = detector.predict(category.test)
    assert predictions.labels is not None
    assert predictions.masks is not None
    labels = predictions.labels
    assert predictions.scores[labels].min() > predictions.scores[~labels].max()
    inside = predictions.maps[predictions.masks].mean()
    assert inside > predictions.maps[labels][~predictions.masks[labels]].mean()


def test_predictions_have_the_size_of_the_input(
    detector_class: type[Detector], category: Category
) -> None:
    detector = make(detector_class, image_size=(64, 96)).fit(category.train)
    predictions = detector.predict(category.test)
    assert predictions.maps.shape == (len(category.test), 64, 96)
    cropped = make(detector_class, image_size=80, crop_size=64).fit(category.train)
    assert cropped.predict(category.test[:1]).maps.shape == (1, 64, 64)


def test_a_seed_gives_the_same_bits(detector_class: type[Detector], category: Category) -> None:
    first, second = (make(detector_class, seed=3).fit(category.train) for _ in range(2))
    assert_same_bits(first.predict(category.test), second.predict(category.test))


def test_another_batch_size_changes_rounding_at_most(
    detector_class: type[Detector], category: Category
) -> None:
    detector = make(detector_class, batch_size=4).fit(category.train)
    expected = detector.predict(category.test)
    detector.batch_size = 1
    got = detector.predict(category.test)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got.maps, expected.maps, rtol=1e-4, atol=1e-4)


def test_predicting_changes_nothing(detector_class: type[Detector], category: Category) -> None:
    """No image leaves a trace: whatever was seen before, an image gets the same bits."""
    detector = make(detector_class).fit(category.train)
    expected = detector.predict(category.test[:2])
    detector.predict(category.test[2:])
    assert_same_bits(detector.predict(category.test[:2]), expected)


def test_saved_and_loaded_is_the_same(
    detector_class: type[Detector], category: Category, tmp_path: Path
) -> None:
    detector = make(detector_class, seed=1).fit(category.train)
    path = tmp_path / "part.anomalist"
    detector.save(path)
    expected = detector.predict(category.test)
    for loaded in (detector_class.load(path), anomalist.load(path, device="cpu")):
        assert type(loaded) is detector_class
        assert loaded.parameters() == detector.parameters()
        assert_same_bits(loaded.predict(category.test), expected)


def test_features_from_a_store_give_the_same_bits(
    detector_class: type[Detector], category: Category, tmp_path: Path
) -> None:
    expected = make(detector_class).fit(category.train).predict(category.test)
    for _ in range(2):
        store = FeatureStore(folder=tmp_path)
        detector = make(detector_class).fit(category.train, store=store)
        assert_same_bits(detector.predict(category.test, store=store), expected)
    assert store.passes == 0


def test_one_image_is_enough_to_fit(detector_class: type[Detector], category: Category) -> None:
    predictions = make(detector_class).fit(category.train[:1]).predict(category.test)
    assert np.isfinite(predictions.scores).all()
    assert predictions.scores.std() > 0


def test_one_image_can_be_predicted(detector_class: type[Detector], category: Category) -> None:
    detector = make(detector_class).fit(category.train)
    alone = detector.predict(category.test[1:2])
    together = detector.predict(category.test)
    np.testing.assert_allclose(alone.scores, together.scores[1:2], rtol=1e-4, atol=1e-4)


def test_anomalous_images_are_refused_when_fitting(
    detector_class: type[Detector], category: Category
) -> None:
    with pytest.raises(DataError, match=r"square/000\.png is labelled anomalous"):
        make(detector_class).fit(category.test)


def test_labels_and_masks_of_the_test_set_change_no_score(
    detector_class: type[Detector], category: Category
) -> None:
    detector = make(detector_class).fit(category.train)
    blind = ImageSet(
        [dataclasses.replace(s, label=None, defect="", mask=None) for s in category.test]
    )
    got = detector.predict(blind)
    assert got.labels is None
    assert got.masks is None
    assert_same_bits(got, detector.predict(category.test))


def test_empty_sets_are_refused(detector_class: type[Detector], category: Category) -> None:
    with pytest.raises(DataError, match="no image"):
        make(detector_class).fit(category.train[:0])
    detector = make(detector_class).fit(category.train)
    with pytest.raises(DataError, match="no image"):
        detector.predict(category.test[:0])


def test_predict_and_save_need_a_fit(
    detector_class: type[Detector], category: Category, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match="isn't fitted"):
        make(detector_class).predict(category.test)
    with pytest.raises(ParameterError, match="isn't fitted"):
        make(detector_class).save(tmp_path / "x.anomalist")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 0},
        {"image_size": 0},
        {"image_size": 32, "crop_size": 64},
        {"interpolation": "magic"},
        {"seed": -1},
    ],
)
def test_values_that_make_no_sense_are_refused(
    detector_class: type[Detector], changes: dict[str, Any]
) -> None:
    with pytest.raises(ParameterError, match="|".join(changes)):
        detector_class(**changes)


def test_an_unknown_device_is_refused(detector_class: type[Detector], category: Category) -> None:
    with pytest.raises(ParameterError, match="device"):
        make(detector_class, device="abacus").fit(category.train)


def test_an_unreadable_image_is_named(
    detector_class: type[Detector], category: Category, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(category.test.paths[0].read_bytes()[:200])
    images = ImageSet([dataclasses.replace(category.test[0], path=broken)])
    with pytest.raises(DataError, match=r"broken\.png"):
        make(detector_class).fit(category.train).predict(images)


def test_damaged_model_files_are_refused(
    detector_class: type[Detector], category: Category, tmp_path: Path
) -> None:
    path = tmp_path / "part.anomalist"
    make(detector_class).fit(category.train).save(path)
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"part\.anomalist"):
            anomalist.load(path)
    with pytest.raises(ModelFileError, match="no model file"):
        anomalist.load(tmp_path / "none.anomalist")


def test_headers_of_another_version_or_detector_are_refused(
    detector_class: type[Detector], category: Category, tmp_path: Path
) -> None:
    path = tmp_path / "part.anomalist"
    make(detector_class).fit(category.train).save(path)
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["anomalist"])
    for change, message in (
        ({"format": 99}, "format 99"),
        ({"detector": "crystal_ball"}, "crystal_ball"),
        ({"parameters": {"nonsense": 1}}, "damaged"),
        ({"state": {}, "backbone": {}, "members": {}}, "damaged"),
    ):
        metadata = {"anomalist": json.dumps({**header, **change})}
        safetensors.torch.save_file(tensors, path, metadata)
        sign(path)
        with pytest.raises(ModelFileError, match=message):
            anomalist.load(path)


class _NoFloat64(TorchDispatchMode):
    """Fails on any float64 tensor, as Metal would."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                assert tensor.dtype != torch.float64, f"{func} gave a float64 tensor"
        return result


def test_no_float64_tensor_on_the_way(detector_class: type[Detector], category: Category) -> None:
    with _NoFloat64():
        make(detector_class).fit(category.train).predict(category.test)
