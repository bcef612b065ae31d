"""What people say of inspected parts: added, never overwritten; the last word holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, get_args

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session, aliased

from anomalist.errors import NotFoundError, ParameterError
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection, Verdict, is_id
from anomalist.server.texts import plain_text

#: What a part is.
Judged = Literal["good", "defective"]
#: What can be said: ``withdrawn`` takes back what was said before, so that nothing holds.
Said = Literal["good", "defective", "withdrawn"]

_LONGEST_NOTE = 2000


class Verdicts:
    """What people say of inspected parts.

    Parameters
    ----------
    database : Database
        Where inspections and verdicts are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Called with an inspection and what was said of it, once it is committed.
        self.on_given: list[Callable[[Inspection, Verdict], None]] = []

    def give(
        self, inspection_id: str, verdict: str, *, by: str,
        kind: str | None = None, region: Sequence[float] | None = None, note: str = "",
    ) -> Verdict:  # fmt: skip
        """Keep what a person says of a part.

        Parameters
        ----------
        inspection_id : str
            Of the inspection.
        verdict : {"good", "defective", "withdrawn"}
            What the part is; ``withdrawn`` where nothing that was said of it shall hold.
        by : str
            Who says so.
        kind : str, optional
            What kind of defect, in the words of the line.
        region : sequence of float, optional
            Left, top, width and height in pixels of the photograph.
        note : str
            Anything else.

        Raises
        ------
        NotFoundError
            If there is no such inspection.
        ParameterError
            If it is no verdict, or the region lies outside of the photograph.
        """
        if verdict not in get_args(Said):
            raise ParameterError(f"a verdict is {', '.join(get_args(Said))}, not {verdict!r}")
        kind = plain_text(kind, "kind") or None if kind is not None else None
        note = plain_text(note, "note", _LONGEST_NOTE, lines=True)
        with self._database.session() as session:
            inspection = find_inspection(session, inspection_id)
            row = Verdict(
                inspection_id=inspection.number,
                verdict=verdict,
                kind=kind,
                region=None if region is None else _within(inspection, region),
                note=note,
                by=by,
            )
            session.add(row)
        for tell in self.on_given:
            tell(inspection, row)
        return row


def find_inspection(
    session: Session, inspection_id: str, *among: ColumnElement[bool]
) -> Inspection:
    """Return the inspection of an id, if it meets conditions.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    row = None
    if is_id(inspection_id):
        row = session.scalar(select(Inspection).where(Inspection.id == inspection_id, *among))
    if row is None:
        raise NotFoundError(f"no inspection {inspection_id!r}")
    return row


def _within(inspection: Inspection, region: Sequence[float]) -> list[float]:
    if len(region) != 4 or not all(math.isfinite(value) for value in region):
        raise ParameterError("a region is left, top, width and height, in pixels")
    left, top, width, height = region
    inside = (
        left >= 0
        and top >= 0
        and width > 0
        and height > 0
        and left + width <= inspection.width
        and top + height <= inspection.height
    )
    if not inside:
        raise ParameterError(
            f"the region {list(region)} lies outside of the photograph, which has"
            f" {inspection.width} x {inspection.height} pixels"
        )
    return list(region)


def holding(*verdicts: Judged) -> ColumnElement[bool]:
    """Return the condition of rows of ``verdicts`` that hold, and say one of these.

    Parameters
    ----------
    *verdicts : {"good", "defective"}
        One or both; none for both.
    """
    later = aliased(Verdict)
    is_last = ~exists().where(later.inspection_id == Verdict.inspection_id, later.id > Verdict.id)
    return Verdict.verdict.in_(verdicts or get_args(Judged)) & is_last


def is_judged(*verdicts: Judged) -> ColumnElement[bool]:
    """Return the condition of inspections of which such a verdict holds; without any, either."""
    return Inspection.number.in_(select(Verdict.inspection_id).where(holding(*verdicts)))


def is_unjudged() -> ColumnElement[bool]:
    """Return the condition of inspections of which no verdict holds."""
    # The verdicts of its own, also where what asks joins verdicts.
    held = exists().where(Verdict.inspection_id == Inspection.number, holding())
    return ~held.correlate(Inspection)


def verdicts_of(session: Session, numbers: Iterable[int]) -> dict[int, Verdict]:
    """Return the verdicts that hold, by the numbers of their inspections."""
    rows = session.scalars(
        select(Verdict).where(Verdict.inspection_id.in_(list(numbers)), holding())
    )
    return {row.inspection_id: row for row in rows}
