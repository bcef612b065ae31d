from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anomalist import CFA, PatchCore
from anomalist.calibration import promised_range
from anomalist.cli.main import main
from anomalist.errors import ParameterError
from anomalist.inspection import evaluate_model, fit_parts, model_card, open_parts

SMALL: dict[str, Any] = {"image_size": 32, "device": "cpu"}


def test_a_fit_holds_out_a_share_and_knows_all_images(dots: Path, tmp_path: Path) -> None:
    parts = open_parts(dots)
    out = tmp_path / "dot.anomalist"
    result = fit_parts(CFA(**SMALL, epochs=1), parts, out, alpha=0.3, split=0.5)
    alone = CFA(**SMALL, epochs=1)
    alone.calibrate(parts.train, split=0.5)
    assert alone.calibration_ is not None
    assert result.rule.threshold == alone.calibration_.threshold(0.3)
    assert (result.rule.images, result.split, result.as_dict()["split"]) == (3, 0.5, 0.5)
    assert any("fitted to 3 of 6 images, the other 3 calibrate" in note for note in result.notes)
    assert len(result.least_normal) == 3
    # Those held out are no new images either.
    detector = result.detector
    assert len(detector.images_) == 3
    assert len(detector.summary_["known_images"]) == 6
    (tmp_path / "mixed").mkdir()
    for name in ("train/good", "test/square"):
        target = tmp_path / "mixed" / name.split("/")[1]
        target.symlink_to(dots / "dot" / name)
    measured = evaluate_model(detector, tmp_path / "mixed")
    assert any("not measured: 6 images" in note for note in measured.notes)
    method = model_card(out)["calibration"]["method"]
    assert method == "3 of 6 images, held out of the fit at random"


def test_those_that_train_hold_out_where_images_are_enough(dots: Path, tmp_path: Path) -> None:
    parts, out = open_parts(dots), tmp_path / "dot.anomalist"
    assert fit_parts(CFA(**SMALL, epochs=1), parts, out, alpha=0.4).split == 0.3
    folds = fit_parts(CFA(**SMALL, epochs=1), parts, out, alpha=0.3)
    assert (folds.split, folds.rule.images) == (0, 6)
    # Other trainings gave these scores: the range is wider, and the file and the rule say so.
    assert folds.rule.retrained
    assert folds.rule.promise == promised_range(6, 0.3, retrained=True)
    assert "scored by other trainings" in folds.rule.describe()
    rows = {row["alpha"]: row for row in model_card(out)["calibration"]["thresholds"]}
    assert rows[0.3]["false_alarms_expected"] == list(promised_range(6, 0.3, retrained=True))
    assert fit_parts(PatchCore(**SMALL), parts, out, alpha=0.4).split == 0
    with pytest.raises(ParameterError, match="split must be a share"):
        fit_parts(PatchCore(**SMALL), parts, out, split=-0.5)


def test_the_command_tells_a_split_and_what_it_lacks(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ["fit", "patchcore", "--data", str(dots), "--out", str(tmp_path / "a.anomalist")]
    small = ["--image_size", "32", "--device", "cpu"]
    assert main([*fit, *small, "--split", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert "too few to guarantee a false-alarm rate of 5%, which takes 19: give 38" in printed
    assert "least normal of the images held out to calibrate" in printed
    assert main(["info", str(tmp_path / "a.anomalist")]) == 0
    assert "3 of 6 images, held out of the fit at random" in capsys.readouterr().out
    assert main([*fit, *small, "--split", "1"]) == 1
    assert "split must be a share of the images" in capsys.readouterr().err.splitlines()[-1]
