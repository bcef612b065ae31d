"""Whether what comes is still like what was learnt from: a watch a model version and camera."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session, joinedload

from anomalist.conditions import Measuring
from anomalist.errors import NotFoundError, ParameterError
from anomalist.predictions import Predictions
from anomalist.server.background import Background
from anomalist.server.camera_watch import CameraWatch
from anomalist.server.database import Database
from anomalist.server.database.tables import DriftWarning, Inspection, Watch, now
from anomalist.server.registry import OPERATOR, Answering, Registry

_LOG = logging.getLogger(__name__)
#: So many cameras of a version are watched; more are names that somebody makes up.
MOST_CAMERAS = 100
# Inspections that are counted in one go, and after how many what was counted is laid down.
_AT_ONCE, _KEEP_EVERY = 500, 2000
_GATHER_S, _RETRY_S = 0.2, 5.0


@dataclass
class _Version:
    """The watches of a version, and the last inspection that they have counted."""

    answering: Answering
    position: int
    watches: dict[str | None, CameraWatch]
    unkept: int = 0


class DriftWatcher:
    """Watches what is inspected, and warns where it has shifted from what was learnt from.

    Photographs are measured as they are scored, and the measures are committed with each
    inspection. They are counted afterwards, by a thread that reads what was committed, in its
    order: scoring never waits for it, and a server that starts again knows what it knew.

    A watch warns by chance, where nothing has changed, in at most one of a hundred, in all of its
    life and however often it is looked at (Ville's inequality). It begins anew where a person took
    note of its warnings and where another threshold is set.

    Parameters
    ----------
    database : Database
        Where inspections are, and warnings are written.
    registry : Registry
        The models.

    References
    ----------
    Vovk, Nouretdinov and Gammerman, "Testing exchangeability on-line", ICML 2003.
    """

    name = "drift"

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database, self._registry = database, registry
        self._measuring: OrderedDict[tuple[int, str | None], Measuring] = OrderedDict()
        self._scoring = threading.Lock()
        self._versions: dict[int, _Version] = {}
        self._counting = threading.RLock()
        self._news = threading.Event()
        self._background = Background(self.name, self._work)
        #: Called with each warning once it is committed.
        self.on_warning: list[Callable[[DriftWarning], None]] = []

    def add(
        self, answering: Answering, predictions: Predictions, cameras: Sequence[str | None]
    ) -> list[dict[str, float] | None]:
        """Measure photographs as they are scored.

        Parameters
        ----------
        answering : Answering
            What scored them.
        predictions : Predictions
            Of N photographs, in their order.
        cameras : sequence of str or None, length N
            Where they come from.

        Returns
        -------
        list of dict of str to float, or None
            The numbers of each, to be kept with its inspection; None of one that shows again what
            one of the 64 before it showed, and where the model's file knows too little.
        """
        reference = answering.detector.reference_
        if reference is None:
            return [None] * len(predictions)
        found: list[dict[str, float] | None] = [None] * len(predictions)
        with self._scoring:
            for camera in dict.fromkeys(cameras):
                key = answering.version_id, camera
                if key not in self._measuring:
                    made = Measuring(reference, answering.detector.sight)
                    self._measuring[key] = made
                self._measuring.move_to_end(key)
                if len(self._measuring) > MOST_CAMERAS:
                    self._measuring.popitem(last=False)
                places = [i for i, other in enumerate(cameras) if other == camera]
                numbers = self._measuring[key].numbers(predictions, places)
                for place, one in zip(places, numbers, strict=True):
                    found[place] = one
        return found

    def wake(self, _answering: Answering, _rows: Sequence[Inspection]) -> None:
        """Have what was committed counted soon."""
        self._news.set()

    def start(self) -> None:
        """Begin to count, at what wasn't counted yet."""
        self._news.set()
        self._background.start()

    def fault(self) -> str | None:
        """Say why nothing is counted any more; None while it is."""
        return self._background.fault()

    def stop(self) -> None:
        """Count what was committed, lay it down, and end."""
        self._background.stopping.set()
        self._news.set()
        self._background.stop()

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._news.wait()
            stop.wait(_GATHER_S)
            self._news.clear()
            try:
                self.catch_up()
            except Exception:  # the database may be away for a while; scoring says so
                _LOG.exception("inspections can't be counted towards drift; trying again")
                self._news.set()
                stop.wait(_RETRY_S)
        try:
            self.catch_up()
            self.keep()
        except Exception:
            _LOG.exception("what was counted towards drift can't be kept; it will be counted again")

    def catch_up(self) -> None:
        """Count all inspections that were committed until now by the versions that answer."""
        for answering in self._registry.all_answering():
            self._follow(answering)

    def keep(self) -> None:
        """Lay down what was counted, for a server that starts again."""
        with self._counting:
            for version in self._versions.values():
                self._keep(version)

    def watches(self, answering: Answering) -> list[CameraWatch]:
        """Return the watches of a version; whoever reads them holds `reading`."""
        with self._counting:
            return list(self._version(answering).watches.values())

    @property
    def reading(self) -> threading.RLock:
        """The lock under which watches don't change."""
        return self._counting

    def warnings(
        self, model_id: int | None = None, *, open_only: bool = False, most: int = 100
    ) -> list[DriftWarning]:
        """Return warnings with what they are of, the last first.

        Parameters
        ----------
        model_id : int, optional
            By default of all models.
        open_only : bool
            Whether to leave out those that somebody took note of.
        most : int
            How many.
        """
        asked = select(DriftWarning)
        if model_id is not None:
            asked = asked.where(DriftWarning.model_id == model_id)
        if open_only:
            asked = asked.where(DriftWarning.settled.is_(None))
        with self._database.reading() as session:
            return whole_warnings(session, asked.order_by(DriftWarning.id.desc()).limit(most))

    def settle(self, warning_id: int, *, by: str) -> DriftWarning:
        """Take note of a warning, and of all others of its model and camera, and watch anew.

        If what it tells of goes on, it is told again: the threshold's promise still isn't for such
        photographs.

        Raises
        ------
        NotFoundError
            If there is no such warning.
        ParameterError
            If somebody took note of it before.
        """
        with self._counting:
            with self._database.session() as session:
                warning = session.get(DriftWarning, warning_id)
                if warning is None:
                    raise NotFoundError(f"no warning {warning_id}")
                if warning.settled is not None:
                    raise ParameterError(
                        f"warning {warning_id} is settled: {warning.settled_by} took note of it"
                    )
                alike = select(DriftWarning).where(
                    DriftWarning.model_id == warning.model_id,
                    DriftWarning.camera.is_not_distinct_from(warning.camera),
                    DriftWarning.settled.is_(None),
                )
                at, versions = now(), set[int]()
                for one in session.scalars(alike).all():
                    one.settled, one.settled_by = at, by
                    versions.add(one.version_id)
                begun = [self._anew(session, id_, warning.camera, by) for id_ in versions]
                session.add_all(begun)
            for row in begun:
                if row.version_id in self._versions:
                    self._take(self._versions[row.version_id], row)
            with self._database.reading() as session:
                return whole_warnings(
                    session, select(DriftWarning).where(DriftWarning.id == warning_id)
                )[0]

    # What follows is called by whoever holds the lock of what is counted.

    def _follow(self, answering: Answering) -> None:
        """Count what a version has inspected since."""
        more = True
        while more:
            with self._counting:
                version = self._version(answering)
                more = self._count(version) == _AT_ONCE
                if version.unkept >= _KEEP_EVERY:
                    self._keep(version)

    def _version(self, answering: Answering) -> _Version:
        version = self._versions.get(answering.version_id)
        if version is None:
            version = self._load(answering)
            for gone in [
                v for v in self._versions.values() if v.answering.model_id == answering.model_id
            ]:
                self._keep(gone)
                del self._versions[gone.answering.version_id]
            self._versions[answering.version_id] = version
        rule, before = answering.rule, version.answering.rule
        version.answering = answering
        if (rule.alpha, rule.threshold) != (before.alpha, before.threshold):
            self._begin_all(version)
        return version

    def _load(self, answering: Answering) -> _Version:
        with self._database.reading() as session:
            rows = session.scalars(
                select(Watch).where(Watch.version_id == answering.version_id).order_by(Watch.id)
            ).all()
        last = {row.camera: row for row in rows}
        version = _Version(answering, 0, {})
        for row in last.values():
            self._take(version, row)
        watches = version.watches.values()
        version.position = min((watch.seen for watch in watches), default=0)
        rule = answering.rule
        if any((row.alpha, row.threshold) != (rule.alpha, rule.threshold) for row in last.values()):
            version.position = max(watch.seen for watch in watches)
            self._begin_all(version)
        return version

    def _begin_all(self, version: _Version) -> None:
        begun = [
            self._begin(version, camera, at=version.position, by=OPERATOR)
            for camera in version.watches
        ]
        with self._database.session() as session:
            session.add_all(begun)
        for row in begun:
            self._take(version, row)

    def _begin(self, version: _Version, camera: str | None, *, at: int, by: str) -> Watch:
        rule = version.answering.rule
        return Watch(
            version_id=version.answering.version_id, camera=camera, began=at, seen=at, by=by,
            alpha=rule.alpha, threshold=rule.threshold,
        )  # fmt: skip

    def _anew(self, session: Session, version_id: int, camera: str | None, by: str) -> Watch:
        """Return the row of a watch that begins anew, also of a version that doesn't answer now."""
        known = self._versions.get(version_id)
        if known is not None:
            return self._begin(known, camera, at=known.position, by=by)
        last = session.scalars(
            select(Watch)
            .where(Watch.version_id == version_id, Watch.camera.is_not_distinct_from(camera))
            .order_by(Watch.id.desc())
            .limit(1)
        ).one()
        of_version = select(func.max(Inspection.number)).where(Inspection.version_id == version_id)
        at = session.scalar(of_version) or 0
        return Watch(
            version_id=version_id, camera=camera, began=at, seen=at, by=by, alpha=last.alpha,
            threshold=last.threshold,
        )  # fmt: skip

    def _take(self, version: _Version, row: Watch) -> CameraWatch:
        """Watch as a row says, from where its state was laid down."""
        watch = CameraWatch.of(row, version.answering.detector, version.answering.rule)
        with self._database.reading() as session:
            watch.told = set(
                session.scalars(
                    select(DriftWarning.condition).where(
                        DriftWarning.version_id == row.version_id,
                        DriftWarning.camera.is_not_distinct_from(row.camera),
                        DriftWarning.settled.is_(None),
                    )
                )
            )
        version.watches[row.camera] = watch
        return watch

    def _count(self, version: _Version) -> int:
        with self._database.reading() as session:
            rows = session.scalars(
                select(Inspection)
                .where(
                    Inspection.version_id == version.answering.version_id,
                    Inspection.number > version.position,
                )
                .order_by(Inspection.number)
                .limit(_AT_ONCE)
            ).all()
        for row in rows:
            watch = version.watches.get(row.camera)
            if watch is None and len(version.watches) < MOST_CAMERAS:
                begun = self._begin(version, row.camera, at=row.number - 1, by=OPERATOR)
                with self._database.session() as session:
                    session.add(begun)
                watch = self._take(version, begun)
            if watch is not None and row.number > watch.seen:
                self._add(version.answering, watch, row)
            version.position = row.number
            version.unkept += 1
        return len(rows)

    def _add(self, answering: Answering, watch: CameraWatch, row: Inspection) -> None:
        watch.count(row)
        failing = watch.conditions.failing()
        new = [name for name in failing if name not in watch.told]
        if not new:
            return
        with self._database.session() as session:
            warnings = [
                DriftWarning(
                    model_id=answering.model_id, version_id=answering.version_id,
                    camera=watch.camera, at=row.at, condition=name, text=failing[name],
                    inspection_id=row.number,
                    since_id=self._since(answering, watch) if name == "shift" else None,
                )
                for name in new
            ]  # fmt: skip
            session.add_all(warnings)
        watch.told |= set(new)
        with self._database.reading() as session:
            asked = select(DriftWarning).where(DriftWarning.id.in_([w.id for w in warnings]))
            warnings = whole_warnings(session, asked)
        for warning in warnings:
            place = answering.name if watch.camera is None else f"{answering.name}, {watch.camera}"
            _LOG.warning("%s: %s", place, warning.text)
            for tell in self.on_warning:
                tell(warning)

    def _since(self, answering: Answering, watch: CameraWatch) -> int | None:
        """Return the number of the inspection at which a shift began."""
        shift = watch.conditions.shift
        since = None if shift is None else shift.as_dict()["since"]
        if since is None:
            return None
        with self._database.reading() as session:
            return session.scalar(
                select(Inspection.number)
                .where(
                    Inspection.version_id == answering.version_id,
                    Inspection.camera.is_not_distinct_from(watch.camera),
                    Inspection.number > watch.began,
                )
                .order_by(Inspection.number)
                .offset(since["number"] - 1)
                .limit(1)
            )

    def _keep(self, version: _Version) -> None:
        if not version.unkept:
            return
        with self._database.session() as session:
            for watch in version.watches.values():
                watch.seen = max(watch.seen, version.position)
                values: dict[str, Any] = {"seen": watch.seen}
                if not watch.kept:
                    values["state"] = watch.state()
                session.execute(update(Watch).where(Watch.id == watch.id).values(values))
        for watch in version.watches.values():
            watch.kept = True
        version.unkept = 0


def whole_warnings(session: Session, asked: Select[Any]) -> list[DriftWarning]:
    """Return warnings with what they are of: their model, version and inspections."""
    related = (
        DriftWarning.model, DriftWarning.version, DriftWarning.inspection, DriftWarning.since
    )  # fmt: skip
    return list(session.scalars(asked.options(*(joinedload(one) for one in related))))
