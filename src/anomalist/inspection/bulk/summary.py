"""What all parts say together: how many were called what, whether they shifted, the worst."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from anomalist.conditions import Conditions
from anomalist.data import ImageSet, Remarks, Sample
from anomalist.data.names import plural
from anomalist.data.walking import SHEET
from anomalist.detectors import Detector
from anomalist.drawing import scale_of
from anomalist.errors import DataError, ObjectNotFoundError
from anomalist.inspection.bulk.keys import part_key
from anomalist.inspection.bulk.rows import plain, read_part
from anomalist.inspection.findings import Rule
from anomalist.inspection.prediction import ON_SHEET
from anomalist.inspection.results import Tally
from anomalist.inspection.scoring import predict
from anomalist.predictions import Predictions
from anomalist.report import contact_sheet
from anomalist.storage import Storage, open_storage

_READERS = 8
_TOLD = 3
# To watch one for a shift takes longer than all else that is counted of it.
_WATCHED = 20_000

Worst = list[tuple[float, str, str]]


def rows_of(storage: Storage, parts: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of all parts in their order, few parts in memory at a time."""
    pool = ThreadPoolExecutor(_READERS, thread_name_prefix="anomalist-reader")
    keys = [part_key(number) for number in range(parts)]
    try:
        for start in range(0, parts, _READERS):
            some = keys[start : start + _READERS]
            for key, data in zip(some, pool.map(storage.read, some), strict=True):
                table, _ = read_part(data, storage.address_of(key))
                yield from map(plain, table.to_pylist())
    finally:
        pool.shutdown(cancel_futures=True)


def summarise(
    storage: Storage, parts: int, objects: int, detector: Detector, rule: Rule, before: int
) -> tuple[Tally, Worst]:
    """Count the rows of all parts.

    Parameters
    ----------
    storage : Storage
        Of the results.
    parts : int
        How many there are, all done.
    objects : int
        How many rows they have. Of more than 20,000, so many that are spread evenly are watched for
        a shift.
    detector : Detector
        Whose rows they are.
    rule : Rule
        By which they were called what they are.
    before : int
        How many of the rows earlier calls had written.

    Returns
    -------
    tally : Tally
    worst : list of (float, str, str)
        Score, path and hash of the highest scores, the highest first.
    """
    tally, remarks = Tally(before=before), Remarks()
    conditions = Conditions.of(detector, rule)
    top: list[tuple[float, int, str, str]] = []
    failures: list[str] = []
    apart = max(1, objects // _WATCHED)
    for i, row in enumerate(rows_of(storage, parts)):
        if row["error"] is not None:
            tally.failed += 1
            conditions.failed += 1
            if len(failures) < _TOLD:
                failures.append(row["error"])
            continue
        tally.add({"decision": row["decision"]})
        remarks.add(row["path"], row["notes"] or ())
        conditions.count(
            row["looks"],
            row["path"],
            score=row["score"],
            size=(row["width"], row["height"]),
            watched=i % apart == 0,
        )
        entry = row["score"], -i, row["path"], row["sha256"]
        (heapq.heappush if len(top) < ON_SHEET else heapq.heappushpop)(top, entry)
    tally.failing = tally.failed
    tally.notes = [*_failures(tally.failed, failures), *remarks.lines(), *conditions.notes()]
    tally.conditions = conditions.as_dict()
    worst = [(score, path, sha256) for score, _, path, sha256 in sorted(top, reverse=True)]
    return tally, worst


def _failures(count: int, first: list[str]) -> list[str]:
    if not count:
        return []
    more = "; ..." if count > len(first) else ""
    return [f"{plural(count, 'object')} couldn't be scored: {'; '.join(first)}{more}"]


def write_sheet(
    storage: Storage, roots: tuple[str, ...], worst: Worst, detector: Detector, rule: Rule
) -> None:
    """Draw the highest scores: objects are read and scored again for their maps."""
    there = []
    for i, (_, path, sha256) in enumerate(worst):
        try:
            data = _read(roots, path)
            sample = Sample(Path(str(i), path.rsplit("/", 1)[-1]), image=data)
            if sample.sha256() == sha256:  # and not another one by now
                there.append(predict(detector, ImageSet([sample])))
        except (DataError, ObjectNotFoundError):  # gone since
            continue
    if not there:
        return
    all_of_them = Predictions.join(there)
    low, high = rule.low, rule.high
    if low is None or high is None:
        low, high = scale_of(all_of_them.counted)
    sheet = contact_sheet(
        all_of_them,
        detector.transform,
        low=low,
        high=high,
        threshold=rule.pixel_threshold,
        image_threshold=rule.threshold,
        states=rule.states(detector, all_of_them),
    )
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    storage.write(SHEET, stream.getvalue())


def _read(roots: tuple[str, ...], path: str) -> bytes:
    for root in roots:
        storage = open_storage(root)
        start = storage.address.rstrip("/") + "/"
        if path.startswith(start):
            return storage.read(path.removeprefix(start))
    raise ObjectNotFoundError(f"{path} isn't there")
