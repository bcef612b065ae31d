"""One part scored: its objects read ahead, its heatmaps and then its rows written."""

from __future__ import annotations

import dataclasses
import io
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from anomalist.conditions import Measuring
from anomalist.data import Sample
from anomalist.detectors import Detector
from anomalist.errors import ObjectNotFoundError, ResultsError
from anomalist.inspection.bulk.keys import heatmap_key, part_key
from anomalist.inspection.bulk.listing import LISTED, digest_of, read_listing
from anomalist.inspection.bulk.manifest import Part
from anomalist.inspection.bulk.rows import part_file, plain, read_part
from anomalist.inspection.findings import Finding, Rule
from anomalist.inspection.prediction import Heatmaps, is_drawn
from anomalist.inspection.scoring import READ_AHEAD, in_chunks
from anomalist.predictions import Predictions
from anomalist.report import HeatmapFormat, heatmap, save_heatmap
from anomalist.storage import Storage, open_storage

# A storage takes its time to answer, and answers many at once.
_READERS = 16


@dataclass(frozen=True)
class Job:
    """What all parts of a call have in common.

    Parameters
    ----------
    out : Storage
        Of the results.
    roots : tuple of str
        The storages that objects lie in.
    call : dict
        What the results depend on, as JSON values.
    rule : Rule
        Which objects are anomalous.
    heatmaps : {"all", "unsure", "anomalous", "none"}
        Of which objects heatmaps are written.
    heatmap_size : int
        Most pixels of their longer side.
    heatmap_format : {"png", "jpg"}
        Of the heatmaps.
    arrays : bool
        Whether to write the raw map beside each picture, as ``.npy``.
    model : str
        What rows call the model.
    """

    out: Storage
    roots: tuple[str, ...]
    call: dict[str, Any]
    rule: Rule
    heatmaps: Heatmaps
    heatmap_size: int
    heatmap_format: HeatmapFormat
    arrays: bool
    model: str


@dataclass(frozen=True)
class ToScore:
    """A part that is to be scored.

    Parameters
    ----------
    number : int
        Of the part.
    file : str
        The key of the listing that has its objects.
    objects : int
        How many they are.
    written : bool
        Whether there may be rows of an earlier call. Those of objects that are as they were, and
        didn't fail, are kept.
    """

    number: int
    file: str
    objects: int
    written: bool


@dataclass(frozen=True)
class _Read:
    """An object with its place in its part, in memory; or why it can't be read."""

    row: int
    found: Sample | Finding


class Scorer:
    """Scores parts, one after the other.

    Parameters
    ----------
    detector : Detector
        Fitted.
    job : Job
        What to do.
    """

    def __init__(self, detector: Detector, job: Job) -> None:
        self._detector, self._job = detector, job
        self._roots = [open_storage(root) for root in job.roots]
        # One file of it tells of many parts.
        self._listing: tuple[str, pa.Table] = "", LISTED.empty_table()

    def score(self, part: ToScore) -> Part:
        """Score the objects of a part that have no row yet, and write all its rows.

        Raises
        ------
        StorageError
            If a storage doesn't answer or refuses. That one object isn't there, or can't be taken
            for an image, is told by its row.
        """
        number, objects = part.number, self._objects(part)
        listed = objects.to_pylist()
        rows = self._kept(number, listed) if part.written else {}
        to_do = [i for i in range(len(listed)) if i not in rows]
        detector, job = self._detector, self._job
        measuring = None
        if detector.reference_ is not None:
            measuring = Measuring(detector.reference_, detector.sight)
        pool = ThreadPoolExecutor(_READERS, thread_name_prefix="anomalist-reader")
        try:
            pictures = _Writing(job.out, pool)
            places = deque[int]()

            def read() -> Iterator[Sample | Finding]:
                for one in self._read(listed, to_do, pool):
                    places.append(one.row)
                    if isinstance(one.found, Sample) and job.heatmaps != "none":
                        one.found.keep_view(job.heatmap_size, detector.transform.bit_depth)
                    yield one.found

            for chunk, predictions, failed in in_chunks(detector, read()):
                looks = None
                if measuring is not None and predictions is not None:
                    looks = measuring.numbers(predictions)
                scored = 0
                for one in chunk:
                    place = places.popleft()
                    entry = listed[place]
                    if isinstance(one, Finding) or predictions is None or one.path in failed:
                        rows[place] = self._failure(entry, one, failed)
                        continue
                    prediction = predictions[scored]
                    values = self._row(entry, one, prediction, pictures, number, place)
                    values["looks"] = None if looks is None else looks[scored]
                    rows[place] = values
                    scored += 1
            pictures.wait()
        finally:
            pool.shutdown(cancel_futures=True)
        ordered = [rows[i] for i in range(len(listed))]
        done = Part(**_counts(ordered), digest=digest_of(objects))
        said = {"call": job.call, "part": dataclasses.asdict(done)}
        job.out.write(part_key(number), part_file(ordered, said))
        return done

    def _objects(self, part: ToScore) -> pa.Table:
        file, table = self._listing
        if file != part.file:
            table = read_listing(self._job.out, part.file)
            self._listing = part.file, table
        return table.filter(pc.equal(table["part"], part.number))

    def _kept(self, number: int, listed: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Rows of an earlier call that stand, by their places."""
        key = part_key(number)
        try:
            table, said = read_part(self._job.out.read(key), self._job.out.address_of(key))
        except (ObjectNotFoundError, ResultsError):  # all of it is made again
            return {}
        if said.get("call") != self._job.call:
            return {}
        rows = {row["path"]: plain(row) for row in table.to_pylist()}
        kept = {}
        for i, entry in enumerate(listed):
            row = rows.get(entry["path"])
            if row is None or row["error"] is not None:
                continue
            if (row["size"], row["version"]) == (entry["size"], entry["version"]):
                kept[i] = row
        return kept

    def _read(
        self, listed: list[dict[str, Any]], to_do: list[int], pool: ThreadPoolExecutor
    ) -> Iterator[_Read]:
        """Yield objects in their order, some of them read ahead."""
        rest = iter(to_do)
        ahead = deque[tuple[Future[_Read], int]]()
        held = 0
        while True:
            while len(ahead) < 2 * _READERS and held <= READ_AHEAD:
                row = next(rest, None)
                if row is None:
                    break
                size = listed[row]["size"] or 0
                held += size
                ahead.append((pool.submit(self._read_one, row, listed[row]), size))
            if not ahead:
                return
            future, size = ahead.popleft()
            held -= size
            yield future.result()

    def _read_one(self, row: int, entry: dict[str, Any]) -> _Read:
        path, storage = entry["path"], self._roots[entry["root"]]
        try:
            data = storage.read(path[len(storage.address.rstrip("/")) + 1 :])
        except ObjectNotFoundError as error:
            return _Read(row, Finding(path=path, error=str(error), model=self._job.model))
        # A name that no other of the part has, whatever slashes and dots it is made of.
        return _Read(row, Sample(Path(str(row), path.rsplit("/", 1)[-1]), image=data))

    def _failure(
        self, entry: dict[str, Any], one: Sample | Finding, failed: dict[Path, str]
    ) -> dict[str, Any]:
        if isinstance(one, Finding):
            found = one
        else:
            error = failed[one.path].replace(str(one.path), entry["path"])
            found = Finding(
                path=entry["path"], error=error, sha256=one.sha256(), model=self._job.model
            )
        return {**found.as_dict(), "size": entry["size"], "version": entry["version"]}

    def _row(
        self,
        entry: dict[str, Any],
        sample: Sample,
        prediction: Predictions,
        pictures: _Writing,
        number: int,
        place: int,
    ) -> dict[str, Any]:
        job, detector = self._job, self._detector
        (found,) = job.rule.judge(detector, prediction)
        found = dataclasses.replace(
            found,
            path=entry["path"],
            sha256=sample.sha256(),
            model=job.model,
            notes=sample.remarks(detector.transform.bit_depth),
        )
        assert found.score is not None
        if is_drawn(job.heatmaps, job.rule.state(found.score, found.p_value)):
            key = heatmap_key(number, place, entry["path"], job.heatmap_format)
            pictures.add(key, partial(self._picture, sample, prediction.visible_map(0)))
            found = dataclasses.replace(found, heatmap=key)
            if job.arrays:
                array_key = f"{key.rpartition('.')[0]}.npy"
                pictures.add(array_key, partial(_array, prediction.maps[0]))
        height, width = sample.size()
        more = {"width": width, "height": height, "size": entry["size"]}
        return {**found.as_dict(), **more, "version": entry["version"]}

    def _picture(self, sample: Sample, values: npt.NDArray[np.floating[Any]]) -> bytes:
        rule = self._job.rule
        assert rule.low is not None
        assert rule.high is not None
        picture = heatmap(
            sample,
            values,
            transform=self._detector.transform,
            low=rule.low,
            high=rule.high,
            threshold=rule.pixel_threshold,
            side=self._job.heatmap_size,
        )
        sample.drop_view()
        stream = io.BytesIO()
        save_heatmap(picture, stream, self._job.heatmap_format)
        return stream.getvalue()


class _Writing:
    """Makes and writes objects meanwhile, few at once."""

    def __init__(self, storage: Storage, pool: ThreadPoolExecutor) -> None:
        self._storage, self._pool = storage, pool
        self._under_way = deque[Future[None]]()

    def add(self, key: str, make: Callable[[], bytes]) -> None:
        """Make and write one, as soon as few enough are under way."""
        while len(self._under_way) >= _READERS:
            self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(self._write, key, make))

    def _write(self, key: str, make: Callable[[], bytes]) -> None:
        self._storage.write(key, make())

    def wait(self) -> None:
        """Wait until all are written."""
        while self._under_way:
            self._under_way.popleft().result()


def _array(values: npt.NDArray[np.floating[Any]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values.astype(np.float32))
    return stream.getvalue()


def _counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    counts = {"rows": len(rows), "normal": 0, "anomalous": 0, "undecided": 0, "failed": 0}
    for row in rows:
        if row.get("error") is not None:
            counts["failed"] += 1
        else:
            counts[row.get("decision") or "undecided"] += 1
    return counts
