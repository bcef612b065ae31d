from __future__ import annotations

import codecs
import io
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalist.data.names import Pattern, existing, names_of, read_names, split_pattern
from anomalist.errors import DataError
from anomalist.inspection import list_inputs, open_parts

NAMES = st.lists(
    st.text("ab\u00fc\u6f22 .,[](%'", min_size=1, max_size=8).filter(
        lambda name: name == name.strip() and not (len(name) > 1 and name[0] == name[-1] == "'")
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    NAMES,
    st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-32")),
    st.sampled_from(("\n", "\r\n")),
    st.sampled_from(("", '"', "'")),
)
def test_lists_hold_the_names_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], kind: str, end: str, quote: str
) -> None:
    text = "".join(f"{quote}{name}{quote}{end}" for name in names)
    path = tmp_path_factory.getbasetemp() / "list.txt"
    path.write_bytes(text.encode(kind))
    assert read_names(path) == names
    if not quote:
        assert list(names_of(io.BytesIO(text.encode(kind)))) == names


def test_a_list_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("a.png\n".encode("utf-16-le"))
    with pytest.raises(DataError, match="it isn't a text file in UTF-8, or in UTF-16"):
        read_names(tmp_path / "list.txt")
    (tmp_path / "latin.txt").write_bytes(b"r\xe9.png\n")
    assert read_names(tmp_path / "latin.txt") == [os.fsdecode(b"r\xe9.png")]


def test_both_unicode_forms_in_one_folder_stay_two(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        (tmp_path / f"{unicodedata.normalize(form, 'ü')}.png").touch()
    assert len(list(list_inputs([str(tmp_path)]))) == 2
    assert existing(tmp_path / "u\u0308.png").name == "u\u0308.png"
    assert existing(tmp_path / "\u00fc.png").name == "\u00fc.png"


def test_names_of_standard_input(tmp_path: Path) -> None:
    for name in ("a b.png", "u\u0308.png"):
        (tmp_path / name).touch()
    lines = f'"{tmp_path}/a b.png"\r\n{tmp_path}/\u00fc.png\r\n'
    for data in (codecs.BOM_UTF8 + lines.encode(), lines.encode("utf-16")):
        found = list(list_inputs(["-"], stdin=io.BytesIO(data)))
        assert found == [tmp_path / "a b.png", tmp_path / "u\u0308.png"]


def test_what_is_there_is_no_pattern(tmp_path: Path) -> None:
    for name in ("50% [a] b/1.png", "50% a b/2.png", "50% [a] b/x[1].png", "x/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def names(*inputs: str) -> list[str]:
        return [path.name for path in list_inputs([f"{tmp_path}/{entry}" for entry in inputs])]

    assert names("50% [a] b/*.png") == ["1.png", "x[1].png"]
    assert names("50% [a]*/?.png", "50% ? b/*") == ["2.png"]
    assert names("50% [a] b/x[1].png") == ["x[1].png"]
    assert names("*/?.png") == ["1.png", "2.png", "1.png"]
    assert names("5*") == ["1.png", "x[1].png", "2.png"]
    with pytest.raises(DataError, match="no image matches"):
        names("*.png")


def test_a_pattern_looks_no_deeper_than_it_can_match(tmp_path: Path) -> None:
    base, rest = split_pattern(f"{tmp_path}/*.png")
    assert (base, rest) == (tmp_path, ("*.png",))
    assert not Pattern(rest).enters(("deep",))
    assert Pattern(("**", "*.png")).enters(("deep", "er"))


def test_images_to_leave_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    root = tmp_path / "parts"
    made = ("good/000.png", "good/001.png", "good/010.png", "good/b/u\u0308.png")
    for i, name in enumerate(made):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), i).save(root / name)

    def left(*entries: str) -> list[str]:
        return [path.name for path in open_parts(root, exclude=entries).excluded]

    assert left("good/00?.png") == ["000.png", "001.png"]
    assert left("good/b") == left("good/b/\u00fc.png") == left("**/\u00fc*") == ["u\u0308.png"]
    monkeypatch.chdir(tmp_path)
    assert left("parts/good/0*.png") == ["000.png", "001.png", "010.png"]
    with pytest.raises(DataError, match=r"'good/000\.png' is there, but 'good/000\\u200b\.png' is"):
        left("good/000\u200b.png")
    with pytest.raises(DataError, match="no such image"):
        left("good/9*.png")
