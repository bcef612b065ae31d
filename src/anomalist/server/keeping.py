"""What was found is kept: files first, then all rows of a batch in one transaction."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from anomalist.data import Sample
from anomalist.inspection import Finding
from anomalist.predictions import Predictions
from anomalist.server.blobs import Blobs
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection
from anomalist.server.heatmaps import Heatmap
from anomalist.server.registry import Answering
from anomalist.server.texts import plain_text

_LONGEST_KEY = 150
_WRITERS = 4
_LONGEST_NAME = 255


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A photograph as it comes in.

    Parameters
    ----------
    name : str
        What it is called, for people.
    data : bytes
        The file.
    source : str
        ``http``, ``page``, ``folder``, ``mqtt`` or ``camera``.
    camera : str, optional
        Which camera or station it comes from.
    token_id : int, optional
        The token that asks.
    key : str, optional
        What the client calls the request: one that is sent again is kept once.

    Raises
    ------
    ParameterError
        If ``camera`` or ``key`` is too long, or no text. Names are made fit to be kept.
    """

    name: str
    data: bytes
    source: str
    camera: str | None = None
    token_id: int | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _fit(self.name))
        if self.camera is not None:
            object.__setattr__(self, "camera", plain_text(self.camera, "camera") or None)
        if self.key is not None:
            object.__setattr__(self, "key", plain_text(self.key, "key", _LONGEST_KEY) or None)


def _fit(name: str) -> str:
    """A name of a file that every database can keep, its end kept where it is too long."""
    odd = ("Cc", "Cs")
    text = "".join("\ufffd" if unicodedata.category(c) in odd else c for c in name).strip()
    return text[-_LONGEST_NAME:] or "photograph"


@dataclass(frozen=True, kw_only=True, eq=False)
class Accepted:
    """A photograph that was accepted, decoded and written; its bytes are let go.

    Parameters
    ----------
    upload : Upload
        Without its data.
    sample : Sample
        Decoded.
    media_type : str
        Of the file.
    began : float
        When it came, by `time.perf_counter`.
    answer : Future of Inspection
        Where its answer is waited for.
    """

    upload: Upload
    sample: Sample
    media_type: str
    began: float
    answer: Future[Inspection]


class Keeper:
    """Writes inspections, each once.

    Parameters
    ----------
    database : Database
        Where rows go.
    heatmaps : Blobs
        Where maps go.
    """

    def __init__(self, database: Database, heatmaps: Blobs) -> None:
        self._database, self._heatmaps = database, heatmaps
        # A disk takes as long for several files at once as for one.
        self._writers = ThreadPoolExecutor(_WRITERS, "anomalist-heatmaps")

    def close(self) -> None:
        """Let the threads go."""
        self._writers.shutdown()

    def known(self, uploads: Sequence[Upload]) -> dict[str, Inspection]:
        """Return the inspections of uploads whose key was kept already, by `stored_key`."""
        keys = [key for key in map(stored_key, uploads) if key is not None]
        if not keys:
            return {}
        with self._database.reading() as session:
            return _with_keys(session, keys)

    def keep(
        self,
        answering: Answering,
        accepted: Sequence[Accepted],
        predictions: Predictions,
        looks: Sequence[dict[str, float] | None],
    ) -> list[Inspection]:
        """Keep what was found on photographs of one model, and return the rows as committed.

        One whose key is there already isn't kept again: its row is the one that was.

        Raises
        ------
        OSError
            If a file can't be written.
        sqlalchemy.exc.SQLAlchemyError
            If rows can't be.
        """
        found = answering.rule.judge(answering.detector, predictions)
        transform = answering.detector.transform
        rows: list[Inspection] = []
        heatmaps: list[str] = []
        try:
            for i, (one, finding, look) in enumerate(zip(accepted, found, looks, strict=True)):
                values = predictions.visible_map(i)
                drawn = Heatmap.of(values, answering.rule, transform).to_bytes()
                heatmaps.append(self._heatmaps.put(drawn, hold=True))
                rows.append(_row(answering, one, finding, heatmaps[-1], look))
            return self._commit(rows)
        finally:
            for heatmap in heatmaps:
                self._heatmaps.let_go(heatmap)

    def _commit(self, rows: Sequence[Inspection]) -> list[Inspection]:
        with self._database.session() as session:
            kept = _with_keys(session, [row.key for row in rows if row.key is not None])
            answers = []
            for row in rows:
                if row.key is not None:
                    first = kept.setdefault(row.key, row)
                    if first is not row:
                        answers.append(first)
                        continue
                session.add(row)
                answers.append(row)
        return answers


def stored_key(upload: Upload) -> str | None:
    """Return a key as it is kept: one of another token is another one."""
    if upload.key is None:
        return None
    return f"{'' if upload.token_id is None else upload.token_id}:{upload.key}"


def _with_keys(session: Session, keys: Sequence[str]) -> dict[str, Inspection]:
    if not keys:
        return {}
    rows = session.scalars(select(Inspection).where(Inspection.key.in_(keys)))
    return {row.key: row for row in rows if row.key is not None}


def _row(
    answering: Answering,
    one: Accepted,
    found: Finding,
    heatmap: str,
    looks: dict[str, float] | None,
) -> Inspection:
    assert found.score is not None
    upload, rule = one.upload, answering.rule
    state = rule.state(found.score, found.p_value)
    height, width = one.sample.size()
    return Inspection(
        model_id=answering.model_id,
        version_id=answering.version_id,
        token_id=upload.token_id,
        source=upload.source,
        camera=upload.camera,
        name=upload.name,
        sha256=one.sample.sha256(),
        media_type=one.media_type,
        bytes=one.sample.nbytes(),
        width=width,
        height=height,
        score=found.score,
        threshold=rule.threshold,
        alpha=rule.alpha,
        p_value=found.p_value,
        decision=None if state == "undecided" else state,
        regions=None if found.regions is None else [vars(region) for region in found.regions],
        notes=list(one.sample.remarks(answering.detector.transform.bit_depth)),
        looks=looks,
        heatmap=heatmap,
        seconds=time.perf_counter() - one.began,
        key=stored_key(upload),
    )
