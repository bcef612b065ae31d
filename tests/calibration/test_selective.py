from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalist.calibration import error_coverage, error_coverage_area, p_values, state, unsure
from anomalist.errors import DataError, ParameterError
from tests.reference import conformal as reference

pairs = st.lists(st.tuples(st.integers(0, 3).map(float), st.booleans()), min_size=1, max_size=6)


@given(pairs)
def test_the_curve_is_the_mean_over_orders_of_equal_confidence(
    decisions: list[tuple[float, bool]],
) -> None:
    confidence, errors = zip(*decisions, strict=True)
    coverage, error = error_coverage(confidence, errors)
    np.testing.assert_allclose(error, reference.error_coverage(confidence, errors), atol=1e-12)
    np.testing.assert_allclose(coverage, np.arange(1, len(errors) + 1) / len(errors))
    assert error_coverage_area(confidence, errors) == pytest.approx(error.mean())


@given(pairs)
def test_all_images_have_the_error_of_all(decisions: list[tuple[float, bool]]) -> None:
    confidence, errors = zip(*decisions, strict=True)
    assert error_coverage(confidence, errors)[1][-1] == pytest.approx(np.mean(errors))
    ignorant = error_coverage_area(np.zeros(len(errors)), errors)
    assert ignorant == pytest.approx(np.mean(errors))


@given(pairs)
def test_confidence_that_knows_the_errors_is_the_best(decisions: list[tuple[float, bool]]) -> None:
    confidence, errors = zip(*decisions, strict=True)
    area = error_coverage_area(confidence, errors)
    assert error_coverage_area(~np.array(errors), errors) <= area + 1e-12
    assert error_coverage_area(errors, errors) >= area - 1e-12


def test_any_confidence_is_ranked_exactly() -> None:
    confidence = np.array([0, 255, 128], np.uint8)
    assert error_coverage(confidence, [1, 0, 0])[1].tolist() == [0.0, 0.0, 1 / 3]


def test_good_images_are_set_aside_as_seldom_as_asked_for() -> None:
    rng = np.random.default_rng(0)
    called, aside = 0.0, 0.0
    for _ in range(1000):
        p = p_values(rng.normal(size=20), rng.normal(size=59))
        called += (p <= 0.05).mean() / 1000
        aside += unsure(p, alpha=0.05, review=0.2).mean() / 1000
    assert called == pytest.approx(0.05, abs=0.005)
    assert aside == pytest.approx(0.15, abs=0.01)


def test_equal_rates_leave_nothing_unsure() -> None:
    assert not unsure(np.linspace(0, 1, 101), alpha=0.1, review=0.1).any()


@pytest.mark.parametrize(("alpha", "review"), [(0, 0.1), (0.2, 0.1), (0.1, 1), (math.nan, 0.1)])
def test_rates_that_make_no_sense_are_refused(alpha: float, review: float) -> None:
    with pytest.raises(ParameterError, match="alpha and review"):
        unsure([0.5], alpha, review)


@pytest.mark.parametrize("p", [[-0.1], [1.1], [math.nan], ["a"]])
def test_p_values_that_are_none_are_refused(p: npt.ArrayLike) -> None:
    with pytest.raises(DataError, match="from 0 to 1"):
        unsure(p)


@pytest.mark.parametrize(
    ("confidence", "errors", "message"),
    [
        ([], [], "N at least 1"),
        ([1.0], [0, 1], "one shape"),
        ([[1.0]], [[1]], "one shape"),
        ([math.nan], [1], "finite"),
        ([1.0], [2], "errors must be 0 or 1"),
    ],
)
def test_decisions_that_make_no_sense_are_refused(
    confidence: Any, errors: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        error_coverage(confidence, errors)


@pytest.mark.parametrize(
    ("score", "threshold", "p_value", "alpha", "expected"),
    [
        (1.1, 1.0, 0.05, 0.05, "anomalous"),
        (1.1, 1.0, 0.9, 0.05, "anomalous"),  # a given threshold, far below the calibration's
        (1.0, 1.0, 0.06, 0.05, "unsure"),
        (0.5, 1.0, 0.2, 0.05, "unsure"),
        (0.5, 1.0, 0.02, 0.05, "unsure"),  # a given threshold, far above
        (0.5, 1.0, 0.21, 0.05, "normal"),
        (0.5, 1.0, 0.25, 0.3, "unsure"),
        (0.5, 1.0, None, 0.05, "normal"),
        (0.5, None, 0.01, 0.05, "undecided"),
    ],
)
def test_what_becomes_of_an_image(
    score: float, threshold: float | None, p_value: float | None, alpha: float, expected: str
) -> None:
    assert state(score, threshold, p_value, alpha) == expected
