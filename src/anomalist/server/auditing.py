"""Who did what, from where: rows that are added and never changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from anomalist.server.database import Database
from anomalist.server.database.tables import Audit

REFUSED = "refused"
# Of one address and minute: so many refusals have rows of their own, the rest is counted, so that
# who is refused can't fill the disk.
_REFUSALS = 20
_MINUTE_S = 60.0


class AuditLog:
    """The audit log of a server.

    Parameters
    ----------
    database : Database
        Where it is kept.
    clock : callable
        Gives seconds; one that never goes back.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        # Of each address: when its minute began, how many came, and how many of them have no row.
        self._minutes: dict[str | None, tuple[float, int, int]] = {}

    def add(
        self,
        action: str,
        *,
        by: str,
        address: str | None = None,
        subject: str = "",
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Write down what was done."""
        with self._database.session() as session:
            session.add(_row(action, by, address, subject, detail))

    def refuse(self, *, by: str, address: str | None, subject: str, detail: dict[str, Any]) -> None:
        """Write down what was refused; beyond 20 a minute of one address, how many more were."""
        rows = self._over()
        with self._lock:
            began, came, without = self._minutes.get(address, (self._clock(), 0, 0))
            own = came < _REFUSALS
            self._minutes[address] = (began, came + 1, without + (not own))
        if own:
            rows.append(_row(REFUSED, by, address, subject, detail))
        if rows:
            with self._database.session() as session:
                session.add_all(rows)

    def flush(self) -> None:
        """Write down what was only counted so far."""
        rows = self._over(all_of_them=True)
        if rows:
            with self._database.session() as session:
                session.add_all(rows)

    def _over(self, *, all_of_them: bool = False) -> list[Audit]:
        """Return rows of minutes that are over, of what has none."""
        with self._lock:
            over = {
                address: without
                for address, (began, _, without) in self._minutes.items()
                if all_of_them or self._clock() - began >= _MINUTE_S
            }
            for address in over:
                del self._minutes[address]
        return [
            _row(REFUSED, "unknown", address, f"{without} more", {"more": without})
            for address, without in over.items()
            if without
        ]

    def page(
        self, *, before: int | None = None, limit: int = 100, action: str | None = None
    ) -> tuple[list[Audit], int | None]:
        """Return the latest rows, newest first, and what to give as ``before`` for older ones.

        Parameters
        ----------
        before : int, optional
            Only rows before this one.
        limit : int
            At most so many.
        action : str, optional
            Only what is called so.
        """
        asked = select(Audit).order_by(Audit.id.desc()).limit(limit + 1)
        if before is not None:
            asked = asked.where(Audit.id < before)
        if action is not None:
            asked = asked.where(Audit.action == action)
        with self._database.reading() as session:
            rows = list(session.scalars(asked))
        return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def _row(
    action: str, by: str, address: str | None, subject: str, detail: dict[str, Any] | None
) -> Audit:
    # PostgreSQL keeps no NUL, and paths may hold anything.
    subject = subject.replace("\0", "�")[:2000]
    return Audit(
        action=action[:50],
        by=by[:200],
        address=None if address is None else address[:100],
        subject=subject,
        detail=detail or {},
    )
