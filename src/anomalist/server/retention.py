"""Which photographs and heatmaps stay: the disk is bounded, what teaches stays, decisions always.

A row is told first that its files are gone, in a transaction, and only then do they go: whoever
reads a row finds its files, or reads that they are gone.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from itertools import accumulate, islice

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from anomalist.data.names import plural
from anomalist.errors import ServerError
from anomalist.server.background import Background
from anomalist.server.blobs import Blobs, on_disk
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection, now
from anomalist.server.leftovers import Leftovers
from anomalist.server.registry import Answering
from anomalist.server.verdicts import is_judged, is_unjudged

_log = logging.getLogger(__name__)
# Days that files of anomalous and corrected parts stay, by those of others.
_LONGER = 3
# Rows of one transaction; others wait for it.
_ROWS = 200
_EVERY_S = 60.0
_SWEEP_S = 24 * 3600.0
# What no row names by then, none will.
_LOST_S = 3600.0
Column = InstrumentedAttribute[str] | InstrumentedAttribute[str | None]


class Retention:
    """Removes photographs and heatmaps by age and by what they take, in the background.

    Those of parts that a person confirmed as good are never removed, for refits learn from them.
    By age, others go after ``keep_days``, those of anomalous parts and of parts that a person
    called defective after three times as many. By size, what dropped candidates have left goes
    first, then the oldest, and those of anomalous and defective parts only once there are no
    others.

    Parameters
    ----------
    database : Database
        Where inspections are.
    photographs, heatmaps : Blobs
        Their files.
    keep_days, keep_gb : float, optional
        The limits; None for none. A gigabyte is 10^9 bytes.
    leftovers : Leftovers, optional
        What candidates have left, which counts too.
    """

    name = "retention"

    def __init__(
        self,
        database: Database,
        photographs: Blobs,
        heatmaps: Blobs,
        keep_days: float | None = None,
        keep_gb: float | None = None,
        *,
        leftovers: Leftovers | None = None,
    ) -> None:
        self._database, self._photographs, self._heatmaps = database, photographs, heatmaps
        self._days, self._leftovers = keep_days, leftovers
        self._most = None if keep_gb is None else int(keep_gb * 1e9)
        self._wake = threading.Event()
        self._background = Background(self.name, self._work)
        self._fault: str | None = None

    def start(self) -> None:
        """Begin."""
        self._background.start()

    def stop(self) -> None:
        """End, after what is being removed."""
        self._wake.set()
        self._background.stop()

    def fault(self) -> str | None:
        """Say why files aren't removed, or can't be; None while all is well."""
        return self._background.fault() or self._fault

    def inspected(self, _answering: Answering, _rows: list[Inspection]) -> None:
        """Look whether the disk is fuller than allowed, as after each batch."""
        if self._most is not None and self.size() > self._most:
            self._wake.set()

    def size(self) -> int:
        """Return how many bytes photographs, heatmaps and what candidates have left take."""
        left = 0 if self._leftovers is None else self._leftovers.size()
        return self._photographs.size() + self._heatmaps.size() + left

    def tidy(self) -> int:
        """Remove what is older or more than allowed; return of how many inspections."""
        removed = 0
        if self._days is not None:
            days = timedelta(days=self._days)
            removed += self._remove_all(_common() & (Inspection.at < now() - days))
            removed += self._remove_all(_telling() & (Inspection.at < now() - _LONGER * days))
        if self._most is not None:
            if self._leftovers is not None:
                self._leftovers.count()
                while self.size() > self._most and self._leftovers.remove_one():
                    pass
            for which in (_common(), _telling()):
                # By halves, for a heatmap goes with each photograph, and some are shared.
                while (over := self.size() - self._most) > 0 and (
                    count := self._remove(which, max(over // 2, 1))
                ):
                    removed += count
        if removed:
            _log.info("removed the files of %s", plural(removed, "inspection"))
        return removed

    def sweep(self) -> int:
        """Remove files that no row names, as a crash leaves them; return how many."""
        removed = 0
        for blobs, column in (
            (self._photographs, Inspection.sha256),
            (self._heatmaps, Inspection.heatmap),
        ):
            lost = blobs.older_than(_LOST_S)
            while keys := list(islice(lost, _ROWS)):
                removed += blobs.remove(keys, partial(self._named, column))
        if self._leftovers is not None:
            removed += self._leftovers.sweep(_LOST_S)
        if removed:
            _log.info("removed %s that nothing names", plural(removed, "file"))
        return removed

    def _work(self, stop: threading.Event) -> None:
        swept = -math.inf
        while not stop.is_set():
            try:
                if time.monotonic() - swept >= _SWEEP_S:
                    self.sweep()
                    swept = time.monotonic()
                self.tidy()
                self._tell_of_more()
            except (ServerError, OSError) as error:  # it may do again
                self._fault = f"files can't be removed: {error}"
                _log.error("%s", self._fault)
            self._wake.wait(_EVERY_S)
            self._wake.clear()

    def _tell_of_more(self) -> None:
        """Say where what is never removed takes more than is allowed."""
        fault = None
        if self._most is not None and self.size() > self._most:
            fault = (
                "what is never removed, photographs that people confirmed as good and pictures of"
                f" comparisons, takes {self.size() / 1e9:.3g} GB, more than the"
                f" {self._most / 1e9:.3g} GB that are allowed: raise --keep_gb"
            )
        if fault is not None and self._fault != fault:
            _log.warning("%s", fault)
        self._fault = fault

    def _remove_all(self, which: ColumnElement[bool]) -> int:
        removed = 0
        while count := self._remove(which):
            removed += count
        return removed

    def _remove(self, which: ColumnElement[bool], most: int | None = None) -> int:
        """Remove files of the oldest inspections that meet a condition; return of how many.

        Parameters
        ----------
        which : condition
            Of inspections.
        most : int, optional
            How many bytes of photographs are enough.
        """
        with self._database.session() as session:
            rows = session.execute(
                select(Inspection.number, Inspection.sha256, Inspection.heatmap, Inspection.bytes)
                .where(Inspection.kept, which)
                .order_by(Inspection.number)
                .limit(_ROWS)
                # A verdict that is given at this moment comes before or after, not between.
                .with_for_update()
            ).all()
            if most is not None:
                before = accumulate((on_disk(row.bytes) for row in rows), initial=0)
                rows = [row for row, size in zip(rows, before, strict=False) if size < most]
            numbers = [row.number for row in rows]
            session.execute(
                update(Inspection).where(Inspection.number.in_(numbers)).values(kept=False)
            )
        photographs = {row.sha256 for row in rows}
        heatmaps = {row.heatmap for row in rows if row.heatmap is not None}
        self._photographs.remove(photographs, partial(self._named, Inspection.sha256))
        self._heatmaps.remove(heatmaps, partial(self._named, Inspection.heatmap))
        return len(rows)

    def _named(self, column: Column, keys: list[str]) -> Sequence[str | None]:
        """Return those of some keys that an inspection has whose files are there."""
        with self._database.reading() as session:
            return session.scalars(
                select(column).where(column.in_(keys), Inspection.kept).distinct()
            ).all()


def _common() -> ColumnElement[bool]:
    """Of parts that passed, and of which nobody said anything."""
    return is_unjudged() & or_(Inspection.decision.is_(None), Inspection.decision != "anomalous")


def _telling() -> ColumnElement[bool]:
    """Of parts that were called defective, by a model or by a person."""
    return or_(is_judged("defective"), and_(is_unjudged(), Inspection.decision == "anomalous"))
