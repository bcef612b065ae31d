from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomalist.data import MVTecAD, Transform, load_masks
from anomalist.predictions import Predictions


@pytest.fixture
def dot_predictions(dots: Path) -> Predictions:
    test = MVTecAD(dots).category("dot").test
    masks = load_masks(test, Transform(64))
    assert masks is not None
    scores = np.array([3.0, 1.0, 2.0, 9.0, 7.0, 8.0])
    return Predictions(
        test.paths, scores, masks.astype(np.float32), test.labels, masks, test.defects
    )
