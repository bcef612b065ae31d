from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from anomalist.benchmark import Asked, RunStore, benchmark, plan, tell_repeats
from anomalist.benchmark.repeats import split_repeats
from anomalist.data import MVTecAD
from anomalist.detectors import DFM, SPADE, Detector, Ensemble, PaDiM, PatchCore
from tests.benchmark.test_identity import Told


@pytest.mark.parametrize(
    ("detector", "seeded"),
    [
        (DFM(), False),
        (SPADE(), False),
        (PaDiM(), True),
        (PaDiM(dimensions=None), False),
        (PatchCore(), True),
        (Ensemble(members=("dfm", "spade")), False),
        (Ensemble(members=("dfm", "patchcore")), True),
    ],
)
def test_detectors_say_whether_their_seed_changes_anything(
    detector: Detector, seeded: bool
) -> None:
    assert detector.seeded is seeded


def test_a_seed_that_changes_nothing_is_computed_once_and_said_to_be(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = []
    fit = Detector.fit
    monkeypatch.setattr(
        Detector, "fit", lambda self, *a, **k: fits.append(self) or fit(self, *a, **k)
    )
    detectors: dict[str, Detector] = {
        "dfm": DFM(image_size=64, device="cpu"),
        "patchcore": PatchCore(image_size=64, coreset_ratio=0.2, device="cpu"),
    }
    told = Told()
    records = benchmark(
        MVTecAD(dots), detectors, tmp_path, seeds=(1, 0), calibrate=False, watcher=told
    )
    assert [(d.name, d.seed) for d in fits] == [("patchcore", 1), ("dfm", 0), ("patchcore", 0)]
    assert told.begun == (4, 0)
    assert sorted(told.done) == sorted((r.detector, r.category, r.seed) for r in records)
    rows = pd.read_csv(tmp_path / "results.csv").set_index(["detector", "seed"])
    zero, one = rows.loc[("dfm", 0)], rows.loc[("dfm", 1)]
    assert one["repeats_seed"] == 0
    assert rows["repeats_seed"].notna().sum() == 1
    assert one.drop("repeats_seed").equals(zero.drop("repeats_seed"))
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert (scores["detector"] == "dfm").sum() == 2 * len(records[0].images)
    (line,) = tell_repeats(records)
    assert line == "dfm: nothing here depends on the seed; seed 1 repeats what another gave"

    # What is there serves later seeds too, and nothing is done again.
    fits.clear()
    (later,) = benchmark(
        MVTecAD(dots), {"dfm": detectors["dfm"]}, tmp_path, seeds=(7,), calibrate=False
    )
    assert not fits
    assert (later.seed, later.repeats_seed, later.parameters["seed"]) == (7, 0, 7)

    # A copy isn't copied: without what it is of, another is computed.
    RunStore(tmp_path).path("dfm", "dot", 0).unlink()
    (later,) = benchmark(
        MVTecAD(dots), {"dfm": detectors["dfm"]}, tmp_path, seeds=(3,), calibrate=False
    )
    assert later.repeats_seed is None
    assert len(fits) == 1


def test_held_out_images_make_the_seed_matter(dots: Path) -> None:
    for split, computed in ((None, 1), (0.5, 2)):
        asked = Asked(split=split, alpha=0.3)
        tasks = list(plan(MVTecAD(dots), {"dfm": DFM()}, {"dot": "ab"}, seeds=(0, 1), asked=asked))
        to_compute, repeats = split_repeats(tasks, {})
        assert len(to_compute) == computed
        assert [of for _, of in repeats] == [("dfm", "dot", 0)][computed - 1 :]


def test_dfm_is_calibrated_alike_whatever_its_seed(dots: Path) -> None:
    good = MVTecAD(dots).category("dot").train
    thresholds = set()
    for seed in (0, 1):
        detector = DFM(image_size=64, device="cpu", seed=seed).fit(good)
        detector.calibrate(good)
        assert detector.calibration_ is not None
        thresholds.add(detector.calibration_.threshold(0.3))
    assert len(thresholds) == 1
