"""What happens, told to those who listen while it happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from anomalist.errors import BusyError
from anomalist.server.database.tables import DriftWarning, Inspection, Verdict
from anomalist.server.registry import Answering
from anomalist.server.telling import inspection_dict, verdict_dict, warning_dict

#: Told to who has missed more than is kept: what there is must be asked for anew.
RESET = "reset"

_KEPT = 1000
_LISTENERS = 500


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Parameters
    ----------
    position : str
        Where it stands among all events of this start of the server.
    kind : str
        ``inspection``, ``verdict``, ``model`` and what else parts of the server tell.
    data : str
        JSON, on one line.
    token_id : int or None
        Of the token whose inspection it is about.
    """

    position: str
    kind: str
    data: str
    token_id: int | None = None


class Events:
    """The last that happened, and who listens.

    Events are kept once for all listeners; a listener has no more than a place among them. One
    that doesn't keep up thus costs nothing, and learns that it has missed some.

    Parameters
    ----------
    kept : int
        Events that are kept for those who come back.
    listeners : int
        Who may listen at once.
    """

    def __init__(self, kept: int = _KEPT, listeners: int = _LISTENERS) -> None:
        self._events: deque[Event] = deque(maxlen=kept)
        self._count = 0
        # A server that was started again counts anew, and knows old places as none of its own.
        self._start = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._most, self._wakers = listeners, set[_Waker]()

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._wakers)

    @property
    def position(self) -> str:
        """The place of the last event: from here on, none is missed."""
        return self._place(self._count)

    def _place(self, count: int) -> str:
        return f"{self._start}-{count}"

    def publish(self, kind: str, told: dict[str, Any], *, token_id: int | None = None) -> None:
        """Tell what happened, from any thread; it returns at once.

        Parameters
        ----------
        kind : str
            What it is, as a word.
        told : dict
            JSON values.
        token_id : int, optional
            Of the token whose inspection it is about: who may only inspect hears of it alone.
        """
        self._add([(kind, told, token_id)])

    def _add(self, happened: Iterable[tuple[str, dict[str, Any], int | None]]) -> None:
        lines = [(kind, json.dumps(told), token_id) for kind, told, token_id in happened]
        with self._lock:
            for kind, data, token_id in lines:
                self._count += 1
                self._events.append(Event(self._place(self._count), kind, data, token_id))
            listeners = list(self._wakers)
        for waker in listeners:
            waker.wake()

    def inspected(self, answering: Answering, rows: Sequence[Inspection]) -> None:
        """Tell of inspections that were committed."""
        self._add(
            ("inspection", inspection_dict(row, answering.name, answering.number), row.token_id)
            for row in rows
        )

    def judged(self, inspection: Inspection, verdict: Verdict) -> None:
        """Tell what a person says of a part."""
        told = {"inspection": inspection.id, **verdict_dict(verdict)}
        self.publish("verdict", told, token_id=inspection.token_id)

    def changed(self, answering: Answering) -> None:
        """Tell that another version answers, or by another rule."""
        self.publish("model", {"name": answering.name, "version": answering.number})

    def warned(self, warning: DriftWarning) -> None:
        """Tell that photographs drift; a hook of `DriftWatcher.on_warning`."""
        self.publish("warning", warning_dict(warning))

    def since(self, position: str) -> tuple[list[Event], bool]:
        """Return what happened after a place, and whether all of it is still kept."""
        start, _, digits = position.rpartition("-")
        with self._lock:
            oldest = self._count - len(self._events)
            if start != self._start or not digits.isdecimal() or len(digits) > 18:
                return [], False
            seen = int(digits)
            if not oldest <= seen <= self._count:
                return [], False
            missing = self._count - seen
            return [self._events[index] for index in range(-missing, 0)], True

    async def listen(
        self, position: str | None, stopping: threading.Event, *, tick: float = 1.0
    ) -> AsyncGenerator[list[Event], None]:
        """Give what happens after a place, until the server stops.

        Parameters
        ----------
        position : str or None
            Where who listens has been; None for now.
        stopping : threading.Event
            Set once the server stops.
        tick : float
            Seconds after which an empty list is given where nothing happens; one comes at once.

        Raises
        ------
        BusyError
            If too many listen.
        """
        waker = _Waker(asyncio.get_running_loop())
        with self._lock:
            if len(self._wakers) >= self._most:
                raise BusyError(f"{self._most} listen already, which is the most")
            self._wakers.add(waker)
        try:
            place = self.position if position is None else position
            while not stopping.is_set():
                waker.rest()
                found, whole = self.since(place)
                if not whole:
                    place = self.position
                    found = [Event(place, RESET, "{}")]
                if found:
                    place = found[-1].position
                yield found
                await waker.sleep(tick)
        finally:
            with self._lock:
                self._wakers.discard(waker)


class _Waker:
    """Wakes a coroutine from any thread, once however often it is asked to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._woken, self._asked = loop, asyncio.Event(), False

    def wake(self) -> None:
        if not self._asked:
            self._asked = True
            with contextlib.suppress(RuntimeError):  # the loop has ended, and who listened with it
                self._loop.call_soon_threadsafe(self._woken.set)

    def rest(self) -> None:
        # In this order: what happens in between wakes once too often rather than not at all.
        self._woken.clear()
        self._asked = False

    async def sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
