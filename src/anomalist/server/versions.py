"""The versions of a model, and what people decided about them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from anomalist.errors import NotFoundError, ParameterError
from anomalist.server.database import Database
from anomalist.server.database.tables import Drop, Promotion, Setting, Version
from anomalist.server.registry import LONGEST_NOTE, Answering, Registry
from anomalist.server.texts import plain_text


@dataclass(frozen=True, eq=False)
class History:
    """A model, and all that was decided about it.

    Parameters
    ----------
    name : str
        Of the model.
    answering : Answering or None
        What answers now; None while the version that is to answer is damaged or gone.
    fault : str or None
        What is wrong with its files, in a sentence; None where nothing is.
    versions : list of Version
        The newest first.
    promotions : list of Promotion
        Which version was made to answer, when and by whom; the last first.
    drops : list of Drop
        Which candidates weren't wanted; the last first.
    settings : list of Setting
        What decisions are for; the last first.
    """

    name: str
    answering: Answering | None
    fault: str | None
    versions: list[Version]
    promotions: list[Promotion]
    drops: list[Drop]
    settings: list[Setting]

    @property
    def previous(self) -> Version | None:
        """The version that answered before the one that does, to which one rolls back."""
        # The last promotion's is the one that does, or would if it were whole.
        versions = (one.version for one in self.promotions)
        now = next(versions)
        return next((version for version in versions if version.id != now.id), None)

    @property
    def candidates(self) -> list[Version]:
        """Those that wait for a person to decide."""
        return [version for version in self.versions if version.state == "candidate"]


class Versions:
    """Tells of versions, and has people decide which of them answers.

    Parameters
    ----------
    database : Database
        Where they are listed.
    registry : Registry
        What answers.
    """

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database, self._registry = database, registry

    def histories(self) -> list[History]:
        """Return all models of which there is a version, by name."""
        return [self.history(name) for name in self._registry.names(with_versions=True)]

    def history(self, name: str) -> History:
        """Return a model and all that was decided about it.

        Raises
        ------
        NotFoundError
            If there is no such model.
        """
        model = self._registry.model_id(name)
        answering = self._registry.answering_or_none(name)
        with self._database.reading() as session:
            versions = session.scalars(
                select(Version)
                .where(Version.model_id == model)
                .order_by(Version.number.desc())
                .options(joinedload(Version.parent))
            ).all()
            promotions = session.scalars(
                select(Promotion)
                .where(Promotion.model_id == model)
                .order_by(Promotion.id.desc())
                .options(joinedload(Promotion.version))
            ).all()
            drops = session.scalars(
                select(Drop)
                .join(Version)
                .where(Version.model_id == model)
                .order_by(Drop.id.desc())
                .options(joinedload(Drop.version))
            ).all()
            settings = session.scalars(
                select(Setting).where(Setting.model_id == model).order_by(Setting.id.desc())
            ).all()
        return History(
            name,
            answering,
            self._registry.faults().get(name),
            list(versions),
            list(promotions),
            list(drops),
            list(settings),
        )

    def promote(self, name: str, number: int, *, by: str, note: str = "") -> History:
        """Have a version answer: a candidate, or an earlier one again.

        One that answers already goes on answering, and nothing is written.

        Raises
        ------
        NotFoundError
            If there is no such model or version.
        ParameterError
            If it was dropped, or can't promise the rate of false alarms that is set.
        ModelFileError
            If its file is missing or damaged: then what answered goes on answering.
        """
        note = plain_text(note, "note", LONGEST_NOTE, lines=True)
        model, answering = self._registry.model_id(name), self._registry.answering_or_none(name)
        with self._database.reading() as session:
            version_id = _version(session, model, name, number).id
        if answering is None or answering.version_id != version_id:
            self._registry.promote(version_id, by=by, note=note)
        return self.history(name)

    def drop(self, name: str, number: int, *, by: str, note: str = "") -> History:
        """Leave a candidate: it can't answer any more, and where the disk is full its file goes.

        One that was dropped already stays so, and nothing is written.

        Raises
        ------
        NotFoundError
            If there is no such model or version.
        ParameterError
            If it is no candidate any more.
        """
        note = plain_text(note, "note", LONGEST_NOTE, lines=True)
        model = self._registry.model_id(name)
        with self._database.session() as session:
            version = _version(session, model, name, number, lock=True)
            if version.state == "accepted":
                raise ParameterError(
                    f"version {number} of {name} was accepted, and stays for whoever goes back to"
                    " it: only candidates are dropped"
                )
            if version.state == "candidate":
                version.state = "dropped"
                session.add(Drop(version_id=version.id, by=by, note=note))
        return self.history(name)


def _version(
    session: Session, model_id: int, name: str, number: int, *, lock: bool = False
) -> Version:
    """The version; locked, no other transaction changes it meanwhile."""
    asked = select(Version).where(Version.model_id == model_id, Version.number == number)
    version = session.scalar(asked.with_for_update() if lock else asked)
    if version is None:
        raise NotFoundError(f"no version {number} of a model {name!r}")
    return version
