"""Candidates that are asked for, built one after the other in a process of their own."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from anomalist.errors import DataError, NotFoundError, ParameterError, ServerError
from anomalist.inspection.fitting import CalibrateOn
from anomalist.server import candidate
from anomalist.server.background import Background
from anomalist.server.blobs import Blobs
from anomalist.server.candidate import Job, Judged
from anomalist.server.comparing import pictures_named
from anomalist.server.database import Database
from anomalist.server.database.tables import (
    Inspection,
    Model,
    Refit,
    Verdict,
    Version,
    is_id,
    now,
)
from anomalist.server.registry import LONGEST_NOTE, Registry, means, setting_of
from anomalist.server.texts import plain_text
from anomalist.server.verdicts import holding

#: States of a refit that isn't over.
OPEN = ("waiting", "running")
# One that failed for a reason that isn't its own is tried so often by a server that goes on.
_TRIES = 3
# One during which the server ended so often may be why: it waits, each time twice as long, so that
# inspections go on meanwhile.
_ENDS, _PAUSE_S, _LONGEST_S = 3, 2.0, 300.0
_TELL_EVERY_S = 0.5
_WAIT_S, _RETRY_S = 60.0, 5.0
_LOG = logging.getLogger(__name__)


class Refitter:
    """Builds candidates from training images and confirmed good inspections.

    Parameters
    ----------
    database : Database
        Where they are asked for, and where candidates are listed.
    registry : Registry
        What answers.
    photographs, pictures : Blobs
        Inspected photographs; pictures of comparisons.
    folder : Path
        For what is being built.
    training : sequence of str
        Where training images lie, where it isn't where the models' files say.
    device : str, optional
        Where detectors run, instead of where they were fitted.
    """

    name = "refits"

    def __init__(
        self,
        database: Database,
        registry: Registry,
        photographs: Blobs,
        pictures: Blobs,
        folder: Path,
        training: Sequence[str] = (),
        device: str | None = None,
    ) -> None:
        self._database, self._registry = database, registry
        self._photographs, self.pictures = photographs, pictures
        self._folder, self._training, self._device = folder, list(training), device
        self._wake, self._lock = threading.Event(), threading.Lock()
        self._background = Background(self.name, self._work)
        self._stopping = self._background.stopping
        #: When those that wait for longer may begin, and how often each failed here.
        self._resting: dict[str, float] = {}
        self._failed: Counter[str] = Counter()
        #: What is being built, and by which process.
        self._running: tuple[str, subprocess.Popen[str]] | None = None

    def start(self) -> None:
        """Go on with what an earlier server left, and begin to build."""
        with self._database.session() as session:
            session.execute(update(Refit).where(Refit.state == "running").values(state="waiting"))
            waiting = session.execute(
                select(Refit.id, Refit.begun).where(Refit.state == "waiting")
            ).all()
        names = {row.id for row in waiting}
        for left in self._folder.glob("*"):
            if left.name not in names:
                shutil.rmtree(left, ignore_errors=True)
        for row in waiting:
            if row.begun >= _ENDS:
                pause = min(_PAUSE_S * 2.0 ** min(row.begun - _ENDS, 30), _LONGEST_S)
                self._resting[row.id] = time.monotonic() + pause
                _LOG.warning(
                    "the server ended %d times while candidate %s was built: it goes on in %g s",
                    *(row.begun, row.id, pause),
                )
        self._background.start()

    def stop(self) -> None:
        """End; what is being built is gone on with by the next server."""
        with self._lock:
            self._stopping.set()
            if self._running is not None:
                self._running[1].kill()
        self._wake.set()
        self._background.stop()

    def fault(self) -> str | None:
        """Say why it no longer builds what is asked for; None while it does."""
        return self._background.fault()

    def ask(self, name: str, *, by: str, note: str = "", calibrate_on: str = "others") -> Refit:
        """Ask for a candidate of a model, from all inspections that are confirmed as good now.

        Raises
        ------
        NotFoundError
            If there is no such model.
        ParameterError
            If one is being built already, or there is nothing new to learn.
        """
        if calibrate_on not in get_args(CalibrateOn):
            known = ", ".join(get_args(CalibrateOn))
            raise ParameterError(f"calibrate_on is {known}, not {calibrate_on!r}")
        note = plain_text(note, "note", LONGEST_NOTE, lines=True)
        answering = self._registry.answering(name)
        with self._database.session() as session:
            # Whoever asks for the same model at the same time waits here.
            session.get(Model, answering.model_id, with_for_update=True)
            open_one = session.scalar(
                select(Refit).where(Refit.model_id == answering.model_id, Refit.state.in_(OPEN))
            )
            if open_one is not None:
                raise ParameterError(
                    f"a candidate of {name} is being built already, asked for by {open_one.by}"
                )
            good = [
                row for row, verdict in judged(session, answering.model_id) if verdict == "good"
            ]
            parent = session.scalar(select(Refit).where(Refit.version_id == answering.version_id))
            learnt = {digest.tobytes().hex() for digest in answering.detector.images_}
            of_parent = [] if parent is None else parent.learnt
            same = [row.number for row in good] == of_parent
            if same and parent is not None and parent.calibrate_on != calibrate_on:
                same = False
            if not good or same or (parent is None and {row.sha256 for row in good} <= learnt):
                raise ParameterError(
                    f"there is nothing new to learn for {name}: nobody has confirmed a good part,"
                    f" whose photograph is kept, that version {answering.number} doesn't know"
                )
            refit = Refit(
                model_id=answering.model_id,
                parent_id=answering.version_id,
                state="waiting",
                by=by,
                note=note,
                calibrate_on=calibrate_on,
                learnt=[row.number for row in good],
            )
            session.add(refit)
        self._wake.set()
        return refit

    def find(self, refit_id: str) -> tuple[Refit, str, dict[int, int]]:
        """Return a refit, its model's name, and the numbers of the model's versions by their id.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        with self._database.reading() as session:
            row = _refit(session, refit_id)
            name = session.scalars(select(Model.name).where(Model.id == row.model_id)).one()
            return row, name, _numbers(session, row.model_id)

    def of_model(self, name: str) -> tuple[list[Refit], dict[int, int]]:
        """Return the refits of a model, the last first, and the numbers of its versions.

        Raises
        ------
        NotFoundError
            If there is no such model.
        """
        model_id = self._registry.model_id(name)
        with self._database.reading() as session:
            rows = session.scalars(
                select(Refit)
                .where(Refit.model_id == model_id)
                .order_by(Refit.created.desc(), Refit.id)
            ).all()
            return list(rows), _numbers(session, model_id)

    def cancel(self, refit_id: str, *, by: str) -> None:
        """Leave what is waiting or being built; what is over stays as it is.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        with self._database.session() as session:
            row = _refit(session, refit_id, lock=True)
            if row.state in OPEN:
                row.state, row.ended, row.error = "dropped", now(), f"stopped by {by}"
        with self._lock:
            if self._running is not None and self._running[0] == refit_id:
                self._running[1].kill()

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            refit_id = None
            try:
                refit_id = self._next()
                if refit_id is not None:
                    self._build(refit_id)
                    continue
            except ServerError as error:
                # A database that doesn't answer for a while; what is open is taken up again.
                _LOG.error("a candidate can't be built now, it is tried again: %s", error)
                self._wake.wait(_RETRY_S)
            except Exception as error:
                _LOG.exception("a candidate couldn't be built")
                self._wake.wait(_RETRY_S)
                self._count_failure(refit_id, error)
            rested = min(self._resting.values(), default=float("inf")) - time.monotonic()
            self._wake.wait(max(min(_WAIT_S, rested), 0.0))
            self._wake.clear()

    def _count_failure(self, refit_id: str | None, error: Exception) -> None:
        """Give up what fails here again and again; where the server ended meanwhile it doesn't."""
        if refit_id is None:
            return
        self._failed[refit_id] += 1
        if self._failed[refit_id] < _TRIES:
            return
        line = str(error).partition("\n")[0]
        with suppress(ServerError):
            self._end(refit_id, f"it failed {_TRIES} times ({type(error).__name__}: {line})")

    def _next(self) -> str | None:
        """Take the one that waits longest, of those that may begin."""
        now_s = time.monotonic()
        self._resting = {one: until for one, until in self._resting.items() if until > now_s}
        with self._database.session() as session:
            # One that is running here was left by an error: nothing else runs any.
            row = session.scalar(
                select(Refit)
                .where(Refit.state.in_(OPEN), Refit.id.not_in(self._resting))
                .order_by(Refit.created)
                .limit(1)
                .with_for_update()
            )
            if row is None:
                return None
            row.state, row.begun = "running", row.begun + 1
            row.started = row.started or now()
            return row.id

    def _build(self, refit_id: str) -> None:
        folder = self._folder / refit_id
        try:
            self._prepare(refit_id, folder)
            error = self._run(refit_id, folder)
            if self._stopping.is_set():
                return
            if error is None:
                self._keep(refit_id, folder)
            else:
                self._end(refit_id, error)
        except (DataError, OSError) as error:
            self._end(refit_id, str(error))
        shutil.rmtree(folder, ignore_errors=True)

    def _prepare(self, refit_id: str, folder: Path) -> None:
        """Write the job, with photographs that nobody takes away meanwhile."""
        (folder / "photographs").mkdir(parents=True, exist_ok=True)
        with self._database.reading() as session:
            row = session.get_one(Refit, refit_id)
            parent = session.get_one(Version, row.parent_id)
            origin = parent
            while origin.parent is not None:
                origin = origin.parent
            alpha, threshold = means(setting_of(session, row.model_id), parent.id)
            known = judged(session, row.model_id)
        learnt = set(row.learnt)
        taken = list[Judged]()
        for inspection, verdict in known:
            if verdict == "good" and inspection.number not in learnt:
                continue  # confirmed since
            file = f"photographs/{inspection.number}{_suffix(inspection.name)}"
            if _link(self._photographs.path(inspection.sha256), folder / file):
                taken.append(
                    Judged(
                        id=inspection.id,
                        kind="good" if verdict == "good" else "defective",
                        name=inspection.name,
                        file=file,
                    )
                )
        if not any(one.kind == "good" for one in taken):
            raise DataError("the photographs of all confirmed parts are gone")
        Job(
            origin=str(self._registry.files.path(origin.sha256).absolute()),
            parent=str(self._registry.files.path(parent.sha256).absolute()),
            device=self._device,
            folders=self._training,
            calibrate_on=row.calibrate_on,  # type: ignore[arg-type]
            alpha=alpha,
            threshold=threshold,
            judged=taken,
        ).write(folder)

    def _run(self, refit_id: str, folder: Path) -> str | None:
        """Run the process; return what went wrong, in a sentence."""
        command = [sys.executable, "-P", "-m", candidate.__name__, str(folder.absolute())]
        with (folder / "log").open("w+", encoding="utf-8") as log:
            with self._lock:
                if self._stopping.is_set():
                    return "stopped"
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    encoding="utf-8",
                    start_new_session=True,  # Ctrl-C is for the server
                )
                self._running = (refit_id, process)
            try:
                error = self._follow(refit_id, process)
                code = process.wait()
            finally:
                with self._lock:
                    self._running = None
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    with suppress(OSError):
                        pipe and pipe.close()
            if code == 0 or error is not None or self._stopping.is_set():
                return error
            log.seek(0)
            _LOG.error("candidate %s ended with %d: %s", refit_id, code, log.read()[-4000:])
        if code < 0:
            return f"the process that built it was ended by signal {-code}" + (
                ": was there memory enough?" if code == -9 else ""
            )
        return "the process that built it failed, which is a bug: the server's log tells more"

    def _follow(self, refit_id: str, process: subprocess.Popen[str]) -> str | None:
        """Remember the progress that a process tells; return the error that it tells."""
        assert process.stdout is not None
        stage, told = "", -_TELL_EVERY_S
        for line in process.stdout:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if "error" in values:
                return str(values["error"])
            at = time.monotonic()
            if values["stage"] == stage and at - told < _TELL_EVERY_S:
                continue
            stage, told = values["stage"], at
            with self._database.session() as session:
                found = session.execute(
                    update(Refit)
                    .where(Refit.id == refit_id, Refit.state == "running")
                    .values(stage=stage, done=values["done"], total=values["total"])
                    .returning(Refit.id)
                ).first()
            if found is None:
                return "dropped meanwhile"
        return None

    def _keep(self, refit_id: str, folder: Path) -> None:
        """List the candidate with its comparison, both or neither."""
        comparison: dict[str, Any] = json.loads((folder / candidate.RESULT).read_text("utf-8"))
        for side in pictures_named(comparison):
            picture = folder / candidate.PICTURES / side["picture"]
            side["picture"] = self.pictures.put(picture.read_bytes())
        key = self._registry.files.put((folder / candidate.MODEL).read_bytes(), hold=True)
        try:
            self._list(refit_id, key, comparison)
        finally:
            self._registry.files.let_go(key)

    def _list(self, refit_id: str, key: str, comparison: dict[str, Any]) -> None:
        with self._database.session() as session:
            row = session.get_one(Refit, refit_id, with_for_update=True)
            if row.state != "running":  # dropped meanwhile
                return
            model = session.get_one(Model, row.model_id)
            version = session.scalar(
                select(Version).where(Version.model_id == model.id, Version.sha256 == key)
            )
            if version is None:
                version = self._registry.add(
                    session, model, key, state="candidate", by=row.by, note=row.note,
                    parent_id=row.parent_id,
                )  # fmt: skip
            elif version.state == "dropped":  # asked for again
                version.state, version.kept = "candidate", True
            row.version_id, row.comparison = version.id, comparison
            row.state, row.ended, row.error, row.done = "done", now(), None, row.total

    def _end(self, refit_id: str, error: str) -> None:
        with self._database.session() as session:
            session.execute(
                update(Refit)
                .where(Refit.id == refit_id, Refit.state == "running")
                .values(state="failed", ended=now(), error=error)
            )


def judged(session: Session, model_id: int) -> list[tuple[Inspection, str]]:
    """Return the inspections of a model with the verdict that holds, in their order.

    Only those whose photograph is kept; of several with the same photograph the last one, and none
    where people called it both good and defective.
    """
    rows = session.execute(
        select(Inspection, Verdict.verdict)
        .join(Verdict, Verdict.inspection_id == Inspection.number)
        .where(Inspection.model_id == model_id, Inspection.kept, holding())
        .order_by(Inspection.number)
    ).all()
    said: dict[str, set[str]] = {}
    for inspection, verdict in rows:
        said.setdefault(inspection.sha256, set()).add(verdict)
    by_photograph = {
        inspection.sha256: (inspection, verdict)
        for inspection, verdict in rows
        if len(said[inspection.sha256]) == 1
    }
    return sorted(by_photograph.values(), key=lambda pair: pair[0].number)


def _refit(session: Session, refit_id: str, *, lock: bool = False) -> Refit:
    """The refit of an id; locked, no other transaction changes it meanwhile."""
    row = session.get(Refit, refit_id, with_for_update=lock) if is_id(refit_id) else None
    if row is None:
        raise NotFoundError(f"no refit {refit_id!r}")
    return row


def _numbers(session: Session, model_id: int) -> dict[int, int]:
    rows = session.execute(select(Version.id, Version.number).where(Version.model_id == model_id))
    return {row.id: row.number for row in rows}


def _suffix(name: str) -> str:
    """The ending of a name that came from outside, if it is like one of a file."""
    suffix = Path(name).suffix
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) < 8 else ""


def _link(source: Path, target: Path) -> bool:
    """Have a file in another place too; whether it is there."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        return False
    except OSError:  # no such links here
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError:
            return False
    return True
