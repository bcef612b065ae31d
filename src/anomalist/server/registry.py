"""Models by name, their versions, and which of them answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from anomalist.detectors import Detector
from anomalist.errors import ModelFileError, NotFoundError, ParameterError
from anomalist.inspection import Rule, model_card, open_model
from anomalist.server.blobs import Blobs
from anomalist.server.database import Database
from anomalist.server.database.tables import Model, Promotion, Setting, Version
from anomalist.server.principals import OPERATOR as OPERATOR
from anomalist.server.texts import plain_text


@dataclass(frozen=True, eq=False)
class Answering:
    """What answers for a model at one moment; it never changes, another takes its place.

    Parameters
    ----------
    name : str
        The model's name.
    model_id, version_id, number : int
        Of the model and its version.
    sha256 : str
        Of the version's file.
    detector : Detector
        Fitted; threads share it.
    rule : Rule
        When a photograph is called anomalous.
    """

    name: str
    model_id: int
    version_id: int
    number: int
    sha256: str
    detector: Detector
    rule: Rule


class Registry:
    """The models of a server.

    Parameters
    ----------
    database : Database
        Where versions are listed.
    files : Blobs
        Where their files are kept.
    device : str, optional
        Where detectors run, instead of where they were fitted.
    """

    def __init__(self, database: Database, files: Blobs, device: str | None = None) -> None:
        self._database, self.files, self._device = database, files, device
        self._lock = threading.RLock()
        self._answering: dict[str, Answering] = {}
        #: Called with what answers from now on, whenever it is another or by another rule.
        self.on_change: list[Callable[[Answering], None]] = []

    def take_files(self, models: str | Path) -> None:
        """Take the model files of a folder, or one file; one whose content is new answers.

        Raises
        ------
        ParameterError
            If there is none.
        ModelFileError
            If one is damaged.
        """
        path = Path(models)
        files = sorted(path.glob("*.anomalist")) if path.is_dir() else [path]
        if not files or not files[0].is_file():
            raise ParameterError(
                f"{models} holds no model: anomalist fit DETECTOR --data FOLDER --out"
                " NAME.anomalist writes one"
            )
        for file in files:
            self._take(file.stem, file)
        with self._database.session() as session:
            names = session.scalars(select(Model.name)).all()
        for name in names:
            self.refresh(name)

    def _take(self, name: str, file: Path) -> None:
        open_model(file, device=self._device)
        key = self.files.put(file.read_bytes())
        with self._database.session() as session:
            model = session.scalar(select(Model).where(Model.name == name)) or Model(name=name)
            session.add(model)
            session.flush()
            known = select(Version).where(Version.model_id == model.id, Version.sha256 == key)
            if session.scalar(known) is None:
                version = self.add(session, model, key, state="accepted", by=OPERATOR)
                note = f"from {file.name}"
                session.add(
                    Promotion(model_id=model.id, version_id=version.id, by=OPERATOR, note=note)
                )

    def add(
        self, session: Session, model: Model, key: str, *, state: str, by: str,
        note: str = "", parent_id: int | None = None,
    ) -> Version:  # fmt: skip
        """List a file that is kept as a version of a model, in a transaction."""
        last = session.scalar(select(func.max(Version.number)).where(Version.model_id == model.id))
        version = Version(
            model_id=model.id,
            number=(last or 0) + 1,
            state=state,
            sha256=key,
            card=model_card(self.files.path(key)),
            by=by,
            note=note,
            parent_id=parent_id,
        )
        session.add(version)
        session.flush()
        return version

    def names(self) -> list[str]:
        """Return the names of the models that answer."""
        return sorted(self._answering)

    def answering(self, name: str | None = None) -> Answering:
        """Return what answers for a model; without a name, for the only one.

        Raises
        ------
        NotFoundError
            If there is no such model, or several and no name.
        """
        known = ", ".join(self.names())
        if name is None and len(self._answering) == 1:
            return next(iter(self._answering.values()))
        if name is None:
            raise NotFoundError(f"which model? there are {known}")
        try:
            return self._answering[name]
        except KeyError:
            raise NotFoundError(f"no model {name!r}; there are {known}") from None

    def promote(self, version_id: int, *, by: str, note: str = "") -> Answering:
        """Make a version the one that answers; also how an earlier one comes back.

        Raises
        ------
        NotFoundError
            If there is no such version.
        ParameterError
            If it was dropped, or has no threshold for the rate of false alarms that is set.
        ModelFileError
            If its file is missing or damaged.
        """
        with self._lock:
            with self._database.reading() as session:
                version = session.get(Version, version_id)
                if version is None:
                    raise NotFoundError(f"no version {version_id}")
                name, setting = version.model.name, _setting(session, version.model_id)
            # Before it is written: what can't answer isn't promoted.
            detector = self._open(name, version)
            rule = _rule(detector, version, setting)
            if rule.threshold is None and self.answering(name).rule.threshold is not None:
                raise ParameterError(f"version {version.number} of {name}: {rule.describe()}")
            with self._database.session() as session:
                version = session.get_one(Version, version_id, with_for_update=True)
                if version.state == "dropped":
                    raise ParameterError(f"version {version.number} was dropped")
                version.state = "accepted"
                session.add(
                    Promotion(model_id=version.model_id, version_id=version.id, by=by, note=note)
                )
            return self.refresh(name, detector=detector)

    def decide_by(
        self, name: str, *, alpha: float | None, threshold: float | None, by: str, note: str = ""
    ) -> Answering:
        """Change the rate of false alarms that a model's threshold is for, or the threshold.

        Raises
        ------
        NotFoundError
            If there is no such model.
        ParameterError
            If they make no sense, or good images that calibrate are too few for the rate.
        """
        note = plain_text(note, "note", 2000, lines=True)
        with self._lock:
            now = self.answering(name)
            rule = Rule.of(now.detector, alpha=alpha, threshold=threshold)
            if rule.threshold is None:
                raise ParameterError(rule.describe())
            with self._database.session() as session:
                session.add(
                    Setting(
                        model_id=now.model_id,
                        version_id=now.version_id,
                        alpha=alpha,
                        threshold=threshold,
                        by=by,
                        note=note,
                    )
                )
            return self.refresh(name)

    def refresh(self, name: str, *, detector: Detector | None = None) -> Answering:
        """Have what the database says answer from now on.

        Parameters
        ----------
        name : str
            Of the model.
        detector : Detector, optional
            Of the version that answers, where it was opened already.
        """
        with self._lock:
            with self._database.session() as session:
                model = session.scalar(select(Model).where(Model.name == name))
                if model is None:
                    raise NotFoundError(f"no model {name!r}")
                version = session.scalars(
                    select(Version)
                    .join(Promotion, Promotion.version_id == Version.id)
                    .where(Promotion.model_id == model.id)
                    .order_by(Promotion.id.desc())
                    .limit(1)
                ).one()
                setting = _setting(session, model.id)
            before = self._answering.get(name)
            if before is not None and before.version_id == version.id:
                detector = before.detector
            elif detector is None:
                detector = self._open(name, version)
            rule = _rule(detector, version, setting)
            answering = Answering(
                name, model.id, version.id, version.number, version.sha256, detector, rule
            )
            # Replaced as a whole: who reads it needs no lock.
            self._answering = {**self._answering, name: answering}
        for tell in self.on_change:
            tell(answering)
        return answering

    def _open(self, name: str, version: Version) -> Detector:
        path = self.files.path(version.sha256)
        if not path.exists():
            raise ModelFileError(f"version {version.number} of {name} is missing: {path}")
        return open_model(path, device=self._device)


def _setting(session: Session, model_id: int) -> Setting | None:
    return session.scalar(
        select(Setting).where(Setting.model_id == model_id).order_by(Setting.id.desc()).limit(1)
    )


def _rule(detector: Detector, version: Version, setting: Setting | None) -> Rule:
    alpha = None if setting is None else setting.alpha
    # A score is on the scale of one version; a rate is a rate for all.
    own = setting is not None and setting.version_id == version.id
    threshold = setting.threshold if setting is not None and own else None
    return Rule.of(detector, alpha=alpha, threshold=threshold)
