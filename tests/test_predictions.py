from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anomalist.errors import DataError
from anomalist.predictions import Predictions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros(3)}, "scores of shape"),
        ({"maps": np.zeros((2, 4))}, "maps of shape"),
        ({"labels": np.zeros(1, bool)}, "labels of shape"),
        ({"masks": np.zeros((2, 4, 5), bool)}, "masks have shape"),
        ({"defects": ["good"]}, "defect kinds"),
        ({"scores": np.array([0, np.nan])}, r"b\.png: .*finite"),
        ({"maps": np.full((2, 4, 4), np.inf)}, r"a\.png: .*finite"),
    ],
)
def test_shapes_and_values_are_checked(change: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {
        "paths": ["a.png", "b.png"],
        "scores": np.zeros(2),
        "maps": np.zeros((2, 4, 4)),
    }
    with pytest.raises(DataError, match=message):
        Predictions(**{**values, **change})
