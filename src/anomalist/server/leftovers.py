"""What comparisons and dropped candidates take on the disk, and what of it goes when it is full."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from itertools import islice

from sqlalchemy import ColumnElement, and_, or_, select

from anomalist.server.blobs import Blobs, on_disk
from anomalist.server.comparing import pictures_named
from anomalist.server.database import Database
from anomalist.server.database.tables import Audit, Drop, Model, Refit, Version
from anomalist.server.principals import OPERATOR

_log = logging.getLogger(__name__)
_AT_ONCE = 200


class Leftovers:
    """Files of candidates that people dropped, and pictures of all comparisons.

    A dropped candidate never decided anything. Where the disk is full, its file and the pictures of
    its comparison go before any photograph does, those that were dropped first before others; that
    is told in the log, in the audit log and beside the version, which stays listed. Files of other
    versions and pictures of other comparisons are never removed.

    Parameters
    ----------
    database : Database
        Where versions and comparisons are listed.
    versions, pictures : Blobs
        Their files.
    """

    def __init__(self, database: Database, versions: Blobs, pictures: Blobs) -> None:
        self._database, self._versions, self._pictures = database, versions, pictures
        self._dropped = 0

    def size(self) -> int:
        """Return how many bytes they take, candidates as they were counted last."""
        return self._dropped + self._pictures.size()

    def count(self) -> None:
        """Count files of dropped candidates anew."""
        with self._database.reading() as session:
            keys = session.scalars(select(Version.sha256).where(_is_dropped()).distinct()).all()
        paths = [self._versions.path(key) for key in keys]
        self._dropped = sum(on_disk(path.stat().st_size) for path in paths if path.exists())

    def remove_one(self) -> bool:
        """Remove what the candidate that was dropped first has left; whether there was one."""
        with self._database.session() as session:
            version = session.scalar(
                select(Version)
                .join(Drop, Drop.version_id == Version.id)
                .where(_is_dropped())
                .order_by(Drop.id)
                .limit(1)
                .with_for_update(of=Version)
            )
            if version is None:
                return False
            version.kept = False
            pictures = set[str]()
            for refit in session.scalars(select(Refit).where(Refit.version_id == version.id)):
                comparison = copy.deepcopy(refit.comparison)
                for side in pictures_named(comparison) if comparison else ():
                    pictures.add(side["picture"])
                    side["picture"] = None
                refit.comparison = comparison
            name = session.scalars(select(Model.name).where(Model.id == version.model_id)).one()
            told = f"version {version.number} of {name}"
            session.add(
                Audit(by=OPERATOR, action="file removed", subject=told, detail={"why": "keep_gb"})
            )
        self._versions.remove([version.sha256], self._named_versions)
        self._pictures.remove(pictures, self._named_pictures)
        _log.warning("%s, which was dropped: its file is removed, as the disk is full", told)
        self.count()
        return True

    def sweep(self, lost_s: float) -> int:
        """Remove files that nothing names for so long, as a crash leaves them; return how many."""
        removed = 0
        for blobs, named in (
            (self._versions, self._named_versions),
            (self._pictures, self._named_pictures),
        ):
            lost = blobs.older_than(lost_s)
            while keys := list(islice(lost, _AT_ONCE)):
                removed += blobs.remove(keys, named)
        return removed

    def _named_versions(self, keys: list[str]) -> Sequence[str]:
        with self._database.reading() as session:
            asked = select(Version.sha256).where(
                Version.sha256.in_(keys), or_(Version.state != "dropped", Version.kept)
            )
            return session.scalars(asked.distinct()).all()

    def _named_pictures(self, keys: list[str]) -> set[str]:
        with self._database.reading() as session:
            comparisons = session.scalars(
                select(Refit.comparison).where(Refit.comparison.is_not(None))
            )
            named = {
                side["picture"]
                for comparison in comparisons
                if comparison is not None
                for side in pictures_named(comparison)
            }
        return named & set(keys)


def _is_dropped() -> ColumnElement[bool]:
    return and_(Version.state == "dropped", Version.kept)
