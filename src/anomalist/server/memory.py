"""What was inspected, asked for again: filtered, a page at a time, the newest first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, defer

from anomalist.errors import NotFoundError, ParameterError
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection, Model, Verdict, Version
from anomalist.server.telling import inspection_dict
from anomalist.server.texts import plain_text
from anomalist.server.verdicts import Judged, find_inspection, is_judged, is_unjudged, verdicts_of

#: What can be asked for as a decision or a verdict where there is none.
NONE = "none"
DECISIONS = ("normal", "unsure", "anomalous")
SOURCES = ("http", "page", "folder", "mqtt", "camera")
#: Inspections of one page, at the most.
MOST = 1000

_HIGHEST = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which inspections are asked for; all that is None lets every one through.

    Parameters
    ----------
    model : str, optional
        Its name.
    version : int, optional
        A version's number within the model, which must be given too.
    decision : {"normal", "unsure", "anomalous", "none"}, optional
        What was decided; ``none`` for those without a threshold.
    verdict : {"good", "defective", "none"}, optional
        What people say; ``none`` for those of which no verdict holds.
    camera : str, optional
        As the client or the configuration calls it.
    source : {"http", "page", "folder", "mqtt", "camera"}, optional
        How they came.
    since, until : datetime, optional
        From this time on, and before that one; without a zone it is UTC.
    min_score, max_score : float, optional
        From this score up to that one, both included.
    name : str, optional
        What the file's name holds, in whatever case.
    sampled : bool
        Whether only those of a sample: one in 16, drawn by chance without regard to what they are.
    token_id : int, optional
        Of the token that asked for them.

    Raises
    ------
    ParameterError
        If one makes no sense.
    """

    model: str | None = None
    version: int | None = None
    decision: str | None = None
    verdict: str | None = None
    camera: str | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_score: float | None = None
    max_score: float | None = None
    name: str | None = None
    sampled: bool = False
    token_id: int | None = None

    def __post_init__(self) -> None:
        for what, known in (
            ("decision", (*DECISIONS, NONE)),
            ("verdict", (*get_args(Judged), NONE)),
            ("source", SOURCES),
        ):
            value = getattr(self, what)
            if value is not None and value not in known:
                raise ParameterError(f"{what} is one of {', '.join(known)}, not {value!r}")
        for what in ("model", "camera", "name"):
            if (value := getattr(self, what)) is not None:
                object.__setattr__(self, what, plain_text(value, what))
        for what in ("since", "until"):
            if (value := getattr(self, what)) is not None:
                object.__setattr__(self, what, _utc(value))
        for what in ("min_score", "max_score"):
            if (value := getattr(self, what)) is not None and math.isnan(value):
                raise ParameterError(f"{what} must be a number")
        if self.version is not None:
            if self.model is None:
                raise ParameterError("a version is told by its model: give the model too")
            if not 1 <= self.version <= _HIGHEST:
                raise ParameterError(f"version must be from 1, not {self.version}")


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ParameterError(f"{moment} is beyond all times that can be told") from None


@dataclass(frozen=True)
class Record:
    """An inspection with what belongs to it.

    Parameters
    ----------
    inspection : Inspection
        As it was committed.
    model : str
        The model's name.
    version : int
        The version's number within its model.
    verdict : Verdict or None
        The one that holds.
    """

    inspection: Inspection
    model: str
    version: int
    verdict: Verdict | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return inspection_dict(self.inspection, self.model, self.version, self.verdict)


@dataclass(frozen=True)
class Page:
    """Some inspections, the newest first.

    Parameters
    ----------
    records : list of Record
        At most as many as were asked for.
    next : str or None
        The cursor of those that are older; None where there are none.
    """

    records: list[Record]
    next: str | None


class Memory:
    """What was inspected.

    Parameters
    ----------
    database : Database
        Where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self, filters: Filters | None = None, *, cursor: str | None = None, limit: int = 50
    ) -> Page:
        """Return inspections, the newest first.

        Pages that follow each other by their cursors show each inspection once, whatever is
        inspected in the meantime.

        Parameters
        ----------
        filters : Filters, optional
            Which; by default all.
        cursor : str, optional
            Where the page before ended.
        limit : int
            How many at most, 1 to 1000.

        Raises
        ------
        NotFoundError
            If there is no such model or version.
        ParameterError
            If the cursor is none.
        """
        check_limit(limit)
        with self._database.reading() as session:
            wanted = conditions(session, filters or Filters())
            if cursor is not None:
                wanted.append(Inspection.number < inspection_at(session, cursor).number)
            query = select(Inspection).where(*wanted).order_by(Inspection.number.desc())
            rows = list(session.scalars(query.limit(limit + 1)))
            records = records_of(session, rows[:limit])
        return Page(records, rows[limit - 1].id if len(rows) > limit else None)

    def all(self, filters: Filters | None = None) -> Iterator[Record]:
        """Give every inspection, the newest first, some at a time from short transactions.

        Regions, notes and looks aren't read.
        """
        lean = [
            defer(column, raiseload=True)
            for column in (Inspection.regions, Inspection.notes, Inspection.looks)
        ]
        last: int | None = None
        while True:
            with self._database.reading() as session:
                query = select(Inspection).where(*conditions(session, filters or Filters()))
                if last is not None:
                    query = query.where(Inspection.number < last)
                query = query.order_by(Inspection.number.desc()).limit(MOST).options(*lean)
                records = records_of(session, list(session.scalars(query)))
            yield from records
            if len(records) < MOST:
                return
            last = records[-1].inspection.number

    def get(self, inspection_id: str, filters: Filters | None = None) -> Record:
        """Return an inspection.

        Parameters
        ----------
        inspection_id : str
            Of the inspection.
        filters : Filters, optional
            What it must be among; by default all.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        with self._database.reading() as session:
            wanted = conditions(session, filters or Filters())
            return records_of(session, [find_inspection(session, inspection_id, *wanted)])[0]

    def history(self, inspection: Inspection) -> list[Verdict]:
        """Return all that was ever said of an inspection, the oldest first."""
        with self._database.reading() as session:
            query = select(Verdict).where(Verdict.inspection_id == inspection.number)
            return list(session.scalars(query.order_by(Verdict.id)))

    def beside(
        self, inspection: Inspection, filters: Filters | None = None
    ) -> tuple[str | None, str | None]:
        """Return the ids of the inspections before and after one, among those asked for."""
        with self._database.reading() as session:
            wanted = conditions(session, filters or Filters())
            number, ids = Inspection.number, select(Inspection.id).where(*wanted).limit(1)
            before = ids.where(number < inspection.number).order_by(number.desc())
            after = ids.where(number > inspection.number).order_by(number)
            return session.scalar(before), session.scalar(after)


def check_limit(limit: int) -> None:
    """Refuse a page of none, or of too many.

    Raises
    ------
    ParameterError
        If it is one.
    """
    if not 1 <= limit <= MOST:
        raise ParameterError(f"limit must be from 1 to {MOST}, not {limit}")


def inspection_at(session: Session, cursor: str) -> Inspection:
    """Return the inspection that a page ended with.

    Raises
    ------
    ParameterError
        If the cursor is none.
    """
    try:
        return find_inspection(session, cursor)
    except NotFoundError:
        raise ParameterError(f"{cursor!r} is no cursor: ask without one first") from None


def versions_by_id(session: Session) -> dict[int, tuple[str, int]]:
    """Return the model's name and the number of each version."""
    query = select(Version.id, Model.name, Version.number).join(Model)
    return {row.id: (row.name, row.number) for row in session.execute(query)}


def records_of(session: Session, rows: list[Inspection]) -> list[Record]:
    """Return inspections with what belongs to them, in their order."""
    versions = versions_by_id(session)
    verdicts = verdicts_of(session, [row.number for row in rows])
    return [Record(row, *versions[row.version_id], verdicts.get(row.number)) for row in rows]


def conditions(session: Session, filters: Filters) -> list[ColumnElement[bool]]:
    """Return what filters ask of rows of ``inspections``.

    Raises
    ------
    NotFoundError
        If there is no such model or version.
    """
    found: list[ColumnElement[bool]] = []
    if filters.model is not None:
        found += _model(session, filters.model, filters.version)
    if filters.decision == NONE:
        found.append(Inspection.decision.is_(None))
    elif filters.decision is not None:
        found.append(Inspection.decision == filters.decision)
    if filters.verdict == NONE:
        found.append(is_unjudged())
    elif filters.verdict is not None:
        found.append(is_judged(filters.verdict))  # type: ignore[arg-type]
    for column, value in (
        (Inspection.camera, filters.camera),
        (Inspection.source, filters.source),
        (Inspection.token_id, filters.token_id),
    ):
        if value is not None:
            found.append(column == value)
    if filters.since is not None:
        found.append(Inspection.at >= filters.since)
    if filters.until is not None:
        found.append(Inspection.at < filters.until)
    if filters.min_score is not None:
        found.append(Inspection.score >= filters.min_score)
    if filters.max_score is not None:
        found.append(Inspection.score <= filters.max_score)
    if filters.sampled:
        # Ids are drawn at random, and nothing else depends on them.
        found.append(Inspection.id.startswith("0"))
    if filters.name:
        found.append(Inspection.name.icontains(filters.name, autoescape=True))
    return found


def _model(session: Session, name: str, number: int | None) -> list[ColumnElement[bool]]:
    model = session.scalar(select(Model.id).where(Model.name == name))
    if model is None:
        known = ", ".join(session.scalars(select(Model.name).order_by(Model.name)))
        raise NotFoundError(f"no model {name!r}; there are {known}")
    if number is None:
        return [Inspection.model_id == model]
    version = session.scalar(
        select(Version.id).where(Version.model_id == model, Version.number == number)
    )
    if version is None:
        raise NotFoundError(f"{name} has no version {number}")
    return [Inspection.version_id == version]
