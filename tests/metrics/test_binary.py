from __future__ import annotations

import numpy as np
import pytest

from anomalist.errors import DataError, ParameterError
from anomalist.metrics import class_f1, seg_f1
from tests.reference import binary


@pytest.mark.parametrize("seed", range(6))
def test_they_are_what_counting_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((5, 9, 7)) < rng.choice([0.02, 0.3])
    masks[0] = False
    maps = np.round(rng.normal(size=masks.shape) + masks, 1).astype(rng.choice(["f4", "f8"]))
    labels = masks.any(axis=(1, 2))
    for threshold in (-9.0, float(maps[1, 0, 0]), 0.5, 2.0, 9.0):
        assert seg_f1(maps, masks, threshold) == pytest.approx(
            binary.seg_f1(maps, masks, threshold)
        )
        assert class_f1(maps, labels, threshold) == pytest.approx(
            binary.class_f1(maps, labels, threshold)
        )


def test_a_value_at_the_threshold_is_no_alarm() -> None:
    maps, masks = np.full((1, 1, 2), 0.1, np.float32), np.array([[[1, 0]]])
    assert seg_f1(maps, masks, np.float32(0.1)) == 0
    assert class_f1(maps, [1], np.float32(0.1)) == 0


def test_what_makes_no_sense_is_refused() -> None:
    maps = np.zeros((2, 2, 2))
    with pytest.raises(DataError, match="the masks hold none"):
        seg_f1(maps, maps, 0.5)
    with pytest.raises(DataError, match="there is none"):
        class_f1(maps, [0, 0], 0.5)
    with pytest.raises(DataError, match="labels"):
        class_f1(maps, [1], 0.5)
    with pytest.raises(DataError):
        class_f1(np.full((1, 2, 2), np.nan), [1], 0.5)
    for wrong in (lambda: seg_f1(maps, maps == 0, np.nan), lambda: class_f1(maps, [1, 0], np.nan)):
        with pytest.raises(ParameterError, match="NaN"):
            wrong()
