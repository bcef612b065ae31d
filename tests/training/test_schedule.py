from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anomalist.training import Schedule, constant, cosine


def make(**changes: Any) -> Schedule:
    settings = {"examples": np.arange(10), "batch_size": 4, "epochs": 3}
    return Schedule(**{**settings, **changes})


def sizes(schedule: Schedule) -> list[list[int]]:
    return [
        [len(batch) for batch in schedule.batches_of(epoch, schedule.examples)]
        for epoch in range(schedule.whole_epochs)
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [[4, 4, 2]] * 3),
        ({"epochs": 0}, []),
        ({"batches": 2}, [[4, 4]] * 3),
        ({"batches": 5}, [[4, 4, 2]] * 3),
        ({"batch_size": 20}, [[10]] * 3),
        ({"epochs": None, "steps": 5}, [[4, 4, 2], [4, 4]]),
        ({"epochs": None, "steps": 6}, [[4, 4, 2], [4, 4, 2]]),
        ({"epochs": None, "steps": 1}, [[4]]),
        ({"epochs": None, "steps": 3, "batches": 2}, [[4, 4], [4]]),
    ],
)
def test_epochs_and_steps_end_where_they_should(
    changes: dict[str, Any], expected: list[list[int]]
) -> None:
    schedule = make(**changes)
    assert sizes(schedule) == expected
    seen = [
        schedule.seen(epoch, step + 1)
        for epoch, batches in enumerate(expected)
        for step in range(len(batches))
    ]
    assert seen == np.cumsum([size for batches in expected for size in batches]).tolist()
    if seen:
        assert schedule.total == seen[-1]


def test_batches_keep_the_order() -> None:
    order = np.arange(10)[::-1]
    assert np.array_equal(np.concatenate(make().batches_of(0, order)), order)


def test_either_epochs_or_steps() -> None:
    for changes in ({"steps": 5}, {"epochs": None}):
        with pytest.raises(ValueError, match="either epochs or steps"):
            make(**changes)


def test_rates_run_from_one_to_nothing() -> None:
    assert [cosine(share) for share in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])
    assert constant(0.7) == 1
