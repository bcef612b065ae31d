"""Decisions, regions and heatmaps of any number of photographs, written as they are made."""

from __future__ import annotations

import csv
import hashlib
import heapq
import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from anomalist.data import ImageSet, Sample
from anomalist.detectors import Detector
from anomalist.errors import DataError
from anomalist.features import FeatureStore
from anomalist.files import atomic_path, write_text
from anomalist.inspection.findings import COLUMNS, Finding, Rule
from anomalist.inspection.inputs import HEATMAPS, SHEET
from anomalist.predictions import Predictions
from anomalist.report import contact_sheet, write_heatmaps

Heatmaps = Literal["none", "anomalous", "all"]

_BATCHES = 4
_ON_SHEET = 48
_UNFINISHED = "predictions.unfinished"


@dataclass
class Tally:
    """How many photographs were called what.

    Parameters
    ----------
    normal, anomalous, undecided, failed : int
        Counts; undecided are those without a threshold to decide by.
    before : int
        How many of them an earlier call had done, which was stopped.
    """

    normal: int = 0
    anomalous: int = 0
    undecided: int = 0
    failed: int = 0
    before: int = 0

    def add(self, line: dict[str, Any]) -> None:
        """Count a line of ``predictions.jsonl``."""
        if "error" in line:
            self.failed += 1
        else:
            name = line["decision"] or "undecided"
            setattr(self, name, getattr(self, name) + 1)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts by name, ``total`` included."""
        return {"total": self.total, **vars(self)}

    @property
    def total(self) -> int:
        """All of them."""
        return self.normal + self.anomalous + self.undecided + self.failed


def predict_in_chunks(
    detector: Detector, paths: Iterable[Path]
) -> Iterator[tuple[list[Path], Predictions | None, dict[Path, str]]]:
    """Score images a few batches at a time, whatever is wrong with some of them.

    Parameters
    ----------
    detector : Detector
        Fitted.
    paths : iterable of Path
        Files, taken as they come.

    Yields
    ------
    chunk : list of Path
        The files, in their order.
    predictions : Predictions or None
        Of those that could be scored, in the same order; None if that is none.
    failed : dict of Path to str
        The others, and why.
    """
    rest = iter(paths)
    while chunk := list(itertools.islice(rest, detector.batch_size * _BATCHES)):
        yield chunk, *_scored(detector, ImageSet(map(Sample, chunk)))


def _scored(detector: Detector, chunk: ImageSet) -> tuple[Predictions | None, dict[Path, str]]:
    try:
        return _predict(detector, chunk), {}
    except (DataError, OSError):
        pass
    failed = dict[Path, str]()
    for sample in chunk:
        try:
            sample.read()
        except DataError as error:
            failed[sample.path] = str(error)
    readable = ImageSet(sample for sample in chunk if sample.path not in failed)
    if len(readable) == 0:
        return None, failed
    try:
        return _predict(detector, readable), failed
    except (DataError, OSError) as error:
        # Not one that can't be read, or it changes under our eyes: each for itself.
        if len(readable) == 1:
            return None, {**failed, readable[0].path: str(error)}
    half = len(readable) // 2
    (first, a), (second, b) = (
        _scored(detector, part) for part in (readable[:half], readable[half:])
    )
    parts = [part for part in (first, second) if part is not None]
    return Predictions.join(parts) if parts else None, failed | a | b


def _predict(detector: Detector, images: ImageSet) -> Predictions:
    # Its own store, so that members of an ensemble share what they can and nothing piles up.
    return detector.predict(images, store=FeatureStore())


@dataclass
class Output:
    """A folder of results to which findings are added one by one, each whole or not at all.

    ``predictions.csv`` and ``predictions.jsonl`` grow as findings come. As long as
    ``predictions.unfinished`` lies beside them, more are to come; the same call, made again, goes
    on from there.

    Parameters
    ----------
    folder : Path
        Made where missing.
    identity : dict
        What the results depend on, as JSON values. Unfinished results of another are replaced.

    Attributes
    ----------
    tally : Tally
        Of all findings, those of an earlier call included.
    done : dict of str to float or None
        Scores of the photographs that an earlier call had done.
    taken : set of str
        Names of heatmaps, casefolded and without suffix.
    """

    folder: Path
    identity: dict[str, Any]
    tally: Tally = field(default_factory=Tally)
    done: dict[str, float | None] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.csv, self.jsonl = (self.folder / f"predictions.{kind}" for kind in ("csv", "jsonl"))
        self._marker = self.folder / _UNFINISHED
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._resume():
            self._marker.unlink(missing_ok=True)
            (self.folder / SHEET).unlink(missing_ok=True)
            write_text(self.jsonl, "")
            write_text(self.csv, ",".join(COLUMNS) + "\n")
            write_text(self._marker, json.dumps(self.identity, indent=1) + "\n")

    def _resume(self) -> bool:
        """Take over what an earlier call has written, torn lines apart."""
        try:
            if json.loads(self._marker.read_text(encoding="utf-8")) != self.identity:
                return False
            lines = self.jsonl.read_bytes().split(b"\n")[:-1]
        except (OSError, ValueError):
            return False
        rows = [",".join(COLUMNS) + "\n"]
        for line in lines:
            entry = json.loads(line)
            self._count(entry)
            self.done[entry["path"]] = entry.get("score")
            known = {name: entry.get(name) for name in COLUMNS}
            rows.append(_csv_line(Finding(**known).row()))
        self.tally.before = len(lines)
        with self.jsonl.open("r+b") as file:
            file.truncate(sum(len(line) + 1 for line in lines))
        with atomic_path(self.csv) as path:
            path.write_bytes(_bytes("".join(rows)))
        return True

    def _count(self, entry: dict[str, Any]) -> None:
        self.tally.add(entry)
        if (heatmap := entry.get("heatmap")) is not None:
            name = Path(heatmap).relative_to(HEATMAPS).with_suffix("").as_posix()
            self.taken.add(name.casefold())

    def add(self, finding: Finding) -> None:
        """Write a finding."""
        entry = finding.as_dict()
        # Names that aren't text in UTF-8 stay what they are, as an escape that JSON knows.
        text = json.dumps(entry, ensure_ascii=False) + "\n"
        _append(self.jsonl, text.encode("utf-8", "backslashreplace"))
        _append(self.csv, _bytes(_csv_line(finding.row())))
        self._count(entry)

    def finish(self) -> None:
        """Say that no more will come."""
        self._marker.unlink(missing_ok=True)


def _csv_line(row: list[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(row)
    return stream.getvalue()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _append(path: Path, data: bytes) -> None:
    """Add a line, or leave the file as it was."""
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(data):
                written += file.write(data[written:])
        except OSError as error:
            file.truncate(before)
            raise OSError(error.errno, error.strerror, str(path)) from error


def predict_files(
    detector: Detector,
    looks: Iterable[Iterable[Path]],
    out: str | Path,
    rule: Rule,
    *,
    heatmaps: Heatmaps = "all",
    arrays: bool = False,
    identity: dict[str, Any] | None = None,
    finding: Callable[[Finding], None] | None = None,
) -> Tally:
    """Score photographs and write what is found, in memory that doesn't grow with their number.

    Parameters
    ----------
    detector : Detector
        Fitted.
    looks : iterable of iterables of Path
        Photographs, in the order of the results, taken as they come; all in one, or look by look
        as :func:`watch_inputs` gives them.
    out : str or Path
        The folder of results: ``predictions.csv``, ``predictions.jsonl``, ``heatmaps/`` and
        ``contact_sheet.png`` of the highest scores. Both tables have a row a photograph. One that
        can't be scored has ``error`` in ``predictions.jsonl`` and nothing but its path in
        ``predictions.csv``.
    rule : Rule
        Which are anomalous.
    heatmaps : {"all", "anomalous", "none"}
        Of which photographs pictures are written.
    arrays : bool
        Whether to write the raw map beside each picture, as ``.npy``.
    identity : dict, optional
        What the results depend on beside the rule and the options, as JSON values. With the same,
        a call goes on where an earlier one was stopped.
    finding : callable, optional
        Called with each finding as it is written.

    Returns
    -------
    Tally

    Raises
    ------
    OSError
        If a result can't be written; what was written before is kept.
    """
    out = Path(out)
    settings = {"rule": vars(rule), "heatmaps": heatmaps, "arrays": arrays}
    output = Output(out, json.loads(json.dumps({**settings, "of": identity or {}})))
    scale = None if rule.low is None or rule.high is None else (rule.low, rule.high)
    top: list[tuple[float, int, str, Predictions | None]] = [
        (score, -i, path, None)
        for i, (path, score) in enumerate(output.done.items())
        if score is not None
    ]
    top = heapq.nlargest(_ON_SHEET, top)
    heapq.heapify(top)
    before = set(output.done)
    stopped: KeyboardInterrupt | None = None
    try:
        for paths in looks:
            to_do = (path for path in paths if not _took(str(path), before))
            for chunk, predictions, failed in predict_in_chunks(detector, to_do):
                if scale is None and predictions is not None:
                    low = float(np.median(predictions.maps))
                    scale = low, low + (float(predictions.maps.max()) - low) / 2
                scored = iter(range(len(chunk)))
                for path in chunk:
                    if predictions is None or scale is None or path in failed:
                        _tell(Finding(path=str(path), error=failed[path]), output, finding)
                        continue
                    i = next(scored)
                    one = predictions[i]
                    found = _written(detector, one, output, rule, scale, heatmaps, arrays)
                    _tell(found, output, finding)
                    if found.score is not None:
                        # A copy, as a view would keep the maps of its whole chunk.
                        entry = found.score, -output.tally.total, found.path, predictions[[i]]
                        (heapq.heappush if len(top) < _ON_SHEET else heapq.heappushpop)(top, entry)
    except KeyboardInterrupt as error:
        stopped = error
    if scale is not None and top:
        _write_sheet(detector, sorted(top, reverse=True), rule, scale, out / SHEET)
    if stopped is not None:
        raise stopped
    output.finish()
    return output.tally


def _took(entry: str, entries: set[str]) -> bool:
    """Take an entry out of a set; say whether it was there."""
    there = entry in entries
    entries.discard(entry)
    return there


def _tell(found: Finding, output: Output, finding: Callable[[Finding], None] | None) -> None:
    output.add(found)
    if finding is not None:
        finding(found)


def _written(
    detector: Detector,
    prediction: Predictions,
    output: Output,
    rule: Rule,
    scale: tuple[float, float],
    heatmaps: Heatmaps,
    arrays: bool,
) -> Finding:
    """The finding of one image, its heatmap written."""
    path = str(prediction.paths[0])
    decision = rule.decide(float(prediction.scores[0]))
    try:
        picture = None
        if heatmaps == "all" or (heatmaps == "anomalous" and decision == "anomalous"):
            (file,) = write_heatmaps(
                prediction,
                output.folder / HEATMAPS,
                transform=detector.transform,
                low=scale[0],
                high=scale[1],
                threshold=rule.pixel_threshold,
                arrays=arrays,
                taken=output.taken,
            )
            picture = file.relative_to(output.folder).as_posix()
        return rule.judge(detector, prediction, picture)[0]
    except DataError as error:  # gone since it was scored
        return Finding(path=path, error=str(error))


def _write_sheet(
    detector: Detector,
    top: list[tuple[float, int, str, Predictions | None]],
    rule: Rule,
    scale: tuple[float, float],
    target: Path,
) -> None:
    """Draw the highest scores; those of an earlier call are scored again for their maps."""
    there = []
    for _, _, path, one in top:
        sample = Sample(Path(path))
        try:
            sample.read()
        except DataError:  # gone since
            continue
        there.append(one or _predict(detector, ImageSet([sample])))
    if not there:
        return
    sheet = contact_sheet(
        Predictions.join(there),
        detector.transform,
        low=scale[0],
        high=scale[1],
        threshold=rule.pixel_threshold,
        image_threshold=rule.threshold,
    )
    with atomic_path(target) as temporary:
        sheet.save(temporary)


def identity_of(model: str | Path, **more: Any) -> dict[str, Any]:
    """Return what identifies results of a model file: its hash, and what else is given."""
    with Path(model).open("rb") as file:
        return {"model": hashlib.file_digest(file, "sha256").hexdigest(), **more}
