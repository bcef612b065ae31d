"""All parts of a server, made, started and stopped together."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Self

from anomalist.files import held_alone
from anomalist.server.blobs import Blobs
from anomalist.server.database import Database
from anomalist.server.inspecting import Inspector
from anomalist.server.principals import Tokens
from anomalist.server.refitting import Refitter
from anomalist.server.registry import Registry
from anomalist.server.settings import ServerSettings
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
        self.inspector = Inspector(self.database, self.registry, self.photographs, self.heatmaps)
        #: Set once it is to stop: what would answer for ever, as streams of events do, ends then.
        self.stopping = threading.Event()
        self._held = ExitStack()

    def start(self) -> Self:
        """Bring the database up to date, load models, and begin to answer.

        Raises
        ------
        ResultsError
            If another server uses the folder.
        ServerError
            If the database can't be reached.
        ParameterError, ModelFileError
            If there is no model, or a damaged one.
        """
        try:
            self._held.enter_context(held_alone(self.settings.folder / "lock"))
            self.database.upgrade()
            self.registry.take_files(self.settings.models)
            self.refitter.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Answer what was accepted, and end."""
        self.stopping.set()
        self.refitter.stop()
        self.database.close()
        self._held.close()
