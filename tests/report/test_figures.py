from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomalist.data import MVTecAD, Transform, load_masks, read_image
from anomalist.errors import DataError
from anomalist.predictions import Predictions
from anomalist.report import colour_map, heatmap_sheet


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
