"""What chose itself is what it chose: in Python, in a file and in a benchmark."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import anomalist
from anomalist import MVTecAD, PatchCore
from anomalist.benchmark import benchmark
from anomalist.choosing import Auto, Candidate
from anomalist.detectors import PaDiM
from anomalist.errors import ModelFileError, ParameterError

FAST = {"image_size": 32, "device": "cpu"}


@pytest.fixture(scope="module", autouse=True)
def two_candidates() -> Iterator[None]:
    few = [Candidate(PatchCore(**FAST), {}), Candidate(PaDiM(**FAST), {})]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("anomalist.choosing.auto.candidates", lambda given: few)
        # Of each kind of defect a few are enough here.
        patch.setattr("anomalist.choosing.race._ROUNDS", ((0.5, 1), (1.0, 2)))
        yield


@pytest.fixture(scope="module")
def fitted(two_candidates: None, dots: Path) -> Auto:
    return Auto(**FAST, budget="1h").fit(MVTecAD(dots).category("dot").train)


@pytest.fixture
def auto(fitted: Auto) -> Auto:
    own = dataclasses.replace(fitted)
    vars(own).update(vars(fitted))
    return own


def test_it_is_what_it_chose(auto: Auto, dots: Path, tmp_path: Path) -> None:
    dot = MVTecAD(dots).category("dot")
    plain = auto.choice_.detector.fit(dot.train)
    assert auto.choice_.label == auto.chosen_.name
    predictions, expected = auto.predict(dot.test), plain.predict(dot.test)
    np.testing.assert_array_equal(predictions.scores, expected.scores)
    np.testing.assert_array_equal(predictions.maps, expected.maps)
    good = auto.calibrate(dot.train)
    np.testing.assert_array_equal(good.scores, plain.calibrate(dot.train).scores)
    auto.save(tmp_path / "dot.anomalist")
    loaded = anomalist.load(tmp_path / "dot.anomalist")
    assert loaded.name == auto.chosen_.name
    assert loaded.calibration_ is not None
    assert loaded.summary_["choice"] == auto.summary_["choice"]
    again = Auto.load(tmp_path / "dot.anomalist")
    np.testing.assert_array_equal(again.predict(dot.test).scores, expected.scores)


def test_a_benchmark_tells_what_was_chosen(dots: Path, tmp_path: Path) -> None:
    detectors = {"auto": Auto(**FAST, budget="1h"), "patchcore": PatchCore(**FAST)}
    records = {r.detector: r for r in benchmark(MVTecAD(dots), detectors, tmp_path / "out")}
    (note,) = [note for note in records["auto"].notes if note.startswith("auto chose")]
    assert "among 2 candidates" in note
    assert records["auto"].method == "auto"
    assert records["auto"].metrics["image_AUROC"] is not None


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ParameterError, match="budget must be a time"):
        Auto(budget="soon")
    with pytest.raises(ParameterError, match="most_ms must be a number of milliseconds above 0"):
        Auto(most_ms=0)
    with pytest.raises(ParameterError, match="fixed names settings of all detectors"):
        Auto(fixed=("coreset_ratio",))


def test_a_file_whose_choice_is_garbled_is_damaged(auto: Auto, tmp_path: Path) -> None:
    for garbled in (["x"], {"chosen": "x"}, {**auto.summary_["choice"], "candidates": [{}]}):
        auto.summary_ = {"choice": garbled}
        auto.save(tmp_path / "dot.anomalist")
        with pytest.raises(ModelFileError, match="its summary garbles 'choice'"):
            anomalist.load(tmp_path / "dot.anomalist")
