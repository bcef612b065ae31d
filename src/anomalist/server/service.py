"""All parts of a server, made, started and stopped together."""

from __future__ import annotations

from typing import Self

from anomalist.server.auditing import AuditLog
from anomalist.server.blobs import Blobs
from anomalist.server.database import Database
from anomalist.server.inspecting import Inspector
from anomalist.server.principals import Tokens
from anomalist.server.registry import Registry
from anomalist.server.sessions import SignIns
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
        folder.mkdir(parents=True, exist_ok=True)
        self.database = Database(settings.database_url)
        self.photographs = Blobs(folder / "photographs")
        self.heatmaps = Blobs(folder / "heatmaps")
        self.registry = Registry(self.database, Blobs(folder / "versions"), settings.device)
        self.versions = Versions(self.database, self.registry)
        self.tokens = Tokens(self.database)
        self.sign_ins = SignIns(self.database, folder, settings.sign_in_days)
        self.audit = AuditLog(self.database)
        self.inspector = Inspector(self.database, self.registry, self.photographs, self.heatmaps)

    def start(self) -> Self:
        """Bring the database up to date, load models, and begin to answer.

        Raises
        ------
        ServerError
            If the database can't be reached.
        ParameterError, ModelFileError
            If there is no model, or a damaged one.
        """
        try:
            self.database.upgrade()
            self.registry.take_files(self.settings.models)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Answer what was accepted, and end."""
        self.database.close()
