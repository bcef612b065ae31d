from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anomalist.errors import DataError, ParameterError
from anomalist.metrics import (
    Evaluation,
    Metrics,
    aupimo,
    auroc,
    average_precision,
    best_f1,
    bootstrap_interval,
    evaluate,
    pro,
)
from anomalist.predictions import Predictions

NAMES = [
    "image_AUROC",
    "image_AP",
    "image_F1Score",
    "pixel_AUROC",
    "pixel_AP",
    "pixel_F1Score",
    "pixel_PRO",
]


FEW = "no pixel_AUPIMO: it takes 100,000 pixels of good test images, there are 1,024"


@pytest.fixture
def predictions() -> Predictions:
    rng = np.random.default_rng(0)
    masks = np.zeros((12, 16, 16), dtype=bool)
    for mask in masks[4:]:
        y, x = rng.integers(0, 10, 2)
        mask[y : y + 5, x : x + 4] = True
    maps = (rng.normal(size=masks.shape) + masks).astype(np.float32)
    return Predictions(
        paths=[f"{i:03}.png" for i in range(12)],
        scores=maps.max(axis=(1, 2)),
        maps=maps,
        labels=np.arange(12) >= 4,
        masks=masks,
    )


def test_the_seven_values_are_those_of_the_functions(predictions: Predictions) -> None:
    metrics = evaluate(predictions)
    scores, labels = predictions.scores, predictions.labels
    maps, masks = predictions.maps, predictions.masks
    assert labels is not None
    assert masks is not None
    assert metrics.as_dict() == {
        "image_AUROC": auroc(scores, labels),
        "image_AP": average_precision(scores, labels),
        "image_F1Score": best_f1(scores, labels)[0],
        "pixel_AUROC": auroc(maps, masks),
        "pixel_AP": average_precision(maps, masks),
        "pixel_F1Score": best_f1(maps, masks)[0],
        "pixel_PRO": pro(maps, masks),
    }
    assert list(metrics.as_dict()) == NAMES
    assert all(type(value) is float for value in metrics.as_dict().values())
    assert metrics.image_threshold == best_f1(scores, labels)[1]
    assert metrics.pixel_threshold == best_f1(maps, masks)[1]
    assert metrics.intervals == {}
    assert metrics.notes == (FEW,)


def test_pro_at_other_limits_stands_beside_the_seven(predictions: Predictions) -> None:
    metrics = evaluate(predictions, pro_limits=[0.05, 0.3, 1], intervals=True, n_bootstrap=30)
    assert list(metrics.as_dict()) == [*NAMES, "pixel_PRO_0.05", "pixel_PRO_1"]
    assert predictions.masks is not None
    assert list(metrics.others.values()) == pytest.approx(
        pro(predictions.maps, predictions.masks, [0.05, 1]).tolist(), abs=1e-12
    )
    for name in metrics.others:
        low, high = metrics.intervals[name]
        assert low <= metrics.as_dict()[name] <= high  # type: ignore[operator]
    assert {n: v for n, v in metrics.as_dict().items() if n in NAMES} == evaluate(
        predictions
    ).as_dict()
    assert "pixel_PRO_0.05  0." in str(metrics)
    with pytest.raises(ParameterError, match="fpr_limit"):
        evaluate(predictions, pro_limits=[0])


def large(good: int = 2) -> Predictions:
    """Images of which one holds more than the pixels that AUPIMO takes."""
    rng = np.random.default_rng(0)
    masks = np.zeros((good + 3, 330, 330), bool)
    for mask in masks[good:]:
        y, x = rng.integers(0, 300, 2)
        mask[y : y + 20, x : x + 9] = True
    maps = (rng.normal(size=masks.shape) + 4 * masks).astype(np.float32)
    labels = np.arange(len(masks)) >= good
    names = [f"{i}.png" for i in range(len(masks))]
    return Predictions(names, maps.max(axis=(1, 2)), maps, labels, masks)


def test_aupimo_is_measured_where_good_images_tell_it() -> None:
    predictions = large()
    metrics = evaluate(predictions, intervals=True, n_bootstrap=50)
    mean, scores = aupimo(predictions.maps, predictions.masks)  # type: ignore[arg-type]
    assert metrics.others == {"pixel_AUPIMO": mean}
    low, high = metrics.intervals["pixel_AUPIMO"]
    assert 0 <= low < mean < high <= 1
    assert metrics.notes == ()
    overlap = Evaluation(predictions).per_image_overlap
    assert overlap is not None
    np.testing.assert_array_equal(overlap.scores, scores)
    (note,) = [n for n in evaluate(large(good=0)).notes if "AUPIMO" in n]
    assert note == "no pixel_AUPIMO: it takes good test images"


def test_an_image_with_an_empty_mask_has_no_part_in_aupimo() -> None:
    predictions = large()
    assert predictions.masks is not None
    masks = predictions.masks.copy()
    masks[3] = False
    metrics = evaluate(replace(predictions, masks=masks), intervals=True, n_bootstrap=20)
    kept = predictions[[0, 1, 2, 4]]
    assert metrics.others["pixel_AUPIMO"] == pytest.approx(
        aupimo(kept.maps, kept.masks)[0],  # type: ignore[arg-type]
        abs=1e-12,
    )


def test_raw_values_beyond_0_and_1_are_ranked_as_they_are(predictions: Predictions) -> None:
    # Clamped to [0, 1] first, as some evaluations do, all of these would tie.
    shifted = replace(
        predictions, scores=predictions.scores + 100, maps=predictions.maps.astype(float) + 100
    )
    assert evaluate(shifted).as_dict() == pytest.approx(evaluate(predictions).as_dict())


def test_intervals_are_those_of_bootstrap_interval(predictions: Predictions) -> None:
    metrics = evaluate(predictions, intervals=True, n_bootstrap=40, level=0.9, seed=5)
    assert list(metrics.intervals) == NAMES
    assert predictions.labels is not None
    assert predictions.masks is not None
    for name, ends in metrics.intervals.items():
        kind, metric = name.split("_")
        data = {
            "image": (predictions.scores, predictions.labels),
            "pixel": (predictions.maps, predictions.masks),
        }[kind]
        assert ends == bootstrap_interval(metric, *data, n_bootstrap=40, level=0.9, seed=5)
        assert ends[0] <= ends[1]


def test_without_labels_or_masks_values_are_none_and_notes_say_why(
    predictions: Predictions,
) -> None:
    metrics = evaluate(replace(predictions, labels=None), intervals=True, n_bootstrap=5)
    assert metrics.image_AUROC is metrics.image_threshold is None
    assert metrics.pixel_PRO is not None
    assert metrics.notes == ("no image metrics: the labels are unknown", FEW)
    assert [name[:5] for name in metrics.intervals] == ["pixel"] * 4

    metrics = evaluate(replace(predictions, masks=None))
    assert metrics.pixel_PRO is metrics.pixel_threshold is None
    assert metrics.image_AUROC is not None
    assert metrics.notes == ("no pixel metrics: they take masks of defects",)

    metrics = evaluate(replace(predictions, labels=None, masks=None))
    assert set(metrics.as_dict().values()) == {None}
    assert len(metrics.notes) == 2


def test_a_single_class_gives_none_and_a_note(predictions: Predictions) -> None:
    n = len(predictions)
    good = replace(
        predictions, labels=np.zeros(n, dtype=bool), masks=np.zeros(predictions.maps.shape, bool)
    )
    metrics = evaluate(good)
    assert set(metrics.as_dict().values()) == {None}
    assert metrics.notes == (
        "no image metrics: all 12 images are normal",
        "no pixel metrics: the masks hold no defective pixel",
    )
    bad = replace(
        predictions, labels=np.ones(n, dtype=bool), masks=np.ones(predictions.maps.shape, bool)
    )
    assert evaluate(bad).notes == (
        "no image metrics: all 12 images are anomalous",
        "no pixel metrics: the masks hold no normal pixel",
    )


def test_a_defect_on_an_image_labelled_normal_names_the_image(predictions: Predictions) -> None:
    assert predictions.masks is not None
    masks = predictions.masks.copy()
    masks[2, 0, :3] = True
    with pytest.raises(DataError, match=r"002\.png: labelled normal, but .* 3 defective pixels"):
        evaluate(replace(predictions, masks=masks))


def test_a_vanished_defect_adds_no_region_and_is_noted(predictions: Predictions) -> None:
    assert predictions.masks is not None
    masks = predictions.masks.copy()
    masks[[5, 7]] = False
    metrics = evaluate(replace(predictions, masks=masks), intervals=True, n_bootstrap=20)
    assert metrics.pixel_PRO == pro(predictions.maps, masks)
    assert metrics.image_AUROC == evaluate(predictions).image_AUROC
    note, few = metrics.notes
    assert few == FEW
    assert note.startswith("2 anomalous images have an empty mask")
    masks[7] = predictions.masks[7]
    note, _ = evaluate(replace(predictions, masks=masks)).notes
    assert note.startswith("1 anomalous image has an empty mask")


def test_constant_maps_have_defined_values(predictions: Predictions) -> None:
    metrics = evaluate(replace(predictions, maps=np.zeros_like(predictions.maps)))
    assert predictions.masks is not None
    share = predictions.masks.mean()
    assert metrics.pixel_AUROC == 0.5
    assert metrics.pixel_AP == pytest.approx(share)
    assert metrics.pixel_F1Score == pytest.approx(2 * share / (1 + share))
    assert metrics.pixel_PRO == pytest.approx(0.15)
    assert metrics.pixel_threshold == 0.0


def test_labels_and_masks_other_than_0_and_1_are_refused(predictions: Predictions) -> None:
    assert predictions.labels is not None
    assert predictions.masks is not None
    as_numbers = replace(
        predictions,
        labels=predictions.labels.astype(np.int64),
        masks=predictions.masks.astype(np.uint8),
    )
    assert evaluate(as_numbers) == evaluate(predictions)
    with pytest.raises(DataError, match="labels must be 0 or 1, not 2"):
        evaluate(replace(as_numbers, labels=2 * as_numbers.labels))
    with pytest.raises(DataError, match="masks must be 0 or 1, not 255"):
        evaluate(replace(as_numbers, masks=255 * as_numbers.masks))


def test_senseless_arguments_are_refused(predictions: Predictions) -> None:
    with pytest.raises(ParameterError, match="n_bootstrap"):
        evaluate(predictions, intervals=True, n_bootstrap=0)
    with pytest.raises(ParameterError, match="level"):
        evaluate(predictions, intervals=True, level=1.0)


def test_printed_table() -> None:
    metrics = Metrics(
        image_AUROC=1.0,
        pixel_PRO=0.87654,
        intervals={"image_AUROC": (0.98765, 1.0)},
        level=0.9,
        notes=("something to know",),
    )
    assert str(metrics).splitlines() == [
        "metric          value  90 % interval",
        "image_AUROC    1.0000  0.9877 to 1.0000",
        "image_AP            -",
        "image_F1Score       -",
        "pixel_AUROC         -",
        "pixel_AP            -",
        "pixel_F1Score       -",
        "pixel_PRO      0.8765",
        "Note: something to know",
    ]
