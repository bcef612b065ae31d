"""How much may be sent: told while it comes in, before memory or disk fills."""

from __future__ import annotations

import asyncio

from fastapi import HTTPException
from starlette.types import Message, Receive

# Who isn't known may sign in, and no more.
UNKNOWN_BYTES = 64 * 1024
# A client that sends nothing for so long is gone.
_STALL_S = 30.0
# All that comes in at one time, in uploads of the largest size.
_UPLOADS = 8


class Bodies:
    """What comes in at this moment, of all requests together.

    Parameters
    ----------
    largest : int
        Bytes of one request.
    stall_s : float
        How long a client may send nothing.
    """

    def __init__(self, largest: int, stall_s: float = _STALL_S) -> None:
        self.largest, self._stall_s = largest, stall_s
        self._most = _UPLOADS * largest
        self._inside = 0

    def refusal(self, announced: str | None, *, known: bool) -> HTTPException | None:
        """Return why a request of a length isn't taken, before anything of it is read."""
        if announced is None:
            return None
        if not (announced.isascii() and announced.isdigit()):
            return HTTPException(400, "its Content-Length is no number")
        # int() of a very long number takes long, or is refused.
        length = int(announced) if len(announced) < 20 else self.largest + 1
        return self._too_large(length, known=known)

    def _too_large(self, length: int, *, known: bool) -> HTTPException | None:
        most = self.largest if known else min(self.largest, UNKNOWN_BYTES)
        if length > most:
            shown = f"{most / 1e6:g} MB" if known else f"{most} bytes without a token"
            return HTTPException(
                413,
                f"a request may hold at most {shown}"
                + (": send fewer or smaller photographs at once" if known else ""),
                {"Connection": "close"},
            )
        return None

    def reader(self, receive: Receive, *, known: bool) -> Reader:
        """Return what reads a request within the bounds."""
        return Reader(self, receive, known=known)


class Reader:
    """Reads one request; what it holds counts until it is released."""

    def __init__(self, bodies: Bodies, receive: Receive, *, known: bool) -> None:
        self._bodies, self._receive, self._known = bodies, receive, known
        self._length = 0
        self._whole = False

    async def __call__(self) -> Message:
        """Return the next piece.

        Raises
        ------
        HTTPException
            413 where it is too large, 408 where nothing comes, 503 where all requests together
            hold too much.
        """
        if self._whole:  # what comes next is that the client has gone
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._bodies._stall_s)
        except TimeoutError:
            raise HTTPException(
                408, "nothing more of the request came", {"Connection": "close"}
            ) from None
        if message["type"] != "http.request":
            return message
        self._whole = not message.get("more_body", False)
        size = len(message.get("body", b""))
        self._length += size
        self._bodies._inside += size
        refusal = self._bodies._too_large(self._length, known=self._known)
        if refusal is not None:
            raise refusal
        if self._bodies._inside > self._bodies._most:
            raise HTTPException(
                503, "too much is being sent at once", {"Retry-After": "1", "Connection": "close"}
            )
        return message

    def release(self) -> None:
        """Say that the request was answered."""
        self._bodies._inside -= self._length
        self._length = 0
