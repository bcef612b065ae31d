"""Values of every kind of hyperparameter are read from command lines and from files of settings."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from anomalist.cli.values import argument_type, type_word

SIZE = int | tuple[int, int] | Literal["auto"]


@pytest.mark.parametrize(
    ("given", "read"),
    [("auto", "auto"), ("64", 64), ("64,96", (64, 96)), ([64, 96], (64, 96)), (64, 64)],
)
def test_a_number_two_or_a_word(given: object, read: object) -> None:
    assert argument_type(SIZE)(given) == read


def test_what_it_is_called() -> None:
    assert type_word(argument_type(SIZE)) == "INT[,INT]|auto"


def test_entries_that_may_be_mappings_arent_one_mapping() -> None:
    members = [{"detector": "patchcore", "tile_size": 256}, "patchcore"]
    assert argument_type(tuple[str | dict[str, Any], ...])(members) == tuple(members)
    assert argument_type(dict[str, float] | None)("turn=90") == {"turn": 90}
