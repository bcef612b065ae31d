"""A folder of results: a row for each content of a photograph, whatever its file is called."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from anomalist.data.walking import HEATMAPS, RESULTS_MARKER, SHEET
from anomalist.errors import ResultsError
from anomalist.files import absolute, atomic_path, held_alone, sha256_of, write_text
from anomalist.inspection.findings import COLUMNS, Finding
from anomalist.inspection.inputs import place_of
from anomalist.models import conforms
from anomalist.report.browser import remove_page

#: What is done with a folder that holds results already: those of the same call are gone on with,
#: and all else is refused; any are added to; they are removed first.
Used = Literal["continue", "append", "overwrite"]

_MADE_BY = "anomalist predict"
_LOCK = ".anomalist-lock"
_REMOVED = ".anomalist-removed"
_UNFINISHED = "predictions.unfinished"
# With one of these a spreadsheet takes a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# How many rows of one content are looked after for a file that was renamed: a camera that is stuck
# gives thousands.
_ALIKE = 8
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


@dataclass
class Tally:
    """How many photographs were called what.

    Parameters
    ----------
    normal, anomalous, undecided, failed : int
        Rows of the folder; undecided are those without a threshold to decide by. A row that failed
        doesn't count any more once the photograph of that name or content has another.
    before : int
        How many of the rows earlier calls had written.
    failing : int
        How many photographs of this call couldn't be scored, whether they have failed before or
        not. One that could be later, as it was whole then, isn't among them.
    notes : list of str
        What a reader must know, a line each.
    conditions : dict
        What of the promise's conditions was looked at, as JSON values.
    """

    normal: int = 0
    anomalous: int = 0
    undecided: int = 0
    failed: int = 0
    before: int = 0
    failing: int = 0
    notes: list[str] = field(default_factory=list)
    conditions: dict[str, Any] = field(default_factory=dict)

    def add(self, line: dict[str, Any]) -> None:
        """Count a line of ``predictions.jsonl``."""
        if "error" in line:
            self.failed += 1
        else:
            name = line["decision"] or "undecided"
            setattr(self, name, getattr(self, name) + 1)

    @property
    def total(self) -> int:
        """All of them."""
        return self.normal + self.anomalous + self.undecided + self.failed

    def told(self, failed: str = "failed") -> str:
        """Return how many were called what, in words; nothing where there is none.

        Parameters
        ----------
        failed : str
            What those that couldn't be scored are called.

        Examples
        --------
        >>> Tally(normal=3, failed=1).told(), Tally().told()
        ('3 normal, 1 failed', '')
        """
        counts = {
            "anomalous": self.anomalous,
            "normal": self.normal,
            "without a decision": self.undecided,
            failed: self.failed,
        }
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values.

        Examples
        --------
        >>> Tally(normal=3, failed=1).as_dict()
        {'images': 4, 'normal': 3, 'anomalous': 0, 'undecided': 0, 'failed': 1, 'before': 0, ...}
        """
        return {"images": self.total, **dataclasses.asdict(self)}


@dataclass(slots=True)
class Row:
    """What is remembered of a row.

    Parameters
    ----------
    path : str
        What it calls its photograph.
    place : str
        Where that photograph was seen last.
    error : str or None
        Why it couldn't be scored.
    """

    path: str
    place: str
    error: str | None = None


@dataclass(slots=True)
class _Failure:
    """A row that failed: its place in the table, path and content."""

    line: int
    path: str
    sha256: str | None
    error: str


class _Failures:
    """The rows that failed and stand, until the photograph of that name or content has another."""

    def __init__(self) -> None:
        self._by_path: dict[str, _Failure] = {}
        self._by_content: dict[str, _Failure] = {}

    def of(self, path: str) -> _Failure | None:
        """Return the one of a path."""
        return self._by_path.get(path)

    def take(self, line: int, entry: dict[str, Any]) -> list[_Failure]:
        """Take in a row; return those that stand no more."""
        path, sha256, error = entry["path"], entry.get("sha256"), entry.get("error")
        gone = [self._by_path.get(path)]
        if error is None:
            gone.append(self._by_content.get(sha256 or ""))
        over = [failure for failure in gone if failure is not None]
        over = over[:1] if over[:1] == over[1:] else over
        for failure in over:
            self.drop(failure)
        if error is not None:
            self._by_path[path] = failure = _Failure(line, path, sha256, error)
            if sha256 is not None:
                self._by_content[sha256] = failure
        return over

    def drop(self, failure: _Failure) -> None:
        """Let one stand no more."""
        self._by_path.pop(failure.path, None)
        if failure.sha256 is not None and self._by_content.get(failure.sha256) is failure:
            del self._by_content[failure.sha256]

    def standing(self) -> list[_Failure]:
        """Return those that stand."""
        return list(self._by_path.values())


class Results:
    """A folder of results to which findings are added one by one, each whole or not at all.

    ``predictions.csv`` and ``predictions.jsonl`` grow as findings come. As long as
    ``predictions.unfinished`` lies beside them, more are to come; the same call, made again, goes
    on from there. A call that is made again after it was finished adds what is new. In the block
    of a ``with`` the folder is this object's alone.

    Parameters
    ----------
    folder : Path
        Made where missing.
    call : dict
        What the results depend on, as JSON values.
    model : str or None
        What rows call the model. Rows of another are left as they are and stand for nothing.
    threshold : float or None
        Likewise.
    used : {"continue", "append", "overwrite"}
        What is done with results that are there.
    tally : Tally, optional
        Counts the rows; a new one by default.

    Attributes
    ----------
    taken : set of str
        Names of heatmaps, casefolded and without suffix.
    scores : list of (float, str, str)
        Score, path and hash of the rows of this model and threshold that were there.

    Raises
    ------
    ResultsError
        If another process or thread has the folder, or it holds results of another call.
    OSError
        If it can't be written.
    """

    def __init__(
        self,
        folder: Path,
        call: dict[str, Any],
        *,
        model: str | None = None,
        threshold: float | None = None,
        used: Used = "continue",
        tally: Tally | None = None,
    ) -> None:
        self.folder = folder
        self.model = model
        self.threshold = threshold
        self.tally = Tally() if tally is None else tally
        self.taken: set[str] = set()
        self.scores: list[tuple[float, str, str]] = []
        self._call: dict[str, Any] = json.loads(json.dumps(call))
        self._used = used
        self._csv, self._jsonl = (folder / f"predictions.{kind}" for kind in ("csv", "jsonl"))
        self._unfinished = folder / _UNFINISHED
        self._held = ExitStack()
        self._rows: dict[str, dict[str, Row]] = {}
        self._failures = _Failures()
        self._failing: set[str] = set()
        self._lines = self._earlier = 0
        # Whether there are rows that stand no more, and whether a row may be in one table alone.
        self._is_untidy = self._is_behind = False
        self._has_bom = False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if not stack.enter_context(held_alone(self.folder / _LOCK)):
                self.tally.notes.append(
                    f"{self.folder} lies on a file system without locks: that no other process"
                    " writes to it is known of this machine alone"
                )
            self._open()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._held.close()

    def find(self, path: str, sha256: str, *, moved: bool = False) -> Row | None:
        """Return the row that a photograph has, of this model and threshold, or that failed.

        Parameters
        ----------
        path : str
            Where the photograph is.
        sha256 : str
            Its content.
        moved : bool
            Whether a row of another path counts if that path no longer has this content: the file
            was renamed. Of two files that are there with one content, each has its row.
        """
        rows = self._rows.get(sha256, {})
        row = rows.get(_key(path))
        if row is None and moved:
            some = itertools.islice(reversed(rows.values()), _ALIKE)
            row = next((row for row in some if not _has(row.place, sha256)), None)
        if row is not None:
            row.place = path
            rows[_key(path)] = row
        return row

    def claim(self, path: str, sha256: str) -> None:
        """Say that a row of this photograph will come, so that no other file takes it for new."""
        self._rows.setdefault(sha256, {})[_key(path)] = Row(path, path)

    def looks(self) -> Iterator[tuple[dict[str, float], str]]:
        """Yield how photographs of earlier rows look, and their paths, as far as rows say so.

        Of a row that somebody changed, numbers that are none don't count.
        """
        if not self._jsonl.exists():
            return
        with self._jsonl.open("rb") as lines:
            for line in lines:
                entry = json.loads(line)
                if isinstance(looks := entry.get("looks"), dict) and self._stands_for(entry):
                    numbers = {k: v for k, v in looks.items() if conforms(v, float)}
                    yield numbers, entry["path"]

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the rows that stand, as lines of ``predictions.jsonl`` are."""
        with self._jsonl.open("rb") as lines:
            for line in lines:
                entry: dict[str, Any] = json.loads(line)
                if "error" in entry:
                    failure = self._failures.of(entry["path"])
                    said = entry.get("sha256"), entry["error"]
                    if failure is None or (failure.sha256, failure.error) != said:
                        continue
                yield entry

    def keep(self, path: str) -> None:
        """Say that a photograph has its row: if it failed since, it doesn't any more."""
        failure = self._failures.of(path)
        if failure is not None:
            self._failures.drop(failure)
            self._leave_out(failure)
        self._fails(path, False)

    def fail(self, finding: Finding) -> None:
        """Say that a photograph failed; write it if no row says so already."""
        failure = self._failures.of(finding.path)
        row = self.find(finding.path, finding.sha256) if finding.sha256 is not None else None
        said = failure is not None and (failure.sha256, failure.error) == (
            finding.sha256,
            finding.error,
        )
        if not said and (row is None or row.path == finding.path):
            self.add(finding)
        self._fails(finding.path, True)

    def add(self, finding: Finding) -> None:
        """Write a finding."""
        entry = finding.as_dict()
        # Names that aren't text in UTF-8 stay what they are, as an escape that JSON knows.
        text = json.dumps(entry, ensure_ascii=False) + "\n"
        row = _csv_line(finding.row())
        self._is_behind = True
        _append(self._jsonl, text.encode("utf-8", "backslashreplace"))
        if row.isascii() or self._has_bom:
            _append(self._csv, _bytes(row))
        else:
            self._write_csv()
        self._is_behind = False
        self._count(entry)
        self._fails(finding.path, False)

    def _fails(self, path: str, fails: bool) -> None:
        (self._failing.add if fails else self._failing.discard)(path)
        self.tally.failing = len(self._failing)

    def settle(self) -> None:
        """Leave out the rows that failed and have been followed by another."""
        if self._is_untidy:
            lines = self._jsonl.read_bytes().split(b"\n")[:-1]
            failures, over = _Failures(), set[int]()
            for i, entry in enumerate(self._entries(lines)):
                over.update(failure.line for failure in failures.take(i, entry))
            left_out = (f for f in failures.standing() if self._failures.of(f.path) is None)
            over.update(failure.line for failure in left_out)
            with atomic_path(self._jsonl) as path:
                kept = (line + b"\n" for i, line in enumerate(lines) if i not in over)
                path.write_bytes(b"".join(kept))
        if self._is_untidy or self._is_behind:
            self._write_csv()
        self._is_untidy = self._is_behind = False

    def finish(self) -> None:
        """Say that no more will come."""
        self.settle()
        self._unfinished.unlink(missing_ok=True)

    def _open(self) -> None:
        marker = self.folder / RESULTS_MARKER
        there = [path for path in (self._csv, self._jsonl, self.folder / SHEET) if path.exists()]
        calls = _calls(marker)
        if self._used == "overwrite":
            if self._jsonl.exists():
                self._jsonl.replace(self.folder / _REMOVED)
            remove_page(self.folder)
            calls, there = [], []
        # Removed first is what says what else there is to remove, if that was stopped.
        self._remove_rest()
        if there and calls is None:
            raise ResultsError(
                f"{there[0]} is there, but no {RESULTS_MARKER} beside it that tells of which call:"
                " choose another folder, or replace what is there with --overwrite"
            )
        if calls is None or not there:
            calls = []
        if self._call not in calls:
            if calls and self._used != "append":
                raise ResultsError(self._refusal(calls[-1]))
            calls.append(self._call)
        if self._used == "overwrite":
            for path in (self._csv, self.folder / SHEET, self._unfinished):
                path.unlink(missing_ok=True)
        text = json.dumps({"made_by": _MADE_BY, "calls": calls}, indent=1, ensure_ascii=False)
        if not marker.exists() or calls != _calls(marker):
            write_text(marker, text + "\n")
        write_text(self._unfinished, "")
        self._resume()

    def _refusal(self, earlier: dict[str, Any]) -> str:
        ways = "add to them with --append, replace them with --overwrite, or choose another folder"
        return f"{self.folder} holds results of {difference(earlier, self._call)}: {ways}"

    def _remove_rest(self) -> None:
        """Remove the pictures that rows tell of which are to go, and then the rows."""
        rows = self.folder / _REMOVED
        if not rows.exists():
            return
        for line in rows.read_bytes().split(b"\n"):
            with suppress(ValueError, TypeError, KeyError, OSError):
                name = Path(json.loads(line)["heatmap"])
                if name.parts[0] == HEATMAPS and ".." not in name.parts:
                    for file in (name, name.with_suffix(".npy")):
                        (self.folder / file).unlink(missing_ok=True)
                    for parent in list(name.parents)[:-1]:
                        (self.folder / parent).rmdir()
        rows.unlink()

    def _resume(self) -> None:
        """Take over what earlier calls have written, torn lines apart."""
        lines = self._jsonl.read_bytes().split(b"\n") if self._jsonl.exists() else [b""]
        torn = lines.pop()
        for entry in self._entries(lines):
            self._count(entry)
            score = entry.get("score")
            if score is not None and "sha256" in entry and self._stands_for(entry):
                self.scores.append((score, entry["path"], entry["sha256"]))
        if torn:
            with self._jsonl.open("r+b") as file:
                file.truncate(sum(len(line) + 1 for line in lines))
        elif not self._jsonl.exists():
            write_text(self._jsonl, "")
        self._is_behind = True
        self.settle()
        self.tally.before, self._earlier = self.tally.total, self._lines

    def _entries(self, lines: list[bytes]) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                good = isinstance(entry["path"], str) and ("error" in entry or "decision" in entry)
            except (ValueError, TypeError, KeyError):
                good = False
            if not good:
                raise ResultsError(
                    f"line {number} of {self._jsonl} isn't a row as it was written: remove the"
                    " line, or replace all with --overwrite"
                )
            yield entry

    def _stands_for(self, entry: dict[str, Any]) -> bool:
        """Whether a row is what this call would write."""
        same = entry.get("model") == self.model
        return same and ("error" in entry or entry.get("threshold") == self.threshold)

    def _count(self, entry: dict[str, Any]) -> None:
        for failure in self._failures.take(self._lines, entry):
            self._leave_out(failure)
        self.tally.add(entry)
        path, sha256 = entry["path"], entry.get("sha256")
        if sha256 is not None and self._stands_for(entry):
            row = Row(path, path, entry.get("error"))
            self._rows.setdefault(sha256, {})[_key(path)] = row
        if (heatmap := entry.get("heatmap")) is not None:
            with suppress(ValueError):
                name = Path(heatmap).relative_to(HEATMAPS).with_suffix("").as_posix()
                self.taken.add(name.casefold())
        self._lines += 1

    def _leave_out(self, failure: _Failure) -> None:
        self._is_untidy = True
        self.tally.failed -= 1
        self.tally.before -= failure.line < self._earlier
        rows = self._rows.get(failure.sha256 or "", {})
        for key in [key for key, row in rows.items() if row.path == failure.path]:
            del rows[key]

    def _write_csv(self) -> None:
        """Make the one table of the other."""
        rows = [",".join(COLUMNS) + "\n"]
        for line in self._jsonl.read_bytes().split(b"\n")[:-1]:
            entry = json.loads(line)
            known = {name: entry.get(name) for name in COLUMNS}
            rows.append(_csv_line(Finding(**known).row()))
        # Without it a spreadsheet takes UTF-8 for another encoding; with it a program that doesn't
        # expect it misreads the first column's name.
        self._has_bom = not all(map(str.isascii, rows))
        with atomic_path(self._csv) as path:
            path.write_bytes(_bytes((_BOM if self._has_bom else "") + "".join(rows)))


def has_results_of(folder: str | Path, inputs: Iterable[str]) -> bool:
    """Whether a folder holds results of these inputs, as far as its marker tells."""
    places = [place_of(entry) for entry in inputs]
    return any(call.get("inputs") == places for call in _calls(Path(folder) / RESULTS_MARKER) or ())


def _calls(marker: Path) -> list[dict[str, Any]] | None:
    """The calls whose results there are; None if nothing tells."""
    try:
        calls = json.loads(marker.read_bytes())["calls"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    good = isinstance(calls, list) and all(isinstance(call, dict) for call in calls)
    return calls if good else None


def _has(path: str, sha256: str) -> bool:
    """Whether a file is there that has a content."""
    try:
        return sha256_of(path) == sha256
    except (OSError, ValueError):
        return False


def _key(path: str) -> str:
    return absolute(path)


def difference(earlier: dict[str, Any], now: dict[str, Any]) -> str:
    """Say in which way another call made the results that are there.

    Parameters
    ----------
    earlier, now : dict
        What results of the two calls depend on.

    Examples
    --------
    >>> difference({"model": "a", "rule": 1}, {"model": "a", "rule": 2})
    'another threshold'
    """
    if earlier.get("model") != now.get("model"):
        return "another model, or of one that has been fitted anew"
    if earlier.get("inputs") != now.get("inputs"):
        names = [str(name) for name in earlier.get("inputs") or ()]
        return "other inputs" + (f" ({', '.join(names)})" if names else "")
    if earlier.get("rule") != now.get("rule"):
        return "another threshold"
    for name in ("heatmaps", "heatmap_size", "heatmap_format"):
        if earlier.get(name) != now.get(name):
            return f"another --{name}"
    return "other options"


def _csv_line(row: list[str]) -> str:
    r"""Return a row as a spreadsheet and a program read it alike.

    Examples
    --------
    >>> _csv_line(["=1+2.png", "0.5"]), _csv_line(["a,\r.png", ""])
    ('./=1+2.png,0.5\n', '"a,\r.png",\n')
    """
    path, *rest = row
    if path.startswith(_FORMULA):
        path = f"./{path}"  # still that file, but no formula
    stream = io.StringIO()
    # What ends a line is quoted wherever it stands, so this asks for both.
    csv.writer(stream, lineterminator="\r\n").writerow([path, *rest])
    return stream.getvalue().removesuffix("\r\n") + "\n"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _append(path: Path, data: bytes) -> None:
    """Add a line, or leave the file as it was."""
    # Not made anew if it is gone, which would be a table without what it had.
    with path.open("r+b", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(data):
                written += file.write(data[written:])
        except BaseException as error:
            file.truncate(before)
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise
