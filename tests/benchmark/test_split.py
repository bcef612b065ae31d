from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomalist import CFA, Detector, Ensemble, MVTecAD, PatchCore
from anomalist.benchmark import benchmark
from anomalist.errors import ParameterError
from anomalist.features import FeatureStore

SMALL: dict[str, Any] = {"image_size": 32, "device": "cpu"}
CORE = PatchCore(**SMALL, coreset_ratio=0.2)
ADAPTED = CFA(**SMALL, epochs=1)
PAIR = Ensemble(members=(CORE, ADAPTED), **SMALL)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each training of CFA learnt from, as they come."""
    done: list[int] = []
    real = CFA._fit

    def counted(self: CFA, features: Any) -> None:
        done.append(len(features))
        real(self, features)

    monkeypatch.setattr(CFA, "_fit", counted)
    return done


def test_a_run_holds_out_what_the_detector_would_and_trains_once(
    dots: Path, tmp_path: Path, trainings: list[int]
) -> None:
    data = MVTecAD(dots)
    made = benchmark(
        data,
        {"core": CORE, "cfa": ADAPTED, "both": PAIR},
        tmp_path / "out",
        seeds=[1],
        alpha=0.3,
        split=0.5,
    )
    # CFA once for itself and the pair, whose scale takes two folds of what it is fitted to.
    assert sorted(trainings) == [1, 2, 3]
    train = data.category("dot").train
    for record, detector in zip(made, (CORE, ADAPTED, PAIR), strict=True):
        alone: Detector = replace(detector, seed=1)
        alone.calibrate(train, split=0.5, store=FeatureStore())
        assert alone.calibration_ is not None
        assert record.calibration["scores"] == [float(s) for s in alone.calibration_.scores]
        assert record.calibration["method"] == "3 of 6 images, held out of the fit at random"
        assert any("--split 0 fits to all" in note for note in record.notes)
        expected = alone.predict(data.category("dot").test).scores
        assert np.allclose([image["score"] for image in record.images], expected, rtol=1e-5)


def test_models_that_were_kept_are_taken_over_with_their_deal(
    dots: Path, tmp_path: Path, trainings: list[int]
) -> None:
    out, data = tmp_path / "out", MVTecAD(dots)
    asked: dict[str, Any] = {"alpha": 0.3, "split": 0.5, "keep_models": True}
    (single,) = benchmark(data, {"cfa": ADAPTED}, out, **asked)
    kept = CFA.load(out / "models" / "cfa" / "dot_seed0.anomalist")
    assert kept.calibration_ is not None
    assert [float(s) for s in kept.calibration_.scores] == single.calibration["scores"]
    (pair,) = benchmark(data, {"both": PAIR}, out, **asked)
    assert trainings == [3, *sorted(trainings[1:])] == [3, 1, 2]
    # Once more under another name: nothing is trained.
    (again,) = benchmark(data, {"same": PAIR}, out, **asked)
    assert trainings == [3, *sorted(trainings[1:])]
    assert again.calibration["scores"] == pair.calibration["scores"]
    # What is fitted to all is another detector.
    (whole,) = benchmark(data, {"whole": ADAPTED}, out, **(asked | {"split": 0}))
    assert len(whole.calibration["scores"]) == 6
    assert 6 in trainings


def test_results_of_another_split_are_not_mixed(dots: Path, tmp_path: Path) -> None:
    data = MVTecAD(dots)
    asked: dict[str, Any] = {"alpha": 0.3}
    benchmark(data, {"cfa": ADAPTED}, tmp_path, split=0.5, **asked)
    with pytest.raises(ParameterError, match=r"split 0.5 there, 0(\.0)? here"):
        benchmark(data, {"cfa": ADAPTED}, tmp_path, split=0.0, **asked)
    with pytest.raises(ParameterError, match=r'split 0.5 there, "auto" here'):
        benchmark(data, {"cfa": ADAPTED}, tmp_path, **asked)


def test_those_that_train_hold_out_by_default_where_images_are_enough(
    dots: Path, tmp_path: Path
) -> None:
    # Of 6 images, 2 are a share of 0.3, which give a threshold for 0.4, but not for 0.3.
    detectors = {"core": CORE, "cfa": ADAPTED}
    core, cfa = benchmark(MVTecAD(dots), detectors, tmp_path / "many", alpha=0.4)
    assert len(core.calibration["scores"]) == 6
    assert len(cfa.calibration["scores"]) == 2
    core, cfa = benchmark(MVTecAD(dots), detectors, tmp_path / "few", alpha=0.3)
    assert len(core.calibration["scores"]) == len(cfa.calibration["scores"]) == 6
    assert "2 folds" in cfa.calibration["method"]
    # Without thresholds nothing is held out.
    (cfa,) = benchmark(
        MVTecAD(dots), {"cfa": ADAPTED}, tmp_path / "none", alpha=0.4, calibrate=False
    )
    assert not any("--split" in note for note in cfa.notes)


def test_what_is_no_share_is_refused_before_any_work(dots: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="split must be a share"):
        benchmark(MVTecAD(dots), [CORE], tmp_path / "out", split=1.0)
    assert not (tmp_path / "out").exists()
