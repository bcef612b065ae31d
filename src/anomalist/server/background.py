"""Work that goes on beside the answers, in threads with names; one that dies is told of."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from anomalist.errors import AnomalistError

_log = logging.getLogger(__name__)
# What has not ended by then is left: threads of the background end with the process.
_PATIENCE_S = 30


class Part(Protocol):
    """What a service starts, stops, and asks whether it still does its work."""

    name: str

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """Finish what was taken on, and end; also where it never started."""

    def fault(self) -> str | None:
        """Say why it no longer does its work; None while it does."""


class Background:
    """A thread that does some work until it is asked to stop.

    Parameters
    ----------
    name : str
        What is told of it, and the thread's name.
    work : callable
        Called once with the event that asks it to stop; it returns soon after that is set.
    may_end : bool
        Whether it may come to an end by itself.

    Examples
    --------
    >>> part = Background("waiting", threading.Event.wait)
    >>> part.start()
    >>> part.stop()
    >>> part.fault() is None
    True
    """

    def __init__(
        self, name: str, work: Callable[[threading.Event], object], *, may_end: bool = False
    ) -> None:
        self.name = name
        self._work, self._may_end = work, may_end
        #: Set once it is asked to stop.
        self.stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._fault: str | None = None

    def start(self) -> None:
        """Begin; once stopped, anew."""
        self.stopping.clear()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to stop, and wait till it has."""
        self.stopping.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)
            if self._thread.is_alive():
                _log.error("%s goes on %d s after it was asked to stop", self.name, _PATIENCE_S)

    def is_alive(self) -> bool:
        """Whether it has begun and not ended."""
        return self._thread is not None and self._thread.is_alive()

    def fault(self) -> str | None:
        """Say why it ended before it was asked; None where it didn't."""
        return self._fault

    def _run(self) -> None:
        try:
            self._work(self.stopping)
        except AnomalistError as error:
            self._fault = str(error)
            _log.error("%s has ended: %s", self.name, error)
        except Exception as error:
            self._fault = f"{type(error).__name__}: {error}"
            _log.exception("%s has ended", self.name)
        else:
            if not self.stopping.is_set() and not self._may_end:
                self._fault = "it has ended by itself"
                _log.error("%s has ended by itself", self.name)
