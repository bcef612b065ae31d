from __future__ import annotations

import math

import numpy as np
import pytest

from anomalist.calibration import Drift
from anomalist.errors import DataError
from tests.reference.drift import evidence


@pytest.mark.parametrize("sides", [(-1, 1), (1,), (-1,)])
@pytest.mark.parametrize("seed", range(3))
def test_evidence_is_the_mean_over_bets_and_beginnings(seed: int, sides: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    learnt, new = rng.integers(0, 9, 12).astype(float), rng.integers(2, 11, 9).astype(float)
    drift = Drift(learnt, sides=sides)
    drift.add(new)
    assert math.exp(drift.log_evidence) == pytest.approx(evidence(learnt, new, sides), rel=1e-9)


@pytest.mark.parametrize("learnt", [2, 20, 200])
def test_numbers_like_the_learnt_ones_are_told_in_no_more_runs_than_stated(learnt: int) -> None:
    rng = np.random.default_rng(learnt)
    told = 0
    for _ in range(400):
        # Of one heavy-tailed distribution, and looked at after each.
        drift = Drift(rng.standard_t(2, learnt), limit=20)
        drift.add(rng.standard_t(2, 60))
        told += drift.found is not None
    assert told <= 400 / 20 + 3 * math.sqrt(400 / 20)


def test_bets_pay_one_in_the_mean_over_all_ranks() -> None:
    for n in (1, 2, 5, 30):
        learnt = np.arange(n) * 2.0
        paid = []
        for place in np.arange(n + 1) * 2.0 - 1.0:
            drift = Drift(learnt)
            drift.add(place)
            paid.append(math.exp(drift.log_evidence))
        assert np.mean(paid) == pytest.approx(1)


def test_a_shift_is_found_with_its_beginning_and_its_direction() -> None:
    rng = np.random.default_rng(0)
    for side in (-1, 1):
        drift = Drift(rng.normal(size=200), limit=1200)
        drift.add(rng.normal(size=30))
        assert drift.found is None
        drift.add(side * 3 + rng.normal(size=20))
        assert drift.found is not None
        assert abs(drift.found.since - 30) <= 1
        assert drift.found.side == side
        assert drift.found.count == 50 - drift.found.since
        assert drift.found.mean == pytest.approx(side * 3, abs=1)


@pytest.mark.parametrize(("shift", "within"), [(1.0, 40), (1.5, 20), (2.5, 10)])
def test_a_shift_from_the_first_on_is_found_soon(shift: float, within: int) -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(40):
        drift = Drift(rng.normal(size=150), limit=1200)
        drift.add(rng.normal(shift, size=within))
        found += drift.found is not None
    assert found >= 32


def test_a_share_of_other_parts_is_no_shift_of_all() -> None:
    rng = np.random.default_rng(2)
    for share in (0.1, 0.2, 0.3):
        new = np.where(rng.random(200) < share, 9.0, rng.normal(size=200))
        drift = Drift(rng.normal(size=150), limit=1200)
        drift.add(new)
        assert drift.found is None


def test_what_was_found_is_kept_when_it_is_over() -> None:
    rng = np.random.default_rng(3)
    drift = Drift(rng.normal(size=100), limit=1200)
    drift.add(rng.normal(4, size=12))
    found = drift.found
    assert found is not None
    drift.add(rng.normal(size=200))
    assert drift.log_evidence < drift.limit
    assert drift.found is not None
    assert drift.found.since == found.since


def test_numbers_that_never_differ_say_nothing() -> None:
    drift = Drift([5.0] * 20)
    drift.add([5.0] * 100)
    assert drift.log_evidence == pytest.approx(0, abs=1e-9)


def test_one_number_learnt_is_enough_to_go_on() -> None:
    drift = Drift([0.0], sides=(1,))
    drift.add(np.arange(1, 200))  # ever higher
    assert drift.found is not None
    assert math.isfinite(drift.log_evidence)


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        Drift([])
    with pytest.raises(DataError, match="finite"):
        Drift([float("nan")])
    with pytest.raises(DataError, match="finite"):
        Drift([1.0]).add(float("inf"))
