"""All parts of a server, made, started and stopped together."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from typing import Self

from sqlalchemy import text

from anomalist.errors import ServerError
from anomalist.files import held_alone
from anomalist.server.auditing import AuditLog
from anomalist.server.background import Part
from anomalist.server.blobs import Blobs
from anomalist.server.counting import Counting
from anomalist.server.database import Database
from anomalist.server.decoding import Decoders
from anomalist.server.drift import DriftWatcher
from anomalist.server.events import Events
from anomalist.server.inspecting import Inspector
from anomalist.server.leftovers import Leftovers
from anomalist.server.memory import Memory
from anomalist.server.metrics import Metrics
from anomalist.server.principals import Tokens
from anomalist.server.refitting import Refitter
from anomalist.server.registry import Registry
from anomalist.server.retention import Retention
from anomalist.server.reviewing import ReviewQueue
from anomalist.server.sessions import SignIns
from anomalist.server.settings import ServerSettings
from anomalist.server.sources import Sources
from anomalist.server.verdicts import Verdicts
from anomalist.server.versions import Versions


class Service:
    """What routes, pages and sources of photographs call; it knows nothing of HTTP.

    Parameters
    ----------
    settings : ServerSettings
        How it runs.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        folder = settings.folder
        self.database = Database(settings.database_url)
        self.photographs = Blobs(folder / "photographs")
        self.heatmaps = Blobs(folder / "heatmaps")
        self.registry = Registry(self.database, Blobs(folder / "versions"), settings.device)
        self.versions = Versions(self.database, self.registry)
        self.refitter = Refitter(
            self.database,
            self.registry,
            self.photographs,
            Blobs(folder / "comparisons"),
            folder / "refits",
            settings.training,
            settings.device,
        )
        self.tokens = Tokens(self.database)
        #: What the photographs of inspections and those to be shown are decoded by.
        self.decoders = Decoders(
            settings.decoders, max_pixels=int(settings.max_megapixels * 1_000_000)
        )
        self.drift = DriftWatcher(self.database, self.registry)
        self.metrics = Metrics(self.database, self.registry, folder)
        self.inspector = Inspector(
            self.database,
            self.registry,
            self.photographs,
            self.heatmaps,
            self.drift,
            decoders=self.decoders,
            waiting=settings.queue,
            wait_s=settings.wait_ms / 1000,
            max_bytes=settings.max_bytes,
        )
        self.retention = Retention(
            self.database,
            self.photographs,
            self.heatmaps,
            settings.keep_days,
            settings.keep_gb,
            leftovers=Leftovers(self.database, self.registry.files, self.refitter.pictures),
        )
        self.inspector.on_inspected += [
            self.drift.wake,
            self.metrics.inspected,
            self.retention.inspected,
        ]
        self.sign_ins = SignIns(self.database, folder, settings.sign_in_days)
        self.audit = AuditLog(self.database)
        self.memory = Memory(self.database)
        self.verdicts = Verdicts(self.database)
        self.counting = Counting(self.database)
        self.review = ReviewQueue(self.database)
        self.events = Events()
        self.inspector.on_inspected.append(self.events.inspected)
        self.verdicts.on_given.append(self.events.judged)
        self.registry.on_change.append(self.events.changed)
        self.drift.on_warning.append(self.events.warned)
        #: Set once it is to stop: what would answer for ever, as streams of events do, ends then.
        self.stopping = threading.Event()
        self.sources = Sources(settings, self.inspector, self.drift, self.database, self.registry)
        #: Started in this order, what photographs come from last, and stopped in the other.
        self.parts: list[Part] = [
            self.retention,
            self.refitter,
            self.drift,
            self.inspector,
            self.sources,
        ]
        self._held = ExitStack()

    def start(self) -> Self:
        """Bring the database up to date, load models, and begin to answer.

        Raises
        ------
        ResultsError
            If another server uses the folder or the database.
        ServerError
            If the database can't be reached.
        ParameterError, ModelFileError, WeightsError
            If there is no model, or damaged ones alone.
        """
        try:
            self._held.enter_context(held_alone(self.settings.folder / "lock"))
            self._held.enter_context(self.database.held())
            self.database.upgrade()
            self.registry.take_files(self.settings.models)
            for part in self.parts:
                part.start()
        except BaseException:
            self.stop()
            raise
        return self

    def faults(self) -> dict[str, str]:
        """Return why the server isn't ready, by the part that isn't; empty while it is."""
        found = {part.name: fault for part in self.parts if (fault := part.fault()) is not None}
        try:
            with self.database.reading() as session:
                session.execute(text("SELECT 1"))
        except ServerError as error:
            found["database"] = str(error)
        if not self.registry.all_answering():
            found["models"] = "; ".join(
                f"{name}: {fault}" for name, fault in self.registry.faults().items()
            )
        if self.stopping.is_set():
            found["server"] = "it is stopping"
        return found

    def stop(self) -> None:
        """Answer what was accepted, and end."""
        self.stopping.set()
        for part in reversed(self.parts):
            part.stop()
        with suppress(ServerError):  # a database that doesn't answer keeps nobody from stopping
            self.audit.flush()
        self.database.close()
        self._held.close()
