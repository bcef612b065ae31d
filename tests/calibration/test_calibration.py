from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import anomalist
from anomalist.calibration import Calibration, pixel_threshold, threshold
from anomalist.data import MVTecAD
from anomalist.detectors import CFA, DFM, GLASS, SPADE, Detector, Ensemble, PaDiM, PatchCore
from anomalist.errors import DataError, ModelFileError, ParameterError
from anomalist.predictions import Predictions
from tests.reference import ensemble as reference


def predictions(scores: np.ndarray, maps: np.ndarray | None = None) -> Predictions:
    maps = np.zeros((len(scores), 2, 2), np.float32) if maps is None else maps
    return Predictions([f"{i}.png" for i in range(len(scores))], scores, maps)


@pytest.fixture
def calibration() -> Calibration:
    rng = np.random.default_rng(0)
    maps = rng.exponential(size=(50, 20, 20)).astype(np.float32)
    return Calibration.of(predictions(rng.normal(size=50), maps), method="in a test")


def test_thresholds_are_the_conformal_ones() -> None:
    rng = np.random.default_rng(1)
    scores, maps = rng.normal(size=40), rng.normal(size=(40, 5, 7))
    made = Calibration.of(predictions(scores, maps), method="in a test")
    assert made.threshold(0.1) == pytest.approx(threshold(scores, 0.1), rel=1e-6)
    assert made.pixel_threshold(0.1) == pytest.approx(pixel_threshold(maps, 0.1), rel=1e-6)
    low, high = made.pixel_range(0.1)
    assert low == pytest.approx(np.median(maps), abs=0.02)
    assert high == made.pixel_threshold(0.1)
    few = Calibration.of(predictions(scores[:5], maps[:5]), method="in a test")
    assert few.pixel_range(0.1)[1] == pytest.approx(maps[:5].max(), rel=1e-6)


def test_a_scale_is_there_even_where_all_is_alike() -> None:
    flat = Calibration.of(predictions(np.zeros(3)), method="in a test")
    assert flat.pixel_range() == (0.0, 1.0)
    assert flat.standardised([0.0, 2.0]).tolist() == [0.0, 2.0]
    assert np.isfinite(flat.surprise([0.0, 2.0])).all()
    assert np.isfinite(flat.surprise_maps(np.array([[0.0, 2.0]]))).all()


good_scores = arrays.arrays(np.float64, st.integers(1, 40), elements=st.integers(-9, 9))


@given(good_scores, st.floats(-30, 30))
def test_surprise_is_that_of_the_definition(scores: np.ndarray, value: float) -> None:
    made = Calibration.of(predictions(scores), method="in a test")
    if len(set(scores.tolist())) == len(scores):
        expected = reference.surprise(value, scores.tolist())
        assert float(made.surprise(value)) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert made.surprise(value + 1) >= made.surprise(value)
    expected = reference.standardised(value, scores.tolist())
    assert float(made.standardised(value)) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_surprise_of_pixels_is_the_logarithm_of_their_share(calibration: Calibration) -> None:
    # Of exponential values it is the value itself, also beyond the highest seen.
    values = np.array([[0.5, 1.0, 3.0, 6.0, 12.0]])
    np.testing.assert_allclose(calibration.surprise_maps(values), values, rtol=0.25)
    assert (np.diff(calibration.surprise_maps(np.linspace(0, 30, 200))) >= 0).all()


def test_state_goes_round(calibration: Calibration) -> None:
    again = Calibration.from_state(calibration.state())
    assert again.method == "in a test"
    assert again.threshold(0.1) == calibration.threshold(0.1)
    x = np.linspace(-3, 9, 50)
    assert np.array_equal(again.surprise(x), calibration.surprise(x))
    assert np.array_equal(again.surprise_maps(x), calibration.surprise_maps(x))


@pytest.mark.parametrize(
    "change",
    [
        {"scores": np.zeros((2, 2))},
        {"scores": np.zeros(0)},
        {"scores": np.full(50, np.nan)},
        {"maxima": np.zeros(49)},
        {"pixel_values": np.zeros(5)},
        {"pixel_mean": float("inf")},
        {"pixel_excess": "x"},
    ],
)
def test_damaged_states_are_refused(calibration: Calibration, change: dict[str, object]) -> None:
    with pytest.raises(ModelFileError, match="calibration is damaged"):
        Calibration.from_state({**calibration.state(), **change})
    state = calibration.state()
    del state["maxima"]
    with pytest.raises(ModelFileError, match="maxima"):
        Calibration.from_state(state)


def test_only_good_images_calibrate() -> None:
    bad = Predictions(["a.png"], np.zeros(1), np.zeros((1, 2, 2)), labels=np.array([True]))
    with pytest.raises(DataError, match=r"a\.png is labelled anomalous"):
        Calibration.of(bad, method="in a test")
    with pytest.raises(DataError, match="at least one"):
        Calibration.of(predictions(np.zeros(0)), method="in a test")


def test_a_detector_is_calibrated_by_images_that_it_saw_or_by_others(
    dots: Path, tmp_path: Path
) -> None:
    category = MVTecAD(dots).category("dot")
    detector = PatchCore(image_size=64, device="cpu")
    with pytest.raises(ParameterError, match="isn't fitted"):
        detector.calibrate(category.train)
    detector.fit(category.train)
    assert detector.calibration_ is None
    held_out = detector.calibrate(category.train)
    assert detector.calibration_ is not None
    assert np.array_equal(detector.calibration_.scores, held_out.scores)
    # As a rule, not each: another coreset may lie nearer by chance.
    assert held_out.scores.mean() > detector.predict(category.train).scores.mean()
    others = category.test[:3]
    detector.calibrate(others, seen=False)
    split = detector.calibration_
    assert np.array_equal(split.scores, detector.predict(others).scores)
    detector.save(tmp_path / "part.anomalist")
    loaded = anomalist.load(tmp_path / "part.anomalist").calibration_
    assert loaded is not None
    assert loaded.state().keys() == split.state().keys()
    assert loaded.threshold(0.3) == split.threshold(0.3)
    with pytest.raises(DataError, match="labelled anomalous"):
        detector.calibrate(category.test)
    with pytest.raises(DataError, match="at least 2 good images"):
        detector.fit(category.train[:1]).calibrate(category.train[:1])


@pytest.mark.parametrize("name", ["patchcore", "padim", "spade", "dfm", "ensemble"])
def test_images_that_were_seen_are_known_by_their_content(
    name: str, dots: Path, tmp_path: Path
) -> None:
    train = MVTecAD(dots).category("dot").train
    detector = anomalist.DETECTORS[name](image_size=64, device="cpu", batch_size=1).fit(train)
    expected = detector.calibrate(train)
    detector.save(tmp_path / "part.anomalist")
    shuffled = np.random.default_rng(0).permutation(len(train))
    for fitted in (detector, anomalist.load(tmp_path / "part.anomalist")):
        got = fitted.calibrate(train[shuffled])
        assert list(got.paths) == train[shuffled].paths
        np.testing.assert_allclose(got.scores, expected.scores[shuffled], rtol=1e-6)
        np.testing.assert_allclose(got.maps, expected.maps[shuffled], rtol=1e-5, atol=1e-6)
    others = MVTecAD(dots).category("dot").test[:2]
    before = detector.calibration_
    for images, message in (
        (train[:5], "of the 6 images that it was fitted to, 5 are given"),
        (train[[0, 0, 1, 2, 3, 4]], "of the 6 images"),
        (others, r"000\.png isn't among the 6 images that it was fitted to"),
        (train[[0, 1, 2, 3, 4, 5, 5]], "of the 6 images"),
    ):
        with pytest.raises(DataError, match=message):
            detector.calibrate(images)
    with pytest.raises(DataError, match=r"003\.png is among the images that it was fitted to"):
        detector.calibrate(train[3:], seen=False)
    assert detector.calibration_ is before


@pytest.mark.parametrize(
    ("detector", "tolerance"),
    [
        (PatchCore(image_size=64, device="cpu"), 1e-4),
        (SPADE(image_size=64, device="cpu", k=3), 1e-5),
        (SPADE(image_size=64, device="cpu", k=50, image_score="map"), 1e-5),
        (PaDiM(image_size=64, device="cpu", dimensions=3), 1e-3),
        (PaDiM(image_size=64, device="cpu", dimensions=4), 1e-3),
        (PaDiM(image_size=64, device="cpu", dimensions=5), 1e-3),
        (PaDiM(image_size=64, device="cpu"), 1e-3),
    ],
    ids=[
        "patchcore",
        "spade",
        "spade by map",
        "padim",
        "padim 4",
        "padim 5",
        "padim of few images",
    ],
)
def test_leaving_an_image_out_is_fitting_without_it(
    detector: Detector, tolerance: float, dots: Path
) -> None:
    train = MVTecAD(dots).category("dot").train
    got = detector.fit(train).calibrate(train)
    for i in range(len(train)):
        others = train[[j for j in range(len(train)) if j != i]]
        alone = dataclasses.replace(detector).fit(others).predict(train[i : i + 1])
        np.testing.assert_allclose(got.scores[i], alone.scores[0], rtol=tolerance)
        np.testing.assert_allclose(got.maps[i], alone.maps[0], rtol=tolerance)
    two = detector.fit(train[:2]).calibrate(train[:2])
    alone = dataclasses.replace(detector).fit(train[1:2]).predict(train[:1])
    np.testing.assert_allclose(two.scores[0], alone.scores[0], rtol=1e-4)


GROUPS = ["a", "b", "b", "c", "a", "b"]


@pytest.mark.parametrize(
    ("detector", "tolerance"),
    [
        (PatchCore(image_size=64, device="cpu"), 1e-4),
        (SPADE(image_size=64, device="cpu", k=2), 1e-5),
        (SPADE(image_size=64, device="cpu", k=50, batch_size=4), 1e-5),
        (PaDiM(image_size=64, device="cpu", dimensions=3), 1e-3),
        (PaDiM(image_size=64, device="cpu", dimensions=6), 1e-3),
        (PaDiM(image_size=64, device="cpu"), 1e-3),
        (DFM(image_size=64, device="cpu"), 1e-4),
    ],
    ids=["patchcore", "spade", "spade of few", "padim", "padim 6", "padim of few", "dfm"],
)
def test_leaving_a_group_out_is_fitting_without_it(
    detector: Detector, tolerance: float, dots: Path
) -> None:
    train = MVTecAD(dots).category("dot").train
    order = [3, 0, 5, 1, 4, 2]
    got = detector.fit(train).calibrate(train[order], groups=[GROUPS[i] for i in order])
    assert detector.calibration_ is not None
    assert detector.calibration_.groups.tolist() == [0, 1, 2, 2, 1, 2]
    assert detector.calibration_.scenes == 3
    assert detector.calibration_.method.endswith("; images of one scene together")
    for group in "abc":
        places = [j for j, i in enumerate(order) if GROUPS[i] == group]
        others = train[[i for i in range(6) if GROUPS[i] != group]]
        alone = dataclasses.replace(detector).fit(others).predict(got.images[places])
        np.testing.assert_allclose(got.scores[places], alone.scores, rtol=tolerance)
        np.testing.assert_allclose(got.maps[places], alone.maps, rtol=tolerance)


@pytest.mark.parametrize(
    "detector",
    [
        PatchCore(image_size=64, device="cpu"),
        PatchCore(image_size=64, device="cpu", coreset_size=1),
        SPADE(image_size=64, device="cpu"),
        PaDiM(image_size=64, device="cpu"),
        DFM(image_size=64, device="cpu"),
        CFA(image_size=64, device="cpu", epochs=1),
        GLASS(image_size=64, device="cpu", meta_epochs=1, variants=2),
        Ensemble(members=("patchcore", "padim"), image_size=64, device="cpu"),
    ],
    ids=lambda detector: f"{detector.label}",
)
def test_near_copies_do_not_vouch_for_each_other(detector: Detector) -> None:
    rng = np.random.default_rng(0)
    pixels = [rng.normal(110, 6, (64, 64, 3)) for _ in range(3)]
    shots = [(p + rng.normal(0, 0.6, p.shape)).clip(0, 255).astype(np.uint8) for p in pixels * 3]
    groups = [0, 1, 2] * 3
    detector.fit(shots)
    alike = detector.calibrate(shots)
    named = detector.calibrate(shots, groups=[f"part {group}" for group in range(9)])
    assert np.array_equal(alike.scores, named.scores)
    assert np.array_equal(alike.maps, named.maps)
    apart = detector.calibrate(shots, groups=groups)
    if not detector.trained and detector.name != "ensemble":
        assert apart.scores.mean() > alike.scores.mean()
    assert detector.calibration_ is not None
    assert detector.calibration_.scenes == 3
    assert detector.calibration_.p_values(1e9) == 1 / 4
    for wrong, told in (([0] * 9, "at least 2 groups"), ([0, 1], "one an image, 9 in all, not 2")):
        with pytest.raises(DataError, match=told):
            detector.calibrate(shots, groups=wrong)
    assert detector.calibration_.scenes == 3
