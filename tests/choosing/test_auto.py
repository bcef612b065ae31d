"""What chose itself is what it chose: in Python, in a file and in a benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import anomalist
from anomalist import MVTecAD, PatchCore
from anomalist.benchmark import benchmark
from anomalist.choosing import Auto, Candidate
from anomalist.detectors import PaDiM
from anomalist.errors import ModelFileError, ParameterError


@pytest.fixture
def auto(monkeypatch: pytest.MonkeyPatch) -> Auto:
    few = [
        Candidate(PatchCore(image_size=64, device="cpu"), {}),
        Candidate(PaDiM(image_size=64, device="cpu"), {}),
    ]
    monkeypatch.setattr("anomalist.choosing.auto.candidates", lambda given: few)
    return Auto(image_size=64, device="cpu", budget="1h")


def test_it_is_what_it_chose(auto: Auto, dots: Path, tmp_path: Path) -> None:
    dot = MVTecAD(dots).category("dot")
    auto.fit(dot.train)
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


def test_a_benchmark_tells_what_was_chosen(auto: Auto, dots: Path, tmp_path: Path) -> None:
    detectors = {"auto": auto, "patchcore": PatchCore(image_size=64, device="cpu")}
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


def test_a_file_whose_choice_is_garbled_is_damaged(auto: Auto, dots: Path, tmp_path: Path) -> None:
    auto.fit(MVTecAD(dots).category("dot").train)
    for garbled in (["x"], {"chosen": "x"}, {**auto.summary_["choice"], "candidates": [{}]}):
        auto.summary_ = {"choice": garbled}
        auto.save(tmp_path / "dot.anomalist")
        with pytest.raises(ModelFileError, match="its summary garbles 'choice'"):
            anomalist.load(tmp_path / "dot.anomalist")
