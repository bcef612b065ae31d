"""Image scores that anyone's program wrote to a table."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from anomalist.errors import DataError

_NAMES = (
    *("path", "image_path", "image", "img", "img_path", "filename", "file_name", "file", "name"),
    *("image_name", "image_id", "id"),
)
_SCORES = (
    *("score", "anomaly_score", "pred_score", "image_score", "pred_scores", "scores", "anomaly"),
    *("prediction", "anomaly_scores"),
)


@dataclass(frozen=True)
class ScoreTable:
    """Names of images and their scores, row by row, and which columns they come from."""

    names: tuple[str, ...]
    scores: tuple[float, ...]
    columns: tuple[str, str]


def read_scores(path: str | Path) -> ScoreTable:
    r"""Read a table of scores; the columns are found by their names.

    Parameters
    ----------
    path : str or Path
        A CSV file with a header, separated by commas, semicolons or tabs. The image is named in a
        column called ``path``, ``image``, ``filename`` or the like, its score in one called
        ``score``, ``anomaly_score``, ``pred_score`` or the like, in any mix of upper and lower
        case.

    Raises
    ------
    DataError
        If it can't be read, lacks a column, or a score isn't a finite number.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scores.csv"
    >>> _ = path.write_text("Image;Pred_Score;label\ngood/0.png;0.25;0\n")
    >>> read_scores(path)
    ScoreTable(names=('good/0.png',), scores=(0.25,), columns=('Image', 'Pred_Score'))
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"the scores {path} can't be read: {reason}") from error
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    try:
        rows = list(csv.reader(text.splitlines(), delimiter=separator))
    except csv.Error as error:
        raise DataError(f"the scores {path} can't be read: {error}") from error
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise DataError(f"the scores {path} have no row below their header")
    columns = [cell.strip() for cell in rows[0]]
    at = _column(path, columns, _NAMES, "image"), _column(path, columns, _SCORES, "score")
    names, scores = [], []
    for number, row in enumerate(rows[1:], 2):
        if len(row) <= max(at):
            raise DataError(f"the scores {path} have too few columns in row {number}")
        value = row[at[1]].strip()
        try:
            score = float(value)
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise DataError(
                f"the scores {path} have {value!r} in row {number} ({row[at[0]]}), which is no"
                " finite number"
            )
        names.append(row[at[0]].strip())
        scores.append(score)
    return ScoreTable(tuple(names), tuple(scores), (columns[at[0]], columns[at[1]]))


def _column(path: Path, columns: list[str], known: tuple[str, ...], what: str) -> int:
    plain = [column.lower().replace(" ", "_").replace("-", "_") for column in columns]
    found = [name for name in known if name in plain]
    if not found:
        raise DataError(
            f"the scores {path} have no column for the {what}, which is called {known[0]} or"
            f" {known[1]}; their columns are {', '.join(columns)}"
        )
    if plain.count(found[0]) > 1:
        raise DataError(f"the scores {path} have two columns called {found[0]}")
    return plain.index(found[0])
