from __future__ import annotations

import io
from pathlib import Path

import pytest

from anomalist.errors import DataError, ParameterError
from anomalist.inspection import list_inputs


def test_paths_from_standard_input_are_taken_as_they_come(tmp_path: Path) -> None:
    taken = []

    class Slow(io.BytesIO):
        def __next__(self) -> bytes:
            line = super().__next__()
            taken.append(line)
            return line

    paths = list_inputs(["-"], stdin=Slow(b"a.png\nb.png\nc.png\n"))
    assert next(paths) == Path("a.png")
    assert len(taken) == 1


def test_a_name_with_a_pattern_in_it_is_that_file(tmp_path: Path) -> None:
    odd = tmp_path / "part[1].png"
    odd.touch()
    assert list(list_inputs([str(odd)])) == [odd]


def test_what_means_nothing_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match="gone"):
        list_inputs([str(tmp_path), str(tmp_path / "gone.png")])
    with pytest.raises(ParameterError, match="standard input"):
        list_inputs(["-"])


def test_results_in_the_folder_of_photographs_are_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "contact_sheet.png", "heatmaps/x/a.png", "more/heatmaps/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = list_inputs([str(tmp_path)], results=tmp_path)
    assert [path.name for path in found] == ["a.png", "b.png"]
