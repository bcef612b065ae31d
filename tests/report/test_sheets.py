from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anomalist.data import Transform, read_image
from anomalist.drawing import colour_map
from anomalist.errors import DataError, ParameterError
from anomalist.predictions import Predictions
from anomalist.report import heatmap_sheet, synthesis_sheet
from tests.drawing.eyes import CYAN, cie_lightness, grey, is_colour


@pytest.mark.parametrize("scale", [{}, {"low": 0.0, "high": 0.5, "threshold": 0.5}])
def test_the_sheet_shows_the_typical_image_of_each_kind(
    dot_predictions: Predictions, scale: dict[str, float]
) -> None:
    transform = Transform(64)
    sheet = np.asarray(heatmap_sheet(dot_predictions, transform, **scale, side=64))
    good, defect = sheet[:, :64], sheet[:, 102:166]
    pixels = [transform(read_image(path)) for path in dot_predictions.paths]
    assert np.array_equal(good[:64], pixels[2])  # the median score of the good ones
    assert np.array_equal(defect[:64], pixels[5])
    mask = dot_predictions.masks[5]  # type: ignore[index]
    around = ndimage.binary_dilation(mask, np.ones((3, 3))) & ~mask
    outlined = defect[70:134]
    assert set(map(tuple, outlined[around].tolist())) == {(0, 0, 0), (255, 255, 255)}
    assert np.array_equal(outlined[mask], pixels[5][mask])
    assert np.array_equal(good[70:134], pixels[2])
    heat = defect[140:204]
    top = 0.6 * colour_map(np.array(1.0)) + 0.4 * pixels[5][mask]
    assert np.abs(heat[mask] - top).max() < 2
    assert is_colour(sheet, CYAN).any() == bool(scale)
    assert np.array_equal(good[140:204], pixels[2])


def test_the_sheet_ends_with_a_legend(dot_predictions: Predictions) -> None:
    transform, scale = Transform(64), {"low": 0.0, "high": 0.5}
    plain = heatmap_sheet(dot_predictions, transform, **scale, side=64)
    lined = heatmap_sheet(dot_predictions, transform, **scale, threshold=0.5, side=64)
    body = 3 * 64 + 4 * 6 + 18
    ramp = np.asarray(plain)[body + 13]
    lightness = cie_lightness(ramp[None, 6:266])[0]
    assert lightness[0] == pytest.approx(cie_lightness(grey(1, 1, 200)).item())
    assert is_colour(np.asarray(lined)[body:], CYAN).any()
    unknown = Predictions(
        dot_predictions.paths,
        dot_predictions.scores,
        dot_predictions.maps,
        defects=dot_predictions.defects,
    )
    # One item fewer where no truth is known.
    assert heatmap_sheet(unknown, transform, **scale, side=64).height < plain.height


def test_unknown_kinds_and_half_a_scale_are_refused(dot_predictions: Predictions) -> None:
    with pytest.raises(DataError, match="kind of defect"):
        heatmap_sheet(Predictions(["a"], np.zeros(1), np.zeros((1, 4, 4))), Transform(4))
    with pytest.raises(ParameterError, match="give both or none"):
        heatmap_sheet(dot_predictions, Transform(64), low=0.0)


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
