"""From a photograph that comes in to a decision that is remembered."""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from anomalist.data import ImageSet, Sample
from anomalist.errors import AnomalistError, BusyError, DataError, ServerError
from anomalist.features import FeatureStore
from anomalist.predictions import Predictions
from anomalist.server.batching import Batcher
from anomalist.server.blobs import Blobs
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection
from anomalist.server.decoding import Decoders
from anomalist.server.keeping import Accepted, Keeper, Upload, stored_key
from anomalist.server.registry import Answering, Registry

__all__ = ["Inspector", "Upload", "Watcher"]

_log = logging.getLogger(__name__)

# Of photographs that wait to be decoded, all together.
_WAITING_BYTES = 512 * 2**20
# Batches that are scored while one is being kept.
_AHEAD = 2
_MEDIA = {
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "HEIF": "image/heif",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "PPM": "image/x-portable-anymap",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
}

T = TypeVar("T")
_Scored = tuple[Answering, list[Accepted], Predictions]


class Watcher(Protocol):
    """Sees what is scored, in its order, before it is committed."""

    def add(
        self, answering: Answering, predictions: Predictions, cameras: Sequence[str | None]
    ) -> list[dict[str, float] | None]:
        """Return the numbers by which a shift is told, of each photograph."""


class Inspector:
    """Scores photographs, and remembers what was found before it is answered.

    A photograph is decoded in a process that may die of it, and written; those that come about the
    same time for the same version of a model are scored together, one that comes alone by itself;
    what was found is committed, a batch in a transaction, while the next is being scored.

    Parameters
    ----------
    database : Database
        Where inspections are kept.
    registry : Registry
        The models.
    photographs, heatmaps : Blobs
        Where files are kept.
    watcher : Watcher, optional
        Sees all photographs that are scored.
    decoders : Decoders
        Where photographs are decoded; they are closed with this.
    waiting : int
        Photographs that may be on their way at once; beyond, requests are refused.
    wait_s : float
        How long a photograph waits for others, to be scored with them.
    max_bytes : int
        Of one photograph's file.
    """

    name = "inspections"

    def __init__(
        self,
        database: Database,
        registry: Registry,
        photographs: Blobs,
        heatmaps: Blobs,
        watcher: Watcher | None = None,
        *,
        decoders: Decoders,
        waiting: int = 256,
        wait_s: float = 0.004,
        max_bytes: int = 50_000_000,
    ) -> None:
        self._registry, self._photographs, self._watcher = registry, photographs, watcher
        self._decoders, self._most_waiting, self._max_bytes = decoders, waiting, max_bytes
        self._keeper = Keeper(database, heatmaps)
        #: Called with inspections of one model once they are committed.
        self.on_inspected: list[Callable[[Answering, list[Inspection]], None]] = []
        #: Model and number of versions that have answered, by their id.
        self.versions: dict[int, tuple[str, int]] = {}
        self._lock = threading.Lock()
        self._waiting = self._waiting_bytes = 0
        self._closed = False
        # Some write while others decode.
        self._pool = ThreadPoolExecutor(2 * decoders.processes, "anomalist-decoding")
        self._scored: queue.Queue[_Scored | None] = queue.Queue(_AHEAD)
        self._keeping = threading.Thread(target=self._keep_all, name="anomalist-keeping")
        self._keeping.daemon = True
        self._keeping.start()
        self._batcher: Batcher[Answering, Accepted] = Batcher(
            self._score, lambda answering: answering.detector.batch_size, wait_s, "anomalist-scores"
        )

    @property
    def waiting(self) -> int:
        """How many photographs were accepted and aren't answered yet."""
        return self._waiting

    def start(self) -> None:
        """Begin: what is needed for the first photograph comes up meanwhile."""
        self._decoders.start()

    def fault(self) -> str | None:
        """Say why it answers no more; None while it does."""
        if self._batcher.is_alive() and self._keeping.is_alive():
            return None
        return "a thread that scores or keeps has ended"

    def inspect(
        self, uploads: Sequence[Upload], model: str | None = None
    ) -> list[Inspection | DataError]:
        """Score photographs by the version that answers now, and keep what is found.

        Parameters
        ----------
        uploads : sequence of Upload
            One or more.
        model : str, optional
            Its name; without one, the only model.

        Returns
        -------
        list of Inspection or DataError
            Of each; an error where it can't be read.

        Raises
        ------
        NotFoundError
            If there is no such model.
        BusyError
            If too many wait.
        ServerError
            If what was found can't be kept.
        """
        return [_inspected(answer) for answer in self.submit(uploads, model)]

    def submit(
        self, uploads: Sequence[Upload], model: str | None = None
    ) -> list[Future[Inspection]]:
        """Accept photographs, all or none, and return where their answers will be.

        What is accepted is scored and kept, whether or not anybody waits for it.

        Parameters
        ----------
        uploads, model
            As of :meth:`inspect`.

        Returns
        -------
        list of Future of Inspection
            One has a DataError where its photograph can't be read, and a ServerError where what
            was found can't be kept.

        Raises
        ------
        NotFoundError
            If there is no such model.
        BusyError
            If too many wait, or the server stops.
        """
        answering = self._registry.answering(model)
        self.versions[answering.version_id] = answering.name, answering.number
        known = self._keeper.known(uploads)
        answers: list[Future[Inspection]] = [Future() for _ in uploads]
        new = []
        for upload, answer in zip(uploads, answers, strict=True):
            answer.set_running_or_notify_cancel()  # who doesn't wait any longer can't stop it
            if (before := known.get(stored_key(upload) or "")) is not None:
                _answer(answer, before, upload, hashlib.sha256(upload.data).hexdigest())
            elif len(upload.data) > self._max_bytes:
                answer.set_exception(DataError(_too_large(upload, self._max_bytes)))
            else:
                new.append((upload, answer))
        with self._lock:
            self._admit(new)
            release = _in_order(partial(self._release, answering))
            for place, (upload, answer) in enumerate(new):
                answer.add_done_callback(partial(self._answered, len(upload.data)))
                self._batcher.expect(answering)
                began = time.perf_counter()
                decode = partial(self._decode, answering, upload, answer, began)
                self._pool.submit(lambda p, decode: release(p, decode()), place, decode)
        return answers

    def stop(self) -> None:
        """Answer what was accepted, and end."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._pool.shutdown()
        self._batcher.close()
        self._scored.put(None)
        self._keeping.join()
        self._keeper.close()
        self._decoders.close()

    def _admit(self, new: Sequence[tuple[Upload, Future[Inspection]]]) -> None:
        size = sum(len(upload.data) for upload, _ in new)
        if self._closed and new:
            raise BusyError("the server stops: try again once it is back")
        # More at once than ever fit are let in alone.
        if self._waiting and (
            self._waiting + len(new) > self._most_waiting
            or self._waiting_bytes + size > _WAITING_BYTES
        ):
            raise BusyError(f"{self._waiting} photographs wait already: try again later")
        self._waiting += len(new)
        self._waiting_bytes += size

    def _answered(self, size: int, _: Future[Inspection]) -> None:
        with self._lock:
            self._waiting -= 1
            self._waiting_bytes -= size

    def _release(self, answering: Answering, accepted: Accepted | None) -> None:
        if accepted is None:
            self._batcher.give_up(answering)
        else:
            self._batcher.put(answering, accepted)

    def _decode(
        self, answering: Answering, upload: Upload, answer: Future[Inspection], began: float
    ) -> Accepted | None:
        """Decode one photograph and write it: files are there before the row that names them."""
        try:
            decoded = self._decoders.decode(upload.data, upload.name, answering.detector.source)
            key = self._photographs.put(upload.data, hold=True)
            answer.add_done_callback(lambda _: self._photographs.let_go(key))
            sample = Sample.decoded(upload.name, decoded, sha256=key, nbytes=len(upload.data))
        except Exception as error:
            answer.set_exception(_told(error, "it can't be kept"))
            return None
        return Accepted(
            upload=replace(upload, data=b""),
            sample=sample,
            media_type=_MEDIA.get(decoded.format, "application/octet-stream"),
            began=began,
            answer=answer,
        )

    def _score(self, answering: Answering, batch: list[Accepted]) -> None:
        try:
            images = ImageSet(one.sample for one in batch)
            # Its own store, so that members of an ensemble share what they can.
            predictions = answering.detector.predict(images, store=FeatureStore())
        except Exception as error:
            if len(batch) > 1:
                # One that can't be scored, or too many for the memory: the others can.
                half = len(batch) // 2
                self._score(answering, batch[:half])
                self._score(answering, batch[half:])
            else:
                batch[0].answer.set_exception(_told(error, "it can't be scored"))
            return
        self._scored.put((answering, batch, predictions))

    def _keep_all(self) -> None:
        while (scored := self._scored.get()) is not None:
            answering, batch, predictions = scored
            try:
                rows = self._keep(answering, batch, predictions)
            except Exception as error:
                told = _told(error, "what was found can't be kept")
                for one in batch:
                    one.answer.set_exception(told)
                continue
            for one, row in zip(batch, rows, strict=True):
                _answer(one.answer, row, one.upload, one.sample.sha256())
            for tell in self.on_inspected:
                try:
                    tell(answering, rows)
                except Exception:  # who listens must not end the inspection
                    _log.exception("a listener to inspections failed")

    def _keep(
        self, answering: Answering, batch: list[Accepted], predictions: Predictions
    ) -> list[Inspection]:
        looks: Sequence[dict[str, float] | None] = [None] * len(batch)
        if self._watcher is not None:
            looks = self._watcher.add(answering, predictions, [one.upload.camera for one in batch])
        return self._keeper.keep(answering, batch, predictions, looks)


def _in_order(pass_on: Callable[[T], None]) -> Callable[[int, T], None]:
    """Return what passes things on in the order of their places, whichever comes first."""
    lock = threading.Lock()
    early: dict[int, T] = {}
    place = 0

    def take(at: int, one: T) -> None:
        nonlocal place
        with lock:
            early[at] = one
            while place in early:
                pass_on(early.pop(place))
                place += 1

    return take


def _inspected(answer: Future[Inspection]) -> Inspection | DataError:
    try:
        return answer.result()
    except DataError as error:
        return error


def _answer(answer: Future[Inspection], row: Inspection, upload: Upload, sha256: str) -> None:
    """Answer with what was kept, unless that is of another photograph with the same key."""
    if row.sha256 == sha256:
        answer.set_result(row)
    else:
        answer.set_exception(
            DataError(f"the key {upload.key!r} of {upload.name} was sent with another photograph")
        )


def _too_large(upload: Upload, most: int) -> str:
    size = len(upload.data) / 1_000_000
    return f"{upload.name} has {size:.1f} MB: at most {most / 1_000_000:g} MB are taken"


def _told(error: Exception, what: str) -> AnomalistError:
    """Return an error that people can read, of any."""
    if isinstance(error, AnomalistError):
        return error
    if not isinstance(error, OSError | SQLAlchemyError):
        _log.error("%s", what, exc_info=error)
    line = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return ServerError(f"{what}: {line or type(error).__name__}")
