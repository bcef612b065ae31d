"""Models by name, their versions, and which of them answers."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from anomalist.detectors import Detector
from anomalist.errors import (
    ModelFileError,
    NotFoundError,
    ParameterError,
    UnavailableError,
    WeightsError,
)
from anomalist.files import sha256_of
from anomalist.inspection import Rule, model_card, open_model
from anomalist.server.blobs import Blobs
from anomalist.server.database import Database
from anomalist.server.database.tables import Model, Promotion, Setting, Version
from anomalist.server.principals import OPERATOR as OPERATOR
from anomalist.server.texts import plain_text

_log = logging.getLogger(__name__)
_LONGEST = 200
#: Characters of what people say of a decision.
LONGEST_NOTE = 2000


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


class _UnopenedError(ModelFileError):
    """A version that can't answer: its reason is for everybody, the rest names places."""

    def __init__(self, reason: str, more: str) -> None:
        super().__init__(reason + more)
        self.reason = reason


class Registry:
    """The models of a server.

    A model whose file or version is damaged or gone keeps no other from answering: it is told of
    in the log and in `faults`, and answers again once a person has another version of it answer,
    or this one after its file was brought back.

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
        #: Of each model that was given, its id, or None where no version of it was ever whole.
        self._given: dict[str, int | None] = {}
        #: Why a file that was given isn't used, and why a version can't answer, by model.
        self._unread: dict[str, str] = {}
        self._silent: dict[str, str] = {}
        #: Called with what answers from now on, whenever it is another or by another rule.
        self.on_change: list[Callable[[Answering], None]] = []

    def take_files(self, models: str | Path) -> None:
        """Take the model files of a folder, or one file; one whose content is new answers.

        These models answer from now on, and no others that the database knows. One that can't is
        told of in `faults`.

        Raises
        ------
        ParameterError
            If there is none, a name can't be one, or there is no such device.
        ModelFileError, WeightsError
            If all are damaged, and there is no version of any.
        """
        path = Path(models)
        files = sorted(path.glob("*.anomalist")) if path.is_dir() else [path]
        files = [file for file in files if file.is_file()]
        if not files:
            raise ParameterError(
                f"{models} holds no model: anomalist fit DETECTOR --data FOLDER --out"
                " NAME.anomalist writes one"
            )
        unread: dict[str, Exception] = {}
        for file in files:
            _check_name(file)
            try:
                self._take(file.stem, file)
            except (ModelFileError, WeightsError, OSError) as error:
                unread[file.stem] = error
        with self._database.reading() as session:
            known = {row.name: row.id for row in session.execute(select(Model.name, Model.id))}
        self._given = {file.stem: known.get(file.stem) for file in files}
        if set(self._given.values()) == {None}:
            raise next(iter(unread.values()))
        for name, why in unread.items():
            self._unread[name] = f"the file that was given as {name} can't be used"
            _log.error("%s: %s", self._unread[name], why)
        for name, model_id in self._given.items():
            if model_id is None:
                continue
            try:
                self.refresh(name)
            except _UnopenedError as error:
                _log.error("%s doesn't answer: %s", name, error)

    def _take(self, name: str, file: Path) -> None:
        data = file.read_bytes()
        key = hashlib.sha256(data).hexdigest()
        with self._database.reading() as session:
            known = session.scalar(
                select(Version.id).join(Model).where(Model.name == name, Version.sha256 == key)
            )
        if known is None:
            open_model(file, device=self._device)
            if sha256_of(file) != key:
                raise ModelFileError(f"{file} is being written: start again once it is whole")
        if self._is_whole(key) is False:  # the copy: what was given takes its place
            self.files.path(key).unlink()
        self.files.put(data)
        if known is not None:
            return
        with self._database.session() as session:
            model = session.scalar(select(Model).where(Model.name == name)) or Model(name=name)
            session.add(model)
            session.flush()
            version = self.add(session, model, key, state="accepted", by=OPERATOR)
            note = f"from {file.name}"
            session.add(Promotion(model_id=model.id, version_id=version.id, by=OPERATOR, note=note))

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

    def names(self, *, with_versions: bool = False) -> list[str]:
        """Return the names of the models, also of those that don't answer.

        Parameters
        ----------
        with_versions : bool
            Whether to leave out those of which no version was ever whole.
        """
        return sorted(
            name for name, model_id in self._given.items() if model_id or not with_versions
        )

    def all_answering(self) -> list[Answering]:
        """Return what answers, by name."""
        return [one for _, one in sorted(self._answering.items())]

    def faults(self) -> dict[str, str]:
        """Return what is wrong with models, by name: a sentence for everybody, with no path."""
        told = dict[str, str]()
        for name in self.names():
            sentences = [one[name] for one in (self._unread, self._silent) if name in one]
            if sentences:
                now = self._answering.get(name)
                goes_on = f"version {now.number} answers" if now else "it doesn't answer"
                told[name] = "; ".join([*sentences, goes_on])
        return told

    def answering_or_none(self, name: str) -> Answering | None:
        """Return what answers for a model, if anything does."""
        return self._answering.get(name)

    def model_id(self, name: str) -> int:
        """Return the id of a model, whether or not it answers.

        Raises
        ------
        NotFoundError
            If there is no such model.
        UnavailableError
            If no version of it was ever whole.
        """
        if name not in self._given:
            raise NotFoundError(f"no model {name!r}; there are {', '.join(self.names())}")
        model_id = self._given[name]
        if model_id is None:
            raise UnavailableError(f"{name}: {self.faults()[name]}")
        return model_id

    def answering(self, name: str | None = None) -> Answering:
        """Return what answers for a model; without a name, for the only one.

        Raises
        ------
        NotFoundError
            If there is no such model, or several and no name.
        UnavailableError
            If the version that is to answer is damaged or gone.
        """
        if name is None and len(self._given) == 1:
            (name,) = self._given
        if name is None:
            raise NotFoundError(f"which model? there are {', '.join(self.names())}")
        found = self._answering.get(name)
        if found is None:
            self.model_id(name)  # which is none, perhaps
            raise UnavailableError(
                f"{name}: {self.faults()[name]}, until another version is made to, or its file is"
                " brought back (the server's log says which) and it is made to answer again"
            )
        return found

    def promote(self, version_id: int, *, by: str, note: str = "") -> Answering:
        """Make a version the one that answers; also how an earlier one comes back.

        Raises
        ------
        NotFoundError
            If there is no such version.
        ParameterError
            If it was dropped, or can't promise the rate of false alarms that is set.
        ModelFileError
            If its file is damaged or gone; nothing is promoted then.
        """
        with self._lock:
            with self._database.reading() as session:
                version = session.get(Version, version_id, options=[joinedload(Version.model)])
                if version is None:
                    raise NotFoundError(f"no version {version_id}")
                setting = setting_of(session, version.model_id)
            answering = self._prepared(version, setting)
            now = self._answering.get(answering.name)
            if now and _decides(now.rule) and not _decides(answering.rule):
                raise ParameterError(f"version {version.number}: {answering.rule.describe()}")
            with self._database.session() as session:
                row = session.get_one(Version, version_id, with_for_update=True)
                if row.state == "dropped":
                    raise ParameterError(f"version {row.number} was dropped")
                row.state = "accepted"
                session.add(Promotion(model_id=row.model_id, version_id=row.id, by=by, note=note))
            return self._replace(answering)

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
        note = plain_text(note, "note", LONGEST_NOTE, lines=True)
        with self._lock:
            now = self.answering(name)
            rule = Rule.of(now.detector, alpha=alpha, threshold=threshold)
            if rule.threshold is None or (alpha is not None and not _decides(rule)):
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

    def refresh(self, name: str) -> Answering:
        """Have what the database says answer from now on.

        Raises
        ------
        NotFoundError
            If there is no such model.
        ModelFileError
            If the version's file is damaged or gone.
        """
        with self._lock:
            with self._database.reading() as session:
                version = session.scalar(
                    select(Version)
                    .join(Promotion, Promotion.version_id == Version.id)
                    .join(Model, Model.id == Promotion.model_id)
                    .where(Model.name == name)
                    .order_by(Promotion.id.desc())
                    .limit(1)
                    .options(joinedload(Version.model))
                )
                if version is None:
                    raise NotFoundError(f"no model {name!r}")
                setting = setting_of(session, version.model_id)
            try:
                return self._replace(self._prepared(version, setting))
            except _UnopenedError as error:
                self._silent[name] = error.reason
                raise

    def _prepared(self, version: Version, setting: Setting | None) -> Answering:
        """Return what would answer by a version and a setting."""
        name = version.model.name
        before = self._answering.get(name)
        if before is not None and before.version_id == version.id:
            detector = before.detector
        else:
            detector = self._opened(version)
        alpha, threshold = means(setting, version.id)
        rule = Rule.of(detector, alpha=alpha, threshold=threshold)
        return Answering(
            name, version.model_id, version.id, version.number, version.sha256, detector, rule
        )

    def _opened(self, version: Version) -> Detector:
        path, called = self.files.path(version.sha256), f"version {version.number}"
        name = version.model.name
        way = (
            "bring that file back from a copy of the folder and have the version answer again, have"
            f" another version answer, or give another fit as {name}.anomalist, which then answers"
        )
        whole = self._is_whole(version.sha256)
        if whole is None:
            raise _UnopenedError(f"{called} of {name} is gone", f", which was {path}: {way}")
        if not whole:
            raise _UnopenedError(f"{called} of {name} is damaged", f", which is {path}: {way}")
        try:
            return open_model(path, device=self._device)
        except (ModelFileError, WeightsError, OSError) as error:
            raise _UnopenedError(f"{called} of {name} can't be opened", f": {error}") from error

    def _is_whole(self, key: str) -> bool | None:
        """Whether a file is what it was; None where it is gone."""
        try:
            return sha256_of(self.files.path(key)) == key
        except FileNotFoundError:
            return None
        except OSError:  # a bad block, or not ours to read
            return False

    def _replace(self, answering: Answering) -> Answering:
        # As a whole: who reads it needs no lock.
        self._answering = {**self._answering, answering.name: answering}
        self._silent.pop(answering.name, None)
        for tell in self.on_change:
            tell(answering)
        return answering


def _check_name(file: Path) -> None:
    if len(file.stem) > _LONGEST or not file.stem.isprintable():
        raise ParameterError(
            f"{file} can't give its model a name: that is 1 to {_LONGEST} characters that can"
            " be read"
        )


def setting_of(session: Session, model_id: int) -> Setting | None:
    """Return what decisions of a model are for; None where they are as the fit has it."""
    return session.scalar(
        select(Setting).where(Setting.model_id == model_id).order_by(Setting.id.desc()).limit(1)
    )


def means(setting: Setting | None, version_id: int) -> tuple[float | None, float | None]:
    """Return the rate and the threshold that a setting means for a version; None for the fit's.

    A score is on the scale of one version; a rate is a rate for all.
    """
    if setting is None:
        return None, None
    return setting.alpha, setting.threshold if setting.version_id == version_id else None


def _decides(rule: Rule) -> bool:
    """Whether its threshold is what was asked for: a score as given, or one for that rate."""
    return rule.given or rule.guaranteed
