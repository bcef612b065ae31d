"""How often decisions were wrong, among the parts that people judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import CTE, ColumnElement, Integer, Select, and_, column, func, select, values
from sqlalchemy.orm import Session

from anomalist.errors import ParameterError
from anomalist.metrics import exact_interval
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection, Model, Moment, Verdict, now
from anomalist.server.memory import DECISIONS, NONE, Filters, conditions, versions_by_id
from anomalist.server.verdicts import holding

By = Literal["version", "camera", "day"]

#: How sure intervals are.
LEVEL = 0.95

_DAYS = 30
_MOST_DAYS = 400


@dataclass(frozen=True)
class Share:
    """Some among others.

    Parameters
    ----------
    count, of : int
        How many, among how many.
    """

    count: int
    of: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values, with the rate and its interval; None where there is none."""
        rate = low = high = None
        if self.of:
            rate = self.count / self.of
            low, high = exact_interval(self.count, self.of, LEVEL)
        return {"count": self.count, "of": self.of, "rate": rate, "low": low, "high": high}


@dataclass(frozen=True)
class Counts:
    """What was decided of some parts of one model, and what people said.

    Parameters
    ----------
    model : str
        The model's name.
    group : int, str, date or None
        The version's number, the camera, or the day.
    decided : dict
        How many have each decision; ``none`` for those without a threshold.
    judged : dict
        How many have each pair of a decision and a verdict that holds.
    """

    model: str
    group: int | str | date | None
    decided: dict[str, int]
    judged: dict[tuple[str, str], int]

    def _judged(self, verdict: str, *decisions: str) -> int:
        return sum(self.judged.get((decision, verdict), 0) for decision in decisions)

    @property
    def false_alarms(self) -> Share:
        """The anomalous among those judged good."""
        return Share(self._judged("good", "anomalous"), self._judged("good", *DECISIONS))

    @property
    def misses(self) -> Share:
        """Those called normal among those judged defective."""
        return Share(self._judged("defective", "normal"), self._judged("defective", *DECISIONS))

    @property
    def alarms_that_were_good(self) -> Share:
        """Those judged good among the anomalous that were judged."""
        good, defective = (self._judged(verdict, "anomalous") for verdict in ("good", "defective"))
        return Share(good, good + defective)

    @property
    def passes_that_were_defective(self) -> Share:
        """Those judged defective among the normal that were judged."""
        good, defective = (self._judged(verdict, "normal") for verdict in ("good", "defective"))
        return Share(defective, good + defective)

    def as_dict(self) -> dict[str, Any]:
        """Return them as JSON values, without the group."""
        return {
            "model": self.model,
            "inspected": sum(self.decided.values()),
            "decided": self.decided,
            "judged": {
                verdict: self._judged(verdict, *DECISIONS, NONE)
                for verdict in ("good", "defective")
            },
            "false_alarms": self.false_alarms.as_dict(),
            "misses": self.misses.as_dict(),
            "alarms_that_were_good": self.alarms_that_were_good.as_dict(),
            "passes_that_were_defective": self.passes_that_were_defective.as_dict(),
        }


class Counting:
    """Counts decisions and verdicts.

    Parameters
    ----------
    database : Database
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(
        self, filters: Filters | None = None, *, by: str = "version", zone: str = "UTC"
    ) -> list[Counts]:
        """Return counts of each model, by version, camera or day.

        Parameters
        ----------
        filters : Filters, optional
            Of which inspections; by default all.
        by : {"version", "camera", "day"}
            What each row is of, beside its model. Days are the last 30 where no time is given, and
            at most 400.
        zone : str
            Where days begin at midnight, such as ``Europe/Vienna``.

        Raises
        ------
        NotFoundError
            If there is no such model or version.
        ParameterError
            If ``by`` or the zone is none, or there are too many days.
        """
        if by not in get_args(By):
            raise ParameterError(f"by is one of {', '.join(get_args(By))}, not {by!r}")
        filters = filters or Filters()
        with self._database.reading() as session:
            # Days tell the time themselves: told twice, SQLite looks through all of it a day.
            timeless = replace(filters, since=None, until=None) if by == "day" else filters
            wanted = conditions(session, timeless)
            names = {row.id: row.name for row in session.execute(select(Model.id, Model.name))}
            if by == "version":
                versions = versions_by_id(session)
                found = _grouped(session, wanted, Inspection.version_id)
                groups = [(versions[key], counted) for (key,), counted in found.items()]
            elif by == "camera":
                found = _grouped(session, wanted, Inspection.camera, Inspection.model_id)
                groups = [
                    ((names[key], camera), counted) for (camera, key), counted in found.items()
                ]
            else:
                days = _days(*_span(filters), _zone(zone))
                found = _grouped_by_day(session, wanted, days)
                groups = [
                    ((names[key], days[index][0]), counted)
                    for (key, index), counted in found.items()
                ]
        counts = [Counts(*group, *counted) for group, counted in groups]
        return sorted(counts, key=lambda one: (one.model, one.group is not None, one.group))


_Counted = tuple[dict[str, int], dict[tuple[str, str], int]]
_Day = tuple[date, datetime, datetime]


def _grouped(
    session: Session,
    wanted: list[ColumnElement[bool]],
    *keys: Any,
    days: tuple[CTE, ColumnElement[bool]] | None = None,
) -> dict[tuple[Any, ...], _Counted]:
    """Return what was decided and judged, by the values of columns."""
    columns = (*keys, Inspection.decision)
    decided: Select[Any] = select(*columns, func.count()).select_from(Inspection).group_by(*columns)
    judged: Select[Any] = (
        select(*columns, Verdict.verdict, func.count())
        .select_from(Inspection)
        .join(Verdict, Verdict.inspection_id == Inspection.number)
        .where(holding())
        .group_by(*columns, Verdict.verdict)
    )
    if days is not None:
        decided, judged = decided.join(*days), judged.join(*days)
    found: dict[tuple[Any, ...], _Counted] = {}
    for *key, decision, count in session.execute(decided.where(*wanted)):
        nothing = dict.fromkeys((*DECISIONS, NONE), 0), Counter[tuple[str, str]]()
        found.setdefault(tuple(key), nothing)[0][decision or NONE] += count
    for *key, decision, verdict, count in session.execute(judged.where(*wanted)):
        found[tuple(key)][1][decision or NONE, verdict] += count
    return found


def _grouped_by_day(
    session: Session, wanted: list[ColumnElement[bool]], days: list[_Day]
) -> dict[tuple[Any, ...], _Counted]:
    """Return what was decided and judged, by model and index of a day.

    Days are a table of their own, for no two databases know zones alike.
    """
    columns = (column("day", Integer), column("begins", Moment()), column("ends", Moment()))
    rows = [(index, begins, ends) for index, (_, begins, ends) in enumerate(days)]
    table = values(*columns, name="days").data(rows).cte()
    within = and_(Inspection.at >= table.c.begins, Inspection.at < table.c.ends)
    return _grouped(session, wanted, Inspection.model_id, table.c.day, days=(table, within))


def _span(filters: Filters) -> tuple[datetime, datetime]:
    until = filters.until or now()
    try:
        since = filters.since or until - timedelta(days=_DAYS)
    except OverflowError:
        since = datetime.min.replace(tzinfo=UTC)
    if since >= until:
        raise ParameterError(f"there is no time from {since} to {until}")
    if until - since > timedelta(days=_MOST_DAYS):
        raise ParameterError(
            f"{(until - since).days} days are asked for: {_MOST_DAYS} are the most"
        )
    return since, until


def _days(since: datetime, until: datetime, zone: tzinfo) -> list[_Day]:
    """Return days with when they begin and end, of which the first and the last may be cut."""
    try:
        day = since.astimezone(zone).date()
        days = []
        while (begins := _midnight(day, zone)) < until:
            following = day + timedelta(days=1)
            days.append((day, max(begins, since), min(_midnight(following, zone), until)))
            day = following
    except OverflowError:
        raise ParameterError(f"there are no such days from {since} to {until}") from None
    return days


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _zone(name: str) -> tzinfo:
    if name.upper() == "UTC":  # known where no list of zones is installed, too
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ParameterError(
            f"zone {name!r} isn't known here: give one such as Europe/Vienna, or UTC"
        ) from None
