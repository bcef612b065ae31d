"""What brings photographs by itself: a thread that goes on until it is asked to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, ClassVar

from anomalist.errors import AnomalistError, BusyError, DataError
from anomalist.server.background import Background
from anomalist.server.database.tables import Inspection
from anomalist.server.inspecting import Inspector, Upload

_LOG = logging.getLogger(__name__)
_RETRY_S, _BUSY_S = 5.0, 0.2


class Source:
    """Brings photographs by itself.

    Parameters
    ----------
    name : str
        What it is called, for people.
    inspector : Inspector
        Takes them.
    """

    #: As inspections say it.
    kind: ClassVar[str]

    def __init__(self, name: str, inspector: Inspector) -> None:
        self.name, self._inspector = name, inspector
        self._background = Background(name, self._work, may_end=True)
        self._stopped = self._background.stopping
        #: How many photographs it brought, and how many of them couldn't be inspected.
        self.brought = self.failed = 0
        #: What keeps it from bringing more; None where nothing does.
        self.trouble: str | None = None

    def start(self) -> None:
        """Begin."""
        self._background.start()

    def stop(self) -> None:
        """End, once what was brought is kept."""
        self._background.stop()

    def fault(self) -> str | None:
        """Say why it ended though there may be more; None where it didn't."""
        return self._background.fault()

    def state(self) -> dict[str, Any]:
        """Return what is known of it as JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "running": self._background.is_alive(),
            "brought": self.brought,
            "failed": self.failed,
            "trouble": self.trouble,
        }

    def bring(self) -> None:
        """Bring photographs until it is stopped, or there are no more."""
        raise NotImplementedError

    def wait(self, seconds: float) -> bool:
        """Wait, and return whether it was stopped."""
        return self._stopped.wait(seconds)

    def tell(self, trouble: str | None) -> None:
        """Say what is in the way, once; None where nothing is any more."""
        if trouble != self.trouble:
            if trouble is None:
                _LOG.info("%s: goes on", self.name)
            else:
                _LOG.warning("%s: %s", self.name, trouble)
        self.trouble = trouble

    def inspect(
        self, uploads: Sequence[Upload], model: str | None
    ) -> list[Inspection | DataError] | None:
        """Inspect photographs, waiting where many others do; None where it was stopped meanwhile.

        Raises
        ------
        AnomalistError
            As `Inspector.inspect`, but for BusyError.
        """
        while not self._stopped.is_set():
            try:
                found = self._inspector.inspect(uploads, model)
            except BusyError:
                self.wait(_BUSY_S)
                continue
            self.brought += len(found)
            for error in found:
                if isinstance(error, DataError):
                    self.failed += 1
                    _LOG.warning("%s: %s", self.name, error)
            return found
        return None

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                return self.bring()
            except AnomalistError as error:
                self.tell(str(error))
            except Exception as error:
                _LOG.exception("%s failed; it begins again", self.name)
                self.trouble = f"{type(error).__name__}: {error}"
            stop.wait(_RETRY_S)
