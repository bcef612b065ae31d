"""``GET /v1/events``: what happens, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

import anyio
from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from starlette.types import Message, Send

from anomalist.errors import ServerError
from anomalist.server.api.asking import Asked, require
from anomalist.server.events import RESET, Event
from anomalist.server.principals import Principal

router = APIRouter(prefix="/v1", tags=["events"])

# Who listens asks again after so long.
_LONGEST_S = 15 * 60
# How often it is looked whether who listens still may: its token may have been revoked.
_ALLOWED_S = 1.0
# Who doesn't read for so long is let go.
_PATIENCE_S = 20
# So that a proxy, which ends what is silent, doesn't.
_SILENCE_TICKS = 15
# Of nobody's inspections.
_FOR_ALL = (RESET, "model")


class EventStream(StreamingResponse):
    """Events as a browser's ``EventSource`` reads them."""

    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        """Send what comes, to who reads it."""

        async def impatient(message: Message) -> None:
            await asyncio.wait_for(send(message), _PATIENCE_S)

        try:
            await super().stream_response(impatient)
        except TimeoutError:
            return


@router.get("/events", response_class=EventStream)
async def events(
    service: Asked,
    principal: Annotated[Principal, require("inspect")],
    after: str | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventStream:
    """Tell what happens from now on, or after an event, to who may read it.

    Kinds are ``inspection``, ``verdict`` and ``warning``, each as elsewhere, ``model`` where
    another version answers, and ``reset`` where more was missed than is kept: ask for what there
    is. The stream ends within seconds once the token is revoked or has expired.
    """
    heard = service.events.listen(last_event_id or after, service.stopping)
    nothing: list[Event] = []
    first = await anext(heard, nothing)  # so that being one too many is told as such

    async def lines() -> AsyncIterator[bytes]:
        ends = time.monotonic() + _LONGEST_S
        asked = time.monotonic()
        silent = 0
        # Of its own: threads of routes may all wait for a model.
        thread = anyio.CapacityLimiter(1)
        async with aclosing(heard):
            yield b"retry: 2000\n\n" + _encoded(first, principal)
            async for found in heard:
                if time.monotonic() - asked >= _ALLOWED_S:
                    try:
                        allowed = await anyio.to_thread.run_sync(
                            service.tokens.let_in, principal.token_id, limiter=thread
                        )
                    except ServerError:  # it can't be told: who comes back is asked again
                        allowed = False
                    if not allowed:
                        return
                    asked = time.monotonic()
                mine = _encoded(found, principal)
                silent = 0 if mine else silent + 1
                if mine:
                    yield mine
                elif silent % _SILENCE_TICKS == 0:
                    yield b":\n\n"
                if time.monotonic() > ends:
                    return

    return EventStream(lines(), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


def _encoded(found: list[Event], principal: Principal) -> bytes:
    """Return the events that who listens may read, as they are sent."""
    return "".join(
        f"id: {event.position}\nevent: {event.kind}\ndata: {event.data}\n\n"
        for event in found
        if event.kind in _FOR_ALL
        or principal.may("review")
        or (event.token_id is not None and event.token_id == principal.token_id)
    ).encode()
