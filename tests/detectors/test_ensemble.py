from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import anomalist
from anomalist.cli.main import main
from anomalist.data import Category, ImageSet, MVTecAD, Sample
from anomalist.detectors import DFM, Ensemble, PaDiM, PatchCore
from anomalist.detectors.combining import combined
from anomalist.detectors.weighing import Weights, weigh
from anomalist.errors import ModelFileError, ParameterError
from anomalist.features import FeatureStore
from anomalist.features.network import Network
from anomalist.inspection import model_card
from tests.reference import ensemble as reference


@pytest.fixture
def category(dots: Path) -> Category:
    return MVTecAD(dots).category("dot")


def small(**changes: Any) -> Ensemble:
    settings: dict[str, Any] = {"image_size": 64, "device": "cpu"}
    return Ensemble(**{**settings, **changes})


@pytest.mark.parametrize("how", ["mean", "max", "fisher", "cauchy"])
def test_scores_are_the_members_on_the_scale_of_held_out_good_images(
    how: str, category: Category
) -> None:
    members = [PatchCore(image_size=64, device="cpu"), PaDiM(image_size=64, device="cpu")]
    got = small(members=("patchcore", "padim"), combine=how).fit(category.train)
    predictions = got.predict(category.test)
    held_out, scores = [], []
    for member in members:
        member.fit(category.train)
        held_out.append(member.calibrate(category.train).scores.tolist())
        scores.append(member.predict(category.test).scores.tolist())
    scale = reference.standardised if how in ("mean", "max") else reference.surprise
    for i, score in enumerate(predictions.scores):
        values = [scale(s[i], good) for s, good in zip(scores, held_out, strict=True)]
        if how == "cauchy" and max(values) < 18:
            expected = reference.cauchy(values, [0.5, 0.5])
        elif how == "cauchy":
            expected = np.logaddexp(*values) - math.log(2)
        else:
            expected = max(values) if how == "max" else sum(values) / 2
        assert score == pytest.approx(expected, rel=1e-4)
        assert predictions.disagreement is not None
        assert predictions.disagreement[i] == pytest.approx(np.std(values), rel=1e-4, abs=1e-6)


def test_a_single_member_ranks_as_it_does_alone(category: Category) -> None:
    alone = PatchCore(image_size=64, device="cpu").fit(category.train).predict(category.test)
    got = small(members=("patchcore",)).fit(category.train).predict(category.test)
    above = alone.scores > np.median(alone.scores)
    assert np.array_equal(np.argsort(alone.scores[above]), np.argsort(got.scores[above]))
    assert got.disagreement_maps is not None
    assert not got.disagreement_maps.any()


def test_no_test_image_has_a_part_in_the_scale(category: Category) -> None:
    detector = small().fit(category.train)
    together = detector.predict(category.test)
    alone = [detector.predict(category.test[i : i + 1]).scores[0] for i in range(6)]
    np.testing.assert_allclose(alone, together.scores, rtol=1e-4)


surprises = st.lists(st.floats(0, 17), min_size=1, max_size=5)


@given(surprises)
def test_cauchys_combination_is_that_of_the_paper(values: list[float]) -> None:
    weights = np.full(len(values), 1 / len(values))
    got = float(combined(np.array(values), weights, "cauchy"))
    assert got == pytest.approx(reference.cauchy(values, weights), rel=1e-6, abs=1e-9)


@given(surprises, st.floats(0.1, 900), st.sampled_from(["mean", "max", "fisher", "cauchy"]))
def test_more_surprise_of_one_never_lowers_the_whole(
    values: list[float], more: float, how: Any
) -> None:
    weights = np.full(len(values), 1 / len(values))
    before = combined(np.array(values), weights, how)
    values[0] += more
    after = combined(np.array(values), weights, how)
    assert np.isfinite(after)
    assert after >= before - 1e-6


def test_weights_count(category: Category) -> None:
    even = small(combine="mean").fit(category.train)
    held_out = [m.calibrate(category.train) for m in even.members_]
    made = [m.predict(category.test) for m in even.members_]
    heavy = small(combine="mean", member_weights=(3.0, 1.0)).assemble(even.members_, held_out)
    scaled = [
        m.calibration_.standardised(p.scores) for m, p in zip(even.members_, made, strict=True)
    ]
    expected = 0.75 * scaled[0] + 0.25 * scaled[1]
    np.testing.assert_allclose(heavy.predict(category.test).scores, expected, rtol=1e-4)


def parts(n: int = 12, side: int = 64) -> ImageSet:
    """Grained discs before a plain background."""
    rows, columns = np.mgrid[:side, :side] - side / 2
    disc = np.hypot(rows, columns) < 0.35 * side
    grains = [np.random.default_rng(i).normal(90, 8, (side, side)) for i in range(n)]
    shown = [np.where(disc, grain, 220).clip(0, 255).astype(np.uint8) for grain in grains]
    return ImageSet([Sample(f"{i}.png", image=image) for i, image in enumerate(shown)])


SEEING = PatchCore(image_size=64, device="cpu", coreset_ratio=0.2)
BLIND = PatchCore(
    image_size=32, device="cpu", coreset_size=1, sigma=30.0, layers=("stride32",), neighbourhood=1
)


def test_made_defects_weigh_members_and_leave_one_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, store = parts(), FeatureStore()
    detector = small(members=(BLIND, SEEING), member_weights="auto").fit(good, store=store)
    found = detector.member_weights_
    assert found == weigh(detector.components(), good, store=store)
    assert found.scores[1] > 0.6
    assert found.maps == (0.0, 1.0)
    predictions = detector.predict(good)
    alone = small(members=(SEEING,)).fit(good).predict(good)
    np.testing.assert_allclose(predictions.maps, alone.maps, rtol=1e-5)
    detector.save(tmp_path / "weighed.anomalist")
    card = model_card(tmp_path / "weighed.anomalist")["weights"]
    assert [row["detector"] for row in card] == ["patchcore", "patchcore"]
    assert [row["maps"] for row in card] == [0.0, 1.0]
    assert main(["info", str(tmp_path / "weighed.anomalist")]) == 0
    assert "of the score, 100% of the map" in capsys.readouterr().out
    loaded = anomalist.load(tmp_path / "weighed.anomalist", device="cpu")
    assert isinstance(loaded, Ensemble)
    assert loaded.member_weights_ == found
    assert np.array_equal(loaded.predict(good).scores, predictions.scores)


def test_what_is_left_out_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = parts(6)
    monkeypatch.setattr(
        "anomalist.detectors.ensemble.weigh", lambda *_, **__: Weights((0.0, 1.0), (0.0, 1.0))
    )
    detector = small(members=("padim", "patchcore"), member_weights="auto").fit(good)
    assert [member.name for member in detector.members_] == ["patchcore"]
    assert detector.held_out_method.startswith("its members', combined: ")
    assert detector.calibrate(good).scores.shape == (6,)
    detector.save(tmp_path / "one.anomalist")
    loaded = anomalist.load(tmp_path / "one.anomalist", device="cpu")
    assert np.array_equal(loaded.predict(good).scores, detector.predict(good).scores)
    both = small(members=("padim", "patchcore")).fit(good)
    held_out = [member.calibrate(good) for member in both.members_]
    assembled = small(members=("padim", "patchcore"), member_weights="auto")
    assembled.assemble(both.members_, held_out)
    np.testing.assert_allclose(
        assembled.predict(good).scores, detector.predict(good).scores, rtol=1e-5
    )


def test_scores_and_maps_have_weights_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    good = parts(6)
    for how in ("fisher", "cauchy", "mean", "max"):
        for weights in (Weights((1.0, 0.0), (0.0, 1.0)), Weights((0.0, 1.0), (1.0, 0.0))):
            monkeypatch.setattr(
                "anomalist.detectors.ensemble.weigh", lambda *_, found=weights, **__: found
            )
            members = ("padim", "patchcore")
            detector = small(members=members, member_weights="auto", combine=how).fit(good)
            got = detector.predict(good)
            ones = [small(members=(name,), combine=how).fit(good).predict(good) for name in members]
            np.testing.assert_allclose(got.scores, ones[weights.scores[1] > 0].scores, rtol=1e-4)
            np.testing.assert_allclose(
                got.maps, ones[weights.maps[1] > 0].maps, rtol=1e-4, atol=1e-5
            )
            assert got.disagreement is not None
            assert not got.disagreement.any()


def test_weights_are_even_where_none_can_be_held_out() -> None:
    good = parts(3)
    even = Weights((0.5, 0.5), (0.5, 0.5))
    members = [PatchCore(image_size=64, device="cpu"), PaDiM(image_size=64, device="cpu")]
    assert weigh(members, good[:1]) == even
    assert weigh(members, good, groups=[7, 7, 7]) == even
    assert weigh(members[:1], good) == Weights((1.0,), (1.0,))
    small(member_weights="auto").fit(good[:1]).predict(good)


@pytest.mark.parametrize(
    "weights",
    [
        None,
        3,
        {},
        {"scores": [1.0, 0.0]},
        {"scores": [1.0], "maps": [1.0]},
        {"scores": [2.0, -1.0], "maps": [0.5, 0.5]},
        {"scores": [0.5, 0.4], "maps": [0.5, 0.5]},
        {"scores": ["a", 0.4], "maps": [0.5, 0.5]},
        {"scores": [0.5, 0.5], "maps": [0.5, 0.5], "more": [1.0, 0.0]},
    ],
)
def test_weights_of_a_file_that_make_no_sense_are_refused(weights: Any) -> None:
    with pytest.raises(ModelFileError, match="garbles 'weights'"):
        Weights.from_dict(weights, 2)


def test_members_are_names_detectors_or_dictionaries() -> None:
    instance = DFM(image_size=64, pca_level=0.9)
    ensemble = small(
        members=("patchcore", {"detector": "patchcore", "coreset_ratio": 0.5}, instance), seed=4
    )
    first, second, third = ensemble.components()
    assert isinstance(first, PatchCore)
    assert (first.image_size, first.seed) == (64, 4)
    assert isinstance(second, PatchCore)
    assert (second.coreset_ratio, second.seed) == (0.5, 5)
    assert isinstance(third, DFM)
    assert (third.pca_level, third.seed) == (0.9, 4)
    assert ensemble.label == "patchcore+patchcore+dfm"
    assert small().label == "ensemble"
    again = Ensemble(**ensemble.parameters())
    assert [p.parameters() for p in again.components()] == [
        p.parameters() for p in ensemble.components()
    ]


def test_members_of_other_resolutions_and_layers_fit_together(
    category: Category, tmp_path: Path
) -> None:
    members = (
        PatchCore(image_size=96, device="cpu"),
        PaDiM(image_size=64, layers=("stride8",), dimensions=None, device="cpu"),
    )
    detector = small(members=members).fit(category.train)
    predictions = detector.predict(category.test)
    assert predictions.maps.shape == (6, 64, 64)
    detector.save(tmp_path / "both.anomalist")
    loaded = anomalist.load(tmp_path / "both.anomalist", device="cpu").predict(category.test)
    assert np.array_equal(loaded.maps, predictions.maps)
    assert loaded.disagreement is not None


def test_an_ensemble_is_calibrated_when_it_is_fitted(category: Category, tmp_path: Path) -> None:
    detector = small().fit(category.train)
    assert detector.calibration_ is not None
    assert len(detector.calibration_.scores) == 6
    again = detector.calibrate(category.train)
    assert np.array_equal(again.scores, detector.calibration_.scores)
    detector.save(tmp_path / "both.anomalist")
    loaded = Ensemble.load(tmp_path / "both.anomalist")
    assert loaded.calibration_ is not None
    assert np.array_equal(loaded.calibration_.scores, detector.calibration_.scores)
    # What it gave to good images isn't in the file, and is made again.
    np.testing.assert_allclose(loaded.calibrate(category.train).scores, again.scores, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": ()}, "at least one"),
        ({"members": ("crystal_ball",)}, "no detector 'crystal_ball'"),
        ({"members": ({"coreset_ratio": 0.1},)}, "no detector None"),
        ({"members": ({"detector": "dfm", "nonsense": 1},)}, "member dfm: .*nonsense"),
        ({"members": (Ensemble(),)}, "can't be a member"),
        ({"combine": "vote"}, "combine must be"),
        ({"member_weights": (1.0,)}, "2 positive numbers"),
        ({"member_weights": "even"}, "member_weights must be a list or auto or null, not 'even'"),
        ({"member_weights": (1.0, 0.0)}, "2 positive numbers"),
        ({"members": (PatchCore(image_size=80, crop_size=64),)}, "same part of an image"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        small(**changes)


def test_an_image_passes_the_backbone_once_for_all_members(
    dots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    category = MVTecAD(dots).category("dot")
    passed: list[int] = []
    plain = Network.maps

    def counted(self: Network, images: torch.Tensor, layers: Sequence[str]) -> list[torch.Tensor]:
        passed.append(len(images))
        return plain(self, images, layers)

    monkeypatch.setattr(Network, "maps", counted)
    ensemble = Ensemble(members=("patchcore", "padim", "dfm"), image_size=64, device="cpu")
    ensemble.fit(category.train)
    assert sum(passed) == len(category.train)
    passed.clear()
    ensemble.predict(category.test)
    assert sum(passed) == len(category.test)
