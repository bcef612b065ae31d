from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from anomalist.calibration import State
from anomalist.data import ImageSet, Sample, Transform, read_image
from anomalist.errors import DataError, ParameterError
from anomalist.predictions import Predictions
from anomalist.report import contact_sheet
from tests.drawing.eyes import SCALE

COLOURS = {"anomalous": (200, 30, 40), "unsure": (170, 105, 0), "normal": (110, 110, 110)}


def test_what_is_anomalous_unsure_and_normal_stands_apart(dot_predictions: Predictions) -> None:
    transform, side = Transform(64), 128
    states: list[State] = ["normal"] * 6  # of the scores 3, 1, 2, 9, 7, 8
    states[3] = states[5] = "anomalous"
    states[4] = "unsure"
    sheet = np.asarray(
        contact_sheet(
            dot_predictions,
            transform,
            low=0.0,
            high=0.5,
            threshold=0.5,
            image_threshold=7.5,
            states=states,
            columns=3,
            side=side,
        )
    )
    cell = side + 10
    tops = {}
    for what, colour in COLOURS.items():
        # The heading is as wide as the sheet.
        full = np.flatnonzero((sheet == colour).all(axis=(1, 2)))
        tops[what] = full.max() + 1 + 6
    assert tops["anomalous"] < tops["unsure"] < tops["normal"]
    places = {3: ("anomalous", 0), 5: ("anomalous", 1), 4: ("unsure", 0)}
    places |= {0: ("normal", 0), 2: ("normal", 1), 1: ("normal", 2)}
    for i, (what, column) in places.items():
        y, x = tops[what] + 5, column * (cell + 6) + 5
        tile = sheet[y : y + side, x : x + side]
        photograph = transform(read_image(dot_predictions.paths[i]))
        large = np.asarray(Image.fromarray(photograph).resize((side, side))).astype(int)
        assert (np.abs(tile - large).max(axis=2) <= 25).mean() > 0.7
        for line in (
            sheet[y - 1, x : x + side],
            sheet[y + side, x : x + side],
            sheet[y : y + side, x - 1],
            sheet[y : y + side, x + side],
        ):
            frame = (line == COLOURS[what]).all(axis=1).mean()
            assert frame == pytest.approx(0.5, abs=0.1) if what == "unsure" else frame == 1
        assert (sheet[y + side + 8 : y + side + 40, x : x + side] < 100).any()


def test_photographs_keep_their_proportions() -> None:
    shapes = {"wide": (20, 400), "tall": (400, 20), "tiny": (8, 8)}
    frames = [Sample(name, image=np.zeros(shape, np.uint8)) for name, shape in shapes.items()]
    images = ImageSet(frames)
    predictions = Predictions(images.paths, np.arange(3.0), np.zeros((3, 4, 4)), images=images)
    sheet = contact_sheet(predictions, Transform(4), low=0.0, high=1.0, side=100)
    black = (np.asarray(sheet)[-147:-47] == 0).all(axis=2)
    tiny, tall, wide = (black[:, i * 116 : i * 116 + 110] for i in range(3))
    wide = wide[:8]  # its name follows
    assert (tiny.any(axis=0).sum(), tiny.any(axis=1).sum()) == (100, 100)
    assert (tall.any(axis=0).sum(), tall.any(axis=1).sum()) == (5, 100)
    assert (wide.any(axis=0).sum(), wide.any(axis=1).sum()) == (100, 5)


def test_the_contact_sheet_has_a_limit_of_pixels(dot_predictions: Predictions) -> None:
    many = 40
    predictions = Predictions(
        [dot_predictions.paths[0]] * many, np.arange(float(many)), np.zeros((many, 64, 64))
    )
    transform, scale = Transform(64), {"low": 0.0, "high": 1.0}
    full = contact_sheet(predictions, transform, **scale, columns=5, side=64)
    limit = full.width * full.height // 2
    cut = contact_sheet(predictions, transform, **scale, columns=5, side=64, max_pixels=limit)
    assert limit / 2 < cut.width * cut.height <= limit
    with pytest.raises(ParameterError, match="max_pixels 1000 doesn't hold a row of 5"):
        contact_sheet(predictions, transform, **scale, columns=5, side=64, max_pixels=1000)


def test_contact_sheets_without_images_or_columns_are_refused(
    dot_predictions: Predictions,
) -> None:
    empty = Predictions([], np.zeros(0), np.zeros((0, 4, 4)))
    with pytest.raises(DataError, match="at least one image"):
        contact_sheet(empty, Transform(4), **SCALE)
    for name in ("columns", "side", "max_pixels"):
        with pytest.raises(ParameterError, match=f"{name} must be at least 1"):
            contact_sheet(dot_predictions, Transform(64), **SCALE, **{name: 0})  # type: ignore[arg-type]


def test_the_truth_of_good_images_alone_needs_no_key(dot_predictions: Predictions) -> None:
    empty = np.zeros(dot_predictions.maps.shape, np.bool_)
    known, unknown = (
        contact_sheet(
            dataclasses.replace(dot_predictions, masks=masks),
            Transform(64),
            low=0.0,
            high=0.5,
            threshold=0.5,
        )
        for masks in (empty, None)
    )
    assert np.array_equal(np.asarray(known), np.asarray(unknown))
