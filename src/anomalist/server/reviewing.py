"""What a person should look at first."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from anomalist.errors import ParameterError
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection
from anomalist.server.memory import (
    Filters,
    Page,
    check_limit,
    conditions,
    inspection_at,
    records_of,
)
from anomalist.server.verdicts import is_unjudged

# Beyond any p-value: where there is none, nothing says how rare a good part like it would be.
_NO_P_VALUE = 2.0
_ORDER = ("unsure", "anomalous")


class ReviewQueue:
    """The parts that nobody has judged: first the unsure, then the anomalous.

    Of each, the most surprising come first, which are those with the smallest p-value; of equals,
    the newest. Those whose photograph is no longer kept don't wait for anyone.

    Parameters
    ----------
    database : Database
        Where inspections are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self, filters: Filters | None = None, *, cursor: str | None = None, limit: int = 50
    ) -> Page:
        """Return what to look at first.

        Parameters
        ----------
        filters : Filters, optional
            Among which; by default all.
        cursor : str, optional
            The id of an inspection, to go on after it, whether or not it was judged since.
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
        rank = case((Inspection.decision == "unsure", 0), else_=1)
        p_value = func.coalesce(Inspection.p_value, _NO_P_VALUE)
        with self._database.reading() as session:
            wanted = _waiting(conditions(session, filters or Filters()))
            if cursor is not None:
                wanted = wanted.where(_after(inspection_at(session, cursor), rank, p_value))
            # Numbers first: what is sorted is then small.
            order = (rank, p_value, Inspection.number.desc())
            numbers = list(session.scalars(wanted.order_by(*order).limit(limit + 1)))
            query = select(Inspection).where(Inspection.number.in_(numbers[:limit]))
            rows = {row.number: row for row in session.scalars(query)}
            records = records_of(session, [rows[number] for number in numbers[:limit]])
        return Page(records, records[-1].inspection.id if len(numbers) > limit else None)

    def waiting(self, filters: Filters | None = None) -> int:
        """Return how many wait to be looked at."""
        with self._database.reading() as session:
            wanted = _waiting(conditions(session, filters or Filters()))
            return session.scalar(select(func.count()).select_from(wanted.subquery())) or 0


def _waiting(wanted: list[ColumnElement[bool]]) -> Select[int]:
    return select(Inspection.number).where(
        Inspection.decision.in_(_ORDER), Inspection.kept, is_unjudged(), *wanted
    )


def _after(
    row: Inspection, rank: ColumnElement[int], p_value: ColumnElement[float]
) -> ColumnElement[bool]:
    if row.decision not in _ORDER:
        raise ParameterError(f"{row.id!r} is no cursor: it never was to be reviewed")
    place = _ORDER.index(row.decision)
    value = _NO_P_VALUE if row.p_value is None else row.p_value
    later = and_(p_value == value, Inspection.number < row.number)
    return or_(rank > place, and_(rank == place, or_(p_value > value, later)))
