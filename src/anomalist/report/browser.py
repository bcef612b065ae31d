"""The page that people look through results with: ``index.html``, with its files in ``page/``."""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from anomalist.calibration import DEFAULT_ALPHA, DEFAULT_REVIEW, state
from anomalist.data.walking import PAGE
from anomalist.drawing import colour_map
from anomalist.errors import ResultsError
from anomalist.files import absolute, atomic_path, write_text
from anomalist.report.assets import asset, environment
from anomalist.report.gallery import outcome
from anomalist.report.pictures import preview_name
from anomalist.report.preview import Previews, layers_name

INDEX = "index.html"
"""What the page is called in a folder of results."""
PREVIEWS = f"{PAGE}/previews"
"""Where its small pictures are, below that folder."""
MOST_ROWS = 20_000
"""Images beyond it are left out of a page, those of the lowest scores, so that it stays quick."""
# Stands in the first bytes of every page that was written here.
_GENERATOR = "anomalist"
_BEGINNING = 1024
_STYLES = ("base.css", "index.css")
_SCRIPTS = ("base.js", "index_rows.js", "index_marks.js", "index_one.js", "index.js")
# A script, as no page on a disk may read another file.
_CALL = "(window.anomalistMore || ((found) => { window.anomalist = found; }))("
_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class About:
    """What a page says of all its images.

    Parameters
    ----------
    title : str
        What the images are.
    facts : tuple of (str, str)
        Terms, which may be empty, and what there is to say of them.
    notes : tuple of str
        What a reader must know.
    table : str
        The file of the folder that holds all of it for machines.
    goes_on : bool
        Whether more images are to come: then the open page looks for them.
    truth : bool
        Whether defects are outlined that are known.
    """

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    table: str = "predictions.csv"
    goes_on: bool = False
    truth: bool = False


def write_page(
    folder: str | Path,
    entries: Iterable[Mapping[str, Any]],
    about: About,
    *,
    alpha: float = DEFAULT_ALPHA,
) -> Path:
    """Write the page that shows what was found: one that needs no network, to be opened as a file.

    Parameters
    ----------
    folder : str or Path
        Of results. Small pictures that lie in its ``page/previews`` are shown, and those of no
        entry are removed if no more are to come.
    entries : iterable of mapping
        An image each, as a line of ``predictions.jsonl`` is: ``path``, and ``error``, or ``score``,
        ``threshold``, ``p_value``, ``decision``, and more of it. Where they are known, ``label``
        says whether it is defective, and ``kind`` in which way. They are taken as they come.
    about : About
        What is said of all of them.
    alpha : float
        The false-alarm rate that was asked for.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ResultsError
        If another ``index.html`` lies there.
    OSError
        If a file can't be written.

    Examples
    --------
    >>> import tempfile
    >>> entry = {"path": "a.png", "score": 2.0, "threshold": 1.0, "decision": "anomalous"}
    >>> write_page(tempfile.mkdtemp(), [entry], About(title="Parts")).name
    'index.html'
    """
    folder = Path(folder)
    check_page(folder)
    previews = Previews.of(folder / PREVIEWS)
    named: set[str] = set()
    rows, count = _chosen(_rows(entries, previews, named, alpha))
    notes = list(about.notes)
    if len(rows) < count:
        notes.append(
            f"shown are {len(rows)} of {count} images, those that failed and those of the highest"
            f" scores; all are in {about.table}"
        )
    told = {
        "id": _identity(folder),
        "facts": about.facts,
        "notes": notes,
        "goes_on": about.goes_on,
        "every": _SECONDS,
        "folder": PAGE,
        "previews": PREVIEWS,
        "place": str(Path.cwd()),
        "base": _base(folder),
        "separator": os.sep,
        "colours": [f"rgb({r} {g} {b})" for r, g, b in colour_map(np.linspace(0, 1, 8)).tolist()],
    }
    with atomic_path(folder / PAGE / "rows.js") as path, path.open("w", encoding="ascii") as file:
        file.write(f'{_CALL}{{"about":{_json(told)},"rows":[\n')
        file.write(",\n".join(map(_json, rows)))
        file.write("\n]});\n")
    write_text(folder / PAGE / "index.css", asset(*_STYLES))
    write_text(folder / PAGE / "index.js", asset(*_SCRIPTS))
    page = (
        environment()
        .from_string(asset("index.html.j2"))
        .render(
            generator=_GENERATOR,
            folder=PAGE,
            title=about.title,
            table=about.table,
            truth=about.truth,
            review=DEFAULT_REVIEW,
        )
    )
    write_text(folder / INDEX, page)
    if not about.goes_on:
        previews.prune(folder / PREVIEWS, named)
    return folder / INDEX


def check_page(folder: str | Path) -> None:
    """Refuse to write over an ``index.html`` that isn't a page of results.

    Raises
    ------
    ResultsError
        If there is one.
    """
    page = Path(folder) / INDEX
    if page.exists() and not _is_ours(page):
        raise ResultsError(
            f"{page} is there, and is no page of anomalist: choose another folder, or leave the"
            " page out with --no_page"
        )


def remove_page(folder: str | Path) -> None:
    """Remove the page of a folder and its files, if there is one, and nothing else."""
    folder = Path(folder)
    if not _is_ours(folder / INDEX):
        return
    (folder / INDEX).unlink()
    previews = folder / PREVIEWS
    Previews.of(previews).prune(previews, ())
    for name in ("rows.js", "index.css", "index.js"):
        (folder / PAGE / name).unlink(missing_ok=True)
    for empty in (previews, folder / PAGE):
        with suppress(OSError):  # not there, or somebody's own files are in it
            empty.rmdir()


def _is_ours(page: Path) -> bool:
    try:
        with page.open("rb") as file:
            beginning = file.read(_BEGINNING)
    except FileNotFoundError:
        return False
    return f'<meta name="generator" content="{_GENERATOR}'.encode() in beginning


def _rows(
    entries: Iterable[Mapping[str, Any]],
    previews: Previews,
    named: set[str],
    alpha: float,
) -> Iterator[dict[str, Any]]:
    """What the page is told of each image; what isn't there is left out."""
    for entry in entries:
        score, threshold, p_value = (entry.get(n) for n in ("score", "threshold", "p_value"))
        row = {
            "path": entry["path"],
            "state": "failed" if score is None else state(score, threshold, p_value, alpha),
            "decision": entry.get("decision"),
            "score": score,
            "threshold": threshold,
            "p_value": p_value,
            "disagreement": entry.get("disagreement"),
            "regions": None if (found := entry.get("regions")) is None else len(found),
            "heatmap": entry.get("heatmap"),
            "sha256": entry.get("sha256"),
            "model": entry.get("model"),
            "notes": entry.get("notes"),
            "error": entry.get("error"),
            "kind": entry.get("kind"),
            "outcome": None if score is None else outcome(entry.get("label"), score, threshold),
        }
        if row["sha256"] is not None and score is not None:
            photograph = preview_name(row["sha256"])
            if photograph in previews.photographs:
                row["preview"] = photograph
                named.add(photograph)
            name = layers_name(row["sha256"], row["model"], threshold)
            if (layers := previews.layers.get(name)) is not None:
                row |= {"layers": layers.file, "size": [layers.width, layers.height]}
                named.add(layers.file)
        yield {name: value for name, value in row.items() if value is not None}


def _chosen(rows: Iterator[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """As many rows as a page takes, in their order, and how many there were."""
    top: list[tuple[float, int, dict[str, Any]]] = []
    count = 0
    for count, row in enumerate(rows, start=1):
        entry = row.get("score", float("inf")), -count, row
        if count <= MOST_ROWS:
            top.append(entry)
            if count == MOST_ROWS:
                heapq.heapify(top)
        else:
            heapq.heappushpop(top, entry)
    return [row for *_, row in sorted(top, key=lambda one: -one[1])], count


def _base(folder: Path) -> str:
    """The way from the page to the folder that names of photographs are given from."""
    try:
        way = os.path.relpath(Path.cwd(), absolute(folder))
    except ValueError:  # two drives
        return f"{Path.cwd().as_uri()}/"
    return f"{quote(way.replace(os.sep, '/'), errors='surrogateescape')}/"


def _identity(folder: Path) -> str:
    """Tells the marks of one page from those of another in the same browser."""
    return hashlib.sha256(absolute(folder).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _json(value: object) -> str:
    # In ASCII, so that any text is one string and ends no script.
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
