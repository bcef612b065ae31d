"""Turned copies are learnt from, and belong to their photograph wherever one is held out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import anomalist
from anomalist.data import ImageSet, as_image_set
from anomalist.detectors import CFA, DFM, GLASS, SPADE, Detector, Ensemble, PaDiM, PatchCore
from anomalist.errors import ParameterError

TURNED = {"turn": 360, "copies": 3}
FAST = {"image_size": 64, "device": "cpu", "augment": TURNED}
DETECTORS: dict[str, Detector] = {
    "patchcore": PatchCore(**FAST, coreset_ratio=0.5),
    "padim": PaDiM(**FAST),
    "spade": SPADE(**FAST),
    "dfm": DFM(**FAST),
    "cfa": CFA(**FAST, epochs=1),
    "glass": GLASS(**FAST, meta_epochs=1, variants=1, selection="held_out"),
}


def parts(count: int = 4, first: int = 0) -> ImageSet:
    """An L on a dark ground, in photographs that differ by noise."""
    made = []
    for i in range(first, first + count):
        image = np.random.default_rng(i).integers(38, 42, (64, 64, 3))
        image[12:50, 20:28] += 150
        image[42:50, 20:48] += 150
        made.append(image.clip(0, 255).astype(np.uint8))
    return as_image_set(made)


@pytest.fixture(scope="module")
def lying() -> ImageSet:
    """A part as those learnt from, and the same turned."""
    upright = np.asarray(parts(1, first=90)[0].read())
    return as_image_set([upright, np.rot90(upright)])


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_learns_from_them_and_is_calibrated_and_kept(
    name: str, tmp_path: Path
) -> None:
    detector, good = dataclasses.replace(DETECTORS[name]), parts()
    detector.fit(good)
    held_out = detector.calibrate(good)
    assert len(held_out) == len(good) == len(detector.images_)
    detector.save(tmp_path / "m.anomalist")
    loaded = anomalist.load(tmp_path / "m.anomalist")
    assert loaded.augment == TURNED
    assert np.array_equal(loaded.predict(good).scores, detector.predict(good).scores)


def test_a_part_that_lies_otherwise_is_less_of_a_surprise(lying: ImageSet) -> None:
    plain = dataclasses.replace(DETECTORS["patchcore"], augment=None)
    detector = dataclasses.replace(plain, augment={"turn": 360, "copies": 12})
    more, before = (np.diff(one.fit(parts()).predict(lying).scores) for one in (detector, plain))
    assert more < 0.7 * before


@pytest.mark.parametrize("name", ["patchcore", "padim", "spade", "dfm"])
def test_a_photograph_is_held_out_with_its_copies(name: str) -> None:
    # A photograph that is like no other must score so, though its copies were learnt from.
    images = [np.asarray(sample.read()) for sample in parts(7)]
    odd = as_image_set([*images, np.random.default_rng(9).integers(0, 256, (64, 64, 3), np.uint8)])
    detector = dataclasses.replace(DETECTORS[name], augment={"turn": 4, "copies": 3})
    scores = detector.fit(odd).calibrate(odd).scores
    fresh = dataclasses.replace(detector).fit(odd[np.arange(7)]).predict(odd[np.array([7])]).scores
    assert scores[7] > 1.5 * scores[:7].max()
    assert scores[7] == pytest.approx(fresh[0], rel=0.1)


def test_a_bank_keeps_its_share_of_all_pictures_and_names_photographs() -> None:
    good = parts()
    plain = dataclasses.replace(DETECTORS["patchcore"], augment=None).fit(good)
    detector = dataclasses.replace(DETECTORS["patchcore"]).fit(good)
    assert isinstance(plain, PatchCore)
    assert isinstance(detector, PatchCore)
    assert len(detector.bank_) == 4 * len(plain.bank_)
    assert set(detector.bank_images_) == {0, 1, 2, 3}


def test_members_of_an_ensemble_learn_from_them_too() -> None:
    ensemble = Ensemble(members=("patchcore", PaDiM(image_size=64)), **FAST)
    assert [member.augment for member in ensemble.components()] == [TURNED, TURNED]


def test_what_makes_no_sense_is_refused_before_any_work() -> None:
    with pytest.raises(ParameterError, match="augment: turn must be from 0 to 360"):
        PatchCore(augment={"turn": 400})
    with pytest.raises(ParameterError, match="augment must be names with values"):
        PatchCore(augment=360)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="augment works in one fit"):
        PatchCore(augment={"turn": 10}).check_shards([], (64, 64))
