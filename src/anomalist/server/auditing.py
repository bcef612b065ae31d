"""Who did what, from where: rows that are added and never changed."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from anomalist.server.database import Database
from anomalist.server.database.tables import Audit

REFUSED = "refused"
# So many refusals a minute have rows of their own, of one network and of all together; the rest is
# counted, so that who is refused can't fill the disk.
_REFUSALS, _ALL_REFUSALS = 20, 200
_MINUTE_S = 60.0
_EVERYWHERE = "elsewhere"


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
        # Of each network: when its minute began, how many came, and how many of them have no row.
        self._minutes: dict[str | None, tuple[float, int, int]] = {}
        # When the minute of all began, and how many rows it has.
        self._minute = (self._clock(), 0)

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
        """Write down what was refused; beyond 20 a minute of one network, how many more were."""
        rows = self._over()
        with self._lock:
            at, network = self._clock(), network_of(address)
            since, written = self._minute
            if at - since >= _MINUTE_S:
                since, written = at, 0
            if written >= _ALL_REFUSALS:
                network = _EVERYWHERE  # so that what is counted stays short too
            began, came, without = self._minutes.get(network, (at, 0, 0))
            own = came < _REFUSALS and written < _ALL_REFUSALS
            self._minutes[network] = (began, came + 1, without + (not own))
            self._minute = (since, written + own)
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
                network: without
                for network, (began, _, without) in self._minutes.items()
                if all_of_them or self._clock() - began >= _MINUTE_S
            }
            for network in over:
                del self._minutes[network]
        return [
            _row(REFUSED, "unknown", network, f"{without} more", {"more": without})
            for network, without in over.items()
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


def network_of(address: str | None) -> str | None:
    """Return what one client has all of: an address or, of IPv6, the half that tells networks.

    Examples
    --------
    >>> network_of("203.0.113.9"), network_of("2001:db8:0:1:2:3:4:5"), network_of("2001:db8::1")
    ('203.0.113.9', '2001:db8:0:1::', '2001:db8::')
    """
    if address is None or ":" not in address:
        return address
    try:
        whole = int(ipaddress.IPv6Address(address.partition("%")[0]))
    except ValueError:
        return address
    return str(ipaddress.IPv6Address(whole >> 64 << 64))


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
