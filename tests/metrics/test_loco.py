"""Logical and structural anomalies apart, on a drawn MVTec LOCO, as its evaluation has it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anomalist.cli.main import main
from anomalist.data import MVTecAD, Transform
from anomalist.data.loader import load_masks
from anomalist.metrics import SPRO_LIMITS, Evaluation, auroc, evaluate
from anomalist.predictions import Predictions
from tests.data.drawn_loco import draw_loco
from tests.reference import mvtec
from tests.reference import spro as reference

GROUPS = ("logical", "structural", "mean")
NAMES = [f"image_AUROC_{group}" for group in GROUPS] + [
    f"pixel_sPRO_{limit:g}_{group}" for limit in SPRO_LIMITS for group in GROUPS
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_loco(tmp_path_factory.mktemp("loco"))


@pytest.fixture
def predictions(folder: Path) -> Predictions:
    return predicted(folder)


def predicted(folder: Path, size: tuple[int, int] = (20, 24), seed: int = 0) -> Predictions:
    images = MVTecAD(folder).category("pushpins").test
    transform = Transform(size)
    masks = load_masks(images, transform)
    assert masks is not None
    rng = np.random.default_rng(seed)
    maps = (rng.normal(size=masks.shape) + masks + 8).astype(np.float32)
    scores = maps.max(axis=(1, 2))
    return Predictions(
        images.paths,
        scores,
        maps,
        images.labels,
        masks,
        images.defects,
        images=images,
        transform=transform,
    )


def test_equal_to_the_definition_at_the_size_of_each_mask(predictions: Predictions) -> None:
    metrics = evaluate(predictions, intervals=True, n_bootstrap=40)
    assert [name for name in metrics.others if name != "pixel_AUPIMO"] == NAMES
    maps = [
        mvtec.enlarged(values, (0, 0, 72, 60), (60, 72)).astype(np.float32)
        for values in predictions.maps
    ]
    assert predictions.labels is not None
    of_group = {}
    for group, images in (("logical", range(6)), ("structural", [0, 1, 2, 6, 7, 8])):
        defects = [
            [(d.pixels, d.saturation) for d in predictions.images[i].read_defects()]
            if predictions.labels[i]
            else []
            for i in images
        ]
        curve = reference.curve([maps[i] for i in images], defects)
        for limit in SPRO_LIMITS:
            expected = reference.area_up_to(*curve, limit) / limit
            of_group[limit, group] = expected
            value = metrics.others[f"pixel_sPRO_{limit:g}_{group}"]
            assert value == pytest.approx(expected, abs=1e-6)
        chosen = np.array(images)
        assert metrics.others[f"image_AUROC_{group}"] == pytest.approx(
            auroc(predictions.scores[chosen], predictions.labels[chosen])
        )
    for limit in SPRO_LIMITS:
        mean = (of_group[limit, "logical"] + of_group[limit, "structural"]) / 2
        assert metrics.others[f"pixel_sPRO_{limit:g}_mean"] == pytest.approx(mean, abs=1e-6)
    for name in NAMES:
        low, high = metrics.intervals[name]
        assert 0 <= low <= metrics.others[name] <= high <= 1  # type: ignore[operator]


def test_intervals_of_the_mean_draw_the_good_images_once(predictions: Predictions) -> None:
    # Where both groups score alike, their mean moves as either does.
    scores = predictions.scores.copy()
    scores[6:] = scores[3:6] = [8.5, 9.5, 10.5]
    scores[:3] = [8, 9, 10]
    found = evaluate(replace(predictions, scores=scores), intervals=True, n_bootstrap=400)
    lows = {group: found.intervals[f"image_AUROC_{group}"][0] for group in GROUPS}
    assert lows["logical"] <= lows["mean"] + 0.05
    assert found.others["image_AUROC_mean"] == found.others["image_AUROC_logical"]


def test_at_the_input_there_is_no_spro_and_a_note_says_why(predictions: Predictions) -> None:
    metrics = evaluate(predictions, at="input")
    assert [n for n in metrics.others if "sPRO" in n] == []
    assert metrics.others["image_AUROC_mean"] is not None
    (note,) = [note for note in metrics.notes if "sPRO" in note]
    assert "measure at their size (evaluate_at original)" in note


def test_maps_made_at_the_masks_size_are_measured_as_they_are(folder: Path) -> None:
    made = predicted(folder, (60, 72))
    by_hand = replace(made, transform=None)
    assert evaluate(by_hand).evaluated_at == "input"
    assert evaluate(by_hand).others == evaluate(made).others
    assert "pixel_sPRO_0.05_mean" in evaluate(by_hand).others


def test_what_keeps_spro_from_being_measured_is_told(tmp_path: Path) -> None:
    folder = draw_loco(tmp_path)
    made = predicted(folder)
    config = folder / "defects_config.json"
    text = config.read_text()
    config.write_text(text.replace("254", "253"))
    for words in ("grey value 254, which", "defects_config.json is missing"):
        metrics = evaluate(made, intervals=True, n_bootstrap=5)
        assert [n for n in metrics.others if "sPRO" in n] == []
        (note,) = [note for note in metrics.notes if "sPRO" in note]
        assert note.startswith("no pixel_sPRO: ")
        assert words in note
        assert metrics.pixel_PRO is not None
        config.unlink(missing_ok=True)
    assert "no pixel_sPRO: it takes a mask" in " ".join(evaluate(replace(made, masks=None)).notes)


def test_a_group_alone_has_no_mean(predictions: Predictions) -> None:
    others = evaluate(predictions[:6]).others
    assert {n for n in others if "AUROC" in n} == {"image_AUROC_logical"}
    assert not any("structural" in n or "mean" in n for n in others)
    without_good = evaluate(predictions[3:])
    assert not any("AUROC" in n or "sPRO" in n for n in without_good.others)


def test_other_data_sets_have_none_of_it(predictions: Predictions) -> None:
    kinds = ["good"] * 3 + ["cut"] * 6
    evaluation = Evaluation(replace(predictions, defects=kinds))
    assert evaluation.logical_structural is None
    assert not any("logical" in name for name in evaluation.metrics().others)
    assert Evaluation(replace(predictions, defects=None)).logical_structural is None


def test_a_benchmark_of_it_has_columns_files_and_a_report(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--image_size", "64", "--patchcore.coreset_ratio", "0.5", "--device", "cpu"]
    out = ["--out", str(tmp_path / "out"), "--detectors", "patchcore", *small]
    assert main(["benchmark", str(folder.parent), *out]) == 0
    printed = capsys.readouterr().out.replace("\n", " ")
    assert "no pixel_AUPIMO" in printed
    values = json.loads((tmp_path / "out" / "patchcore" / "pushpins_metrics.json").read_text())
    assert set(NAMES) <= values.keys()
    header = (tmp_path / "out" / "results.csv").read_text().splitlines()[0].split(",")
    assert header[-len(NAMES) :] == NAMES
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Pixel sPRO to 0.05, logical" in page
    assert "Image AUROC, mean" in page
    table = (tmp_path / "out" / "results.md").read_text()
    assert "pixel_sPRO_0.05_mean" in table
    assert "pixel_sPRO_0.3_mean" not in table
