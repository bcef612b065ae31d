from __future__ import annotations

from pathlib import Path

import pytest

from anomalist.data.scores import read_scores
from anomalist.errors import DataError


@pytest.mark.parametrize(
    "text",
    [
        "path,score\na/0.png,1.5\n",
        "\ufeffPath;Anomaly Score\r\na/0.png;1.5\r\n",
        "label\timage\tpred_score\n0\ta/0.png\t1.5\n\n",
        "path,score,threshold,p_value,decision\na/0.png,1.5,2,0.3,normal\n",
        'filename,image_score\n"a/0.png",1.5\n',
    ],
)
def test_columns_are_found_by_their_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.csv").write_text(text, encoding="utf-8")
    found = read_scores(tmp_path / "s.csv")
    assert (found.names, found.scores) == (("a/0.png",), (1.5,))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no row"),
        ("path,score\n", "no row"),
        ("path,value\na,1\n", "no column for the score"),
        ("what,score\na,1\n", "no column for the image"),
        ("path,score\na,nan\n", "no finite number"),
        ("path,score\na,1\nb,high\n", "'high' in row 3"),
        ("path,score\na\n", "too few columns in row 2"),
        ("path,score,score\na,1,2\n", "two columns"),
    ],
)
def test_what_is_no_table_of_scores_is_told(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_scores(tmp_path / "s.csv")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read"):
        read_scores(tmp_path / "none.csv")
    (tmp_path / "s.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match="can't be read"):
        read_scores(tmp_path / "s.csv")
