from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomalist.errors import ParameterError
from anomalist.metrics import OwnMetric, other_metrics
from anomalist.predictions import Predictions

PREDICTIONS = Predictions(["a.png", "b.png"], np.array([0.25, 0.5]), np.zeros((2, 4, 4)))
MODULE = """
import numpy as np

LIMIT = 3

def highest(predictions):
    return predictions.scores.max()

def counted(predictions):
    return np.int64(len(predictions))

def undefined(predictions):
    return float("nan")

def none(predictions):
    return None

def broken(predictions):
    return predictions.nothing

def wide(predictions):
    return predictions.maps

def two(predictions, other):
    return 0.0
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my_own_metrics.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_own_metrics", raising=False)
    return path


@pytest.mark.parametrize(
    ("function", "value"), [("highest", 0.5), ("counted", 2.0), ("undefined", None), ("none", None)]
)
def test_numbers_of_any_kind_become_one_or_none(
    module: Path, function: str, value: float | None
) -> None:
    metric = OwnMetric.of(f"my_own_metrics:{function}")
    assert metric(PREDICTIONS) == value
    assert type(metric(PREDICTIONS)) in (float, type(None))
    assert other_metrics(["detector", metric.name]) == [metric.name]


def test_a_function_is_known_by_its_name_and_code(module: Path) -> None:
    from my_own_metrics import highest  # type: ignore[import-not-found]

    metric = OwnMetric.of(highest)
    assert metric == OwnMetric.of("my_own_metrics:highest")
    module.write_text(MODULE + "\n")
    assert OwnMetric.of(highest) != metric


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_own_metrics", "module:function"),
        ("no_such_module:highest", "there is no module no_such_module"),
        ("my_own_metrics:nothing", "isn't there"),
        ("my_own_metrics:LIMIT", "no function but int"),
        ("my_own_metrics:two", "can't be called with predictions alone: missing"),
        (lambda predictions: 0.0, "at the top of a module"),
    ],
)
def test_what_is_no_metric_is_refused(
    module: Path, name: str | Callable[[Predictions], Any], words: str
) -> None:
    with pytest.raises(ParameterError, match=words):
        OwnMetric.of(name)


@pytest.mark.parametrize(
    ("function", "words"),
    [("broken", "fails: AttributeError: .*nothing"), ("wide", "a number or None, not ndarray")],
)
def test_what_fails_or_gives_no_number_is_told(module: Path, function: str, words: str) -> None:
    with pytest.raises(ParameterError, match=f"the metric my_own_metrics:{function} .*{words}"):
        OwnMetric.of(f"my_own_metrics:{function}")(PREDICTIONS)


def test_a_module_that_can_not_be_imported_is_told(tmp_path: Path, module: Path) -> None:
    (tmp_path / "broken_metrics.py").write_text("import no_such_package\n")
    (tmp_path / "failing_metrics.py").write_text("1 / 0\n")
    with pytest.raises(ParameterError, match="can't be imported: No module named 'no_such_pack"):
        OwnMetric.of("broken_metrics:any")
    with pytest.raises(ParameterError, match="can't be imported: ZeroDivisionError"):
        OwnMetric.of("failing_metrics:any")
