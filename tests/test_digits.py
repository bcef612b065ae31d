from __future__ import annotations

import math

import numpy as np
import pytest

from anomalist.digits import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0312549, "-0.03125"),
        (9999.6, "10000"),
        (99999.6, "100000"),
        (123456.7, "123457"),
        (209, "209"),
        (1e15, "1e+15"),
        (float("nan"), "–"),
        (-math.inf, "-inf"),
        (np.float32(41.13), "41.13"),
    ],
)
def test_a_number_has_four_significant_digits_and_its_whole_part(value: float, text: str) -> None:
    assert shown(value) == text


def test_numbers_that_differ_never_look_the_same_beside_each_other() -> None:
    threshold = 41.12731
    above = math.nextafter(threshold, math.inf)
    assert shown(above, beside=threshold) != shown(threshold, beside=above)
    assert float(shown(above, beside=threshold)) > float(shown(threshold, beside=above))
    assert shown(threshold, beside=threshold) == shown(threshold, beside=None) == "41.13"
    assert shown(threshold, beside=math.nan) == "41.13"


@pytest.mark.parametrize("value", [12345678.1, 12345678.4])
def test_whole_parts_that_are_the_same_get_a_fraction(value: float) -> None:
    other = 24691356.5 - value
    assert shown(value, beside=other) == str(value)
