"""What notebooks show, and tables of what is in hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomalist import PaDiM, PatchCore
from anomalist.data import MVTecAD
from anomalist.metrics import Metrics
from anomalist.notebook import html_table
from anomalist.predictions import Predictions

ODD = "<script>alert('&')</script>.png"


def predictions(count: int = 2) -> Predictions:
    scores = np.linspace(0.123456789, 1, count)
    return Predictions(
        [f"{i}.png" for i in range(count - 1)] + [ODD], scores, np.zeros((count, 4, 6))
    )


def test_nothing_is_taken_for_markup() -> None:
    shown = html_table(ODD, [ODD, ODD], [[ODD, ODD]], [ODD]) + predictions()._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_predictions_show_the_most_anomalous_first() -> None:
    shown = predictions(25)._repr_html_()
    assert "Predictions of 25 images, maps of 6 x 4 pixels, the 10 most anomalous" in shown
    assert shown.count("<tr>") == 11
    assert shown.index("script") < shown.index("23.png")
    few = predictions(2)._repr_html_()
    assert "most anomalous" not in few
    assert "<td>0.1235</td>" in few
    assert "of 0 images" in predictions(2)[:0]._repr_html_()


def test_predictions_become_a_table_with_all_digits() -> None:
    made = predictions()
    frame = made.to_frame()
    assert list(frame) == ["path", "score"]
    assert frame.score.tolist() == made.scores.tolist()
    known = Predictions(
        made.paths, made.scores, made.maps, np.array([False, True]), defects=["good", "cut"]
    )
    assert list(known.to_frame()) == ["path", "score", "label", "defect"]
    assert "<td>cut</td>" in known._repr_html_()
    assert predictions()[:0].to_frame().empty


def test_metrics_become_a_table() -> None:
    metrics = Metrics(
        image_AUROC=0.987654321, intervals={"image_AUROC": (0.9, 1.0)}, notes=("no <mask>",)
    )
    frame = metrics.to_frame().set_index("metric")
    assert frame.loc["image_AUROC"].tolist() == [0.987654321, 0.9, 1.0]
    assert frame.loc["pixel_PRO"].isna().all()
    shown = metrics._repr_html_()
    assert "<td>0.9877</td><td>0.9000 to 1.0000</td>" in shown
    assert "Note: no &lt;mask&gt;" in shown
    assert list(Metrics().to_frame()) == ["metric", "value"]


def test_a_detector_tells_what_was_changed_and_what_it_was_fitted_to(dots: Path) -> None:
    good = MVTecAD(dots).category("dot").train
    detector = PaDiM(image_size=64, dimensions=8, device="cpu")
    assert "PaDiM, not fitted" in detector._repr_html_()
    detector.fit(good)
    assert f"fitted to {len(good)} images, not calibrated" in detector._repr_html_()
    detector.calibrate(good)
    shown = detector._repr_html_()
    assert "threshold" in shown
    assert shown.index(">dimensions<") < shown.index(">backbone<")


def test_an_ensemble_names_its_members() -> None:
    from anomalist.detectors import Ensemble

    shown = Ensemble(members=("patchcore", PatchCore(sigma=2.0)))._repr_html_()
    assert "patchcore" in shown
    assert len(shown) < 4000


@pytest.mark.parametrize("module", ["matplotlib", "IPython"])
def test_neither_is_needed(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    assert predictions().to_frame().shape == (2, 2)
    assert predictions()._repr_html_()
