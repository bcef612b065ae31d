from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anomalist.benchmark.decisions import calibrated_metrics
from anomalist.calibration import Calibration
from anomalist.data import Transform
from anomalist.metrics import Evaluation, f1_at
from anomalist.predictions import Predictions
from tests.metrics.test_original import blobs, predicted
from tests.reference import mvtec


@pytest.mark.parametrize("at", ["original", "input"])
def test_decisions_about_pixels_are_measured_where_the_other_metrics_are(at: str) -> None:
    rng = np.random.default_rng(0)
    good = Predictions(["good.png"] * 40, rng.random(40), rng.normal(8, 1, (40, 20, 20)))
    calibration = Calibration.of(good, method="made up")
    masks = blobs([(50, 41), (33, 60), (70, 70), (24, 24)])
    predictions = predicted(masks, Transform((20, 24), 20))
    predictions = replace(predictions, maps=predictions.maps * np.float32(1.02))
    evaluation = Evaluation(predictions, at)  # type: ignore[arg-type]
    decisions = calibrated_metrics(evaluation, calibration, 0.2)
    maps, truth = list(predictions.maps), list(predictions.masks)  # type: ignore[arg-type]
    if at == "original":
        truth = masks
        maps = mvtec.with_unseen_lowest(
            [
                mvtec.enlarged(values, Transform((20, 24), 20).region(mask.shape), mask.shape)
                for values, mask in zip(predictions.maps, masks, strict=True)
            ]
        )
    above = np.nextafter(np.float64(calibration.pixel_threshold(0.2)), np.inf)
    expected = f1_at(
        np.concatenate([m.ravel() for m in maps]), np.concatenate([m.ravel() for m in truth]), above
    )
    value = decisions.values["pixel_F1_calibrated"]
    assert value == pytest.approx(expected, abs=1e-9)
    low, high = decisions.intervals["pixel_F1_calibrated"]
    assert value is not None
    assert low <= value <= high
