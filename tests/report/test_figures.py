from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomalist.data import MVTecAD, Transform, load_masks, read_image
from anomalist.errors import DataError, ParameterError
from anomalist.predictions import Predictions
from anomalist.report import colour_map, heatmap_sheet, synthesis_sheet


def test_brighter_is_more_anomalous() -> None:
    colours = colour_map(np.linspace(0, 1, 50)).astype(float)
    lightness = colours @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness) > 0).all()


def test_the_sheet_shows_the_typical_image_of_each_kind(dots: Path) -> None:
    test = MVTecAD(dots).category("dot").test
    transform = Transform(64)
    masks = load_masks(test, transform)
    assert masks is not None
    scores = np.array([3.0, 1.0, 2.0, 9.0, 7.0, 8.0])
    predictions = Predictions(
        test.paths, scores, masks.astype(float), test.labels, masks, test.defects
    )
    sheet = np.asarray(heatmap_sheet(predictions, transform))
    assert sheet.shape[1] == 2 * 64 + 6
    good, defect = sheet[:, :64], sheet[:, 70:]
    pixels = [transform(read_image(path)) for path in test.paths]
    assert np.array_equal(good[:64], pixels[2])  # the median score of the good ones
    assert np.array_equal(defect[:64], pixels[5])
    outline = (defect[70:134] == (0, 220, 255)).all(axis=2)
    assert outline.any()
    assert not (outline & masks[5]).any()
    assert not (good[70:134] == (0, 220, 255)).all(axis=2).any()
    heat = defect[140:204].astype(int).sum(axis=2)
    assert heat[masks[5]].min() > heat[~masks[5]].max()


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(DataError, match="kind of defect"):
        heatmap_sheet(Predictions(["a"], np.zeros(1), np.zeros((1, 4, 4))), Transform(4))


def test_masks_are_outlined_on_the_sheet_and_nothing_else_changes() -> None:
    images = [np.full((20, 30, 3), 10 * i, np.uint8) for i in range(1, 6)]
    masks = [np.zeros((20, 30), bool) for _ in images]
    masks[3][5:9, 6:12] = True
    sheet = np.asarray(synthesis_sheet(list(zip(images, masks, strict=True)), columns=3))
    assert sheet.shape == (46, 102, 3)
    assert (sheet[:20, 36:66] == 20).all()
    fourth = sheet[26:, :30]
    line = (fourth == (0, 220, 255)).all(axis=2)
    assert line.sum() == 6 * 8 - 4 * 6
    assert (fourth[~line] == 40).all()
    assert (fourth[masks[3]] == 40).all()
    assert (sheet[26:, 72:] == 255).all()
    assert (images[3] == 40).all()
    assert synthesis_sheet([(images[0], masks[0])]).size == (30, 20)


def test_a_sheet_needs_images_of_one_size() -> None:
    pair = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)
    other = np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9), bool)
    with pytest.raises(DataError, match="one size, not of none"):
        synthesis_sheet([])
    with pytest.raises(DataError, match="one size"):
        synthesis_sheet([pair, other])
    with pytest.raises(ParameterError, match="columns"):
        synthesis_sheet([pair], columns=0)
