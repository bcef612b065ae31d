"""A webhook: what is decided is told to another server, signed, again until it is heard."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import logging
import os
import queue
import secrets
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from anomalist.errors import ParameterError
from anomalist.server.addresses import Which, web_server
from anomalist.server.database.tables import DriftWarning, Inspection
from anomalist.server.registry import Answering
from anomalist.server.telling import inspection_dict, warning_dict

_LOG = logging.getLogger(__name__)
SECRET = "ANOMALIST_WEBHOOK_SECRET"
_PREFIX = "whsec_"
_WAITING = 1000
_PATIENCE_S = 10.0
# Between tries: each twice as long, for about twenty minutes in all.
_FIRST_S, _LONGEST_S, _TRIES = 1.0, 300.0, 12
# What is left when the server stops is told within so long.
_LAST_S = 5.0


@dataclass(frozen=True)
class _Telling:
    id: str
    body: bytes


class Webhook:
    """Posts inspections and warnings as JSON to an address, in their order.

    Headers are those of the Standard Webhooks specification (version 1.0.0): ``webhook-id``,
    ``webhook-timestamp`` and, where there is a secret, ``webhook-signature``: ``v1,`` and the
    HMAC-SHA256 of id, timestamp and body, joined by dots, in base64. Any answer of 200 to 299 will
    do; otherwise it is told again, with the same id, after 1, 2, 4 ... seconds, 12 times at most.
    A thousand may wait; beyond, the oldest are lost, and counted.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``.
    which : {"all", "notable"}
        All inspections, or those that are anomalous or unsure; warnings always.
    secret : str, optional
        Signs; in base64 where it begins with ``whsec_``, as the specification has it.

    Raises
    ------
    ParameterError
        If the address or the secret is none.
    """

    def __init__(self, url: str, which: Which = "all", secret: str | None = None) -> None:
        self.name = f"webhook {web_server(url)}"
        self._url, self._which, self._key = url, which, _key_of(secret)
        self._waiting: queue.Queue[_Telling] = queue.Queue(_WAITING)
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._stopped = threading.Event()
        self._until = float("inf")
        self._thread = threading.Thread(target=self._run, name="anomalist-webhook", daemon=True)
        #: How many were heard, and how many lost.
        self.heard = self.lost = 0
        #: Why the last one wasn't heard yet; None where it was.
        self.trouble: str | None = None

    def tell_inspections(self, answering: Answering, rows: list[Inspection]) -> None:
        """Tell of what was committed; another thread does it."""
        for row in rows:
            if self._which == "all" or row.decision in ("anomalous", "unsure"):
                self._put("inspection", inspection_dict(row, answering.name, answering.number))

    def tell_warning(self, warning: DriftWarning) -> None:
        """Tell that photographs drift."""
        self._put("warning", warning_dict(warning))

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell what waits, for a few seconds, and end."""
        self._until = time.monotonic() + _LAST_S
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def has_ended(self) -> bool:
        """Whether it ended though nobody stopped it."""
        begun = self._thread.ident is not None
        return begun and not self._thread.is_alive() and not self._stopped.is_set()

    def state(self) -> dict[str, Any]:
        """Return what is known of it as JSON values."""
        return {
            "kind": "webhook",
            "name": self.name,
            "running": self._thread.is_alive(),
            "heard": self.heard,
            "waiting": self._waiting.qsize(),
            "lost": self.lost,
            "trouble": self.trouble,
        }

    def _put(self, kind: str, told: dict[str, Any]) -> None:
        body = json.dumps({"type": kind, kind: told}).encode()
        telling = _Telling(f"msg_{secrets.token_hex(12)}", body)
        while True:
            try:
                return self._waiting.put_nowait(telling)
            except queue.Full:
                self._lose()

    def _lose(self) -> None:
        try:
            self._waiting.get_nowait()
        except queue.Empty:
            return
        self.lost += 1
        _LOG.warning("%s: %d wait already; the oldest is lost", self.name, _WAITING)

    def _run(self) -> None:
        while not (self._stopped.is_set() and self._waiting.empty()):
            try:
                telling = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            if self._tell(telling):
                continue
            self.lost += 1
            if not self._stopped.is_set():
                _LOG.warning("%s: %s; given up: %s", self.name, self.trouble, telling.id)
        if self.lost:
            _LOG.warning("%s: %d were lost", self.name, self.lost)

    def _tell(self, telling: _Telling) -> bool:
        pause = _FIRST_S
        for left in reversed(range(_TRIES)):
            self.trouble = self._try(telling)
            if self.trouble is None:
                self.heard += 1
                return True
            if not left or time.monotonic() + pause > self._until:
                break
            if self._stopped.wait(pause) and time.monotonic() + pause > self._until:
                break
            pause = min(2 * pause, _LONGEST_S)
        return False

    def _try(self, telling: _Telling) -> str | None:
        """Post, and return what went wrong, if anything did."""
        left = self._until - time.monotonic()
        if left <= 0:
            return "the server stops"
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "anomalist",
            **self._signed(telling),
        }
        request = urllib.request.Request(self._url, telling.body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=min(_PATIENCE_S, left)) as answer:
                answer.read(1024)
        except urllib.error.HTTPError as error:
            error.close()
            return f"it answers {error.code}"
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            return f"it can't be reached ({reason})"
        return None

    def _signed(self, telling: _Telling) -> dict[str, str]:
        at = str(int(time.time()))
        headers = {"webhook-id": telling.id, "webhook-timestamp": at}
        if self._key is not None:
            content = b".".join((telling.id.encode(), at.encode(), telling.body))
            signature = hmac.digest(self._key, content, hashlib.sha256)
            headers["webhook-signature"] = f"v1,{base64.b64encode(signature).decode()}"
        return headers


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is told isn't passed on to whom nobody named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nowhere."""


def _key_of(secret: str | None) -> bytes | None:
    secret = os.environ.get(SECRET) if secret is None else secret
    if not secret:
        return None
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ParameterError(f"{SECRET}: after {_PREFIX} there must be base64") from None
