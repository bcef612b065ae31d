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
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, true
from sqlalchemy.orm import Session

from anomalist.errors import ParameterError, ServerError
from anomalist.server.addresses import Which, web_server
from anomalist.server.background import Background
from anomalist.server.database import Database
from anomalist.server.database.tables import DriftWarning, Inspection, Mark, now
from anomalist.server.drift import whole_warnings
from anomalist.server.memory import versions_by_id
from anomalist.server.telling import inspection_dict, warning_dict

_LOG = logging.getLogger(__name__)
SECRET = "ANOMALIST_WEBHOOK_SECRET"
_PREFIX = "whsec_"
_PATIENCE_S = 10.0
# Between tries: each twice as long.
_FIRST_S, _LONGEST_S = 1.0, 300.0
# One that is answered with an error of its own is given up after so many, about twenty minutes.
_TRIES = 12
# What a listener that is away or busy, or a proxy before it, answers: that says nothing of the
# message.
_LATER = (408, 425, 429, 502, 503, 504)
# What wasn't heard by then is given up.
_AGE = timedelta(days=1)
# What is left when the server stops is told within so long; the rest by the next server.
_LAST_S = 5.0
_TOGETHER, _LOOK_S, _KEEP_S = 100, 60.0, 0.5


@dataclass(frozen=True)
class _Telling:
    kind: str
    #: Its number among those of its kind.
    number: int
    at: datetime
    id: str
    body: bytes


class Webhook:
    """Posts inspections and warnings as JSON to an address, in their order.

    They are read from the database, where they are before anybody is answered, and how far they
    were heard is kept there too: none is lost where the server is stopped or killed. One that was
    heard just before a kill is told again, with the same id.

    Headers are those of the Standard Webhooks specification (version 1.0.0): ``webhook-id``,
    ``webhook-timestamp`` and, where there is a secret, ``webhook-signature``: ``v1,`` and the
    HMAC-SHA256 of id, timestamp and body, joined by dots, in base64. Any answer of 200 to 299 will
    do; otherwise it is told again, after 1, 2, 4 ... seconds and five minutes at most: for a day
    where the listener is away, 12 times where it answers with an error.

    Parameters
    ----------
    database : Database
        Where inspections and warnings are.
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

    def __init__(
        self, database: Database, url: str, which: Which = "all", secret: str | None = None
    ) -> None:
        self.name = f"webhook {web_server(url)}"
        self._database, self._url, self._key = database, url, _key_of(secret)
        self._asked = true() if which == "all" else Inspection.decision.in_(("anomalous", "unsure"))
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._background = Background(self.name, self._work)
        self._stopped, self._news = self._background.stopping, threading.Event()
        self._until = float("inf")
        #: Of each kind, the number of the last that was heard; and when that was laid down.
        self._marks: dict[str, int] = {}
        self._laid_down: dict[str, int] = {}
        self._laid_down_at = 0.0
        #: How many were heard, and how many lost.
        self.heard = self.lost = 0
        #: Why the last one wasn't heard yet; None where it was.
        self.trouble: str | None = None

    def wake(self, *_: object) -> None:
        """Have what was committed told soon."""
        self._news.set()

    def start(self) -> None:
        """Begin to tell, after what an earlier server told; at first, what comes from now on."""
        with self._database.session() as session:
            known = {row.kind: row.number for row in session.scalars(select(Mark))}
            for kind, number in _LAST.items():
                if kind not in known:
                    known[kind] = session.scalar(select(func.max(number))) or 0
                    session.add(Mark(kind=kind, number=known[kind]))
        self._marks, self._laid_down = dict(known), dict(known)
        self._background.start()

    def stop(self) -> None:
        """Tell what waits, for a few seconds, and end; the next server tells the rest."""
        self._until = time.monotonic() + _LAST_S
        self._stopped.set()
        self._news.set()
        self._background.stop()

    def fault(self) -> str | None:
        """Say why it ended before it was asked; None where it didn't."""
        return self._background.fault()

    def state(self) -> dict[str, Any]:
        """Return what is known of it as JSON values."""
        with self._database.reading() as session:
            waiting = sum(
                session.scalar(select(func.count()).where(condition)) or 0
                for condition in (self._new_inspections(), self._new_warnings())
            )
        return {
            "kind": "webhook",
            "name": self.name,
            "running": self._background.is_alive(),
            "heard": self.heard,
            "waiting": waiting,
            "lost": self.lost,
            "trouble": self.trouble,
        }

    def _new_inspections(self) -> ColumnElement[bool]:
        return (Inspection.number > self._marks.get("inspection", 0)) & self._asked

    def _new_warnings(self) -> ColumnElement[bool]:
        return DriftWarning.id > self._marks.get("warning", 0)

    def _work(self, stop: threading.Event) -> None:
        pause = _FIRST_S
        while not stop.is_set() or time.monotonic() < self._until:
            self._news.clear()
            try:
                if not self._tell_some():
                    self._lay_down()
                    if stop.is_set():
                        break
                    self._news.wait(_LOOK_S)
                pause = _FIRST_S
            except ServerError as error:  # the database is away: it goes on where it was
                _LOG.error("%s: %s", self.name, error)
                if stop.wait(pause):
                    break
                pause = min(2 * pause, _LONGEST_S)
        if self.lost:
            _LOG.warning("%s: %d were lost", self.name, self.lost)

    def _tell_some(self) -> bool:
        """Tell what comes next; whether there was anything, and time to tell it."""
        with self._database.reading() as session:
            last = {kind: session.scalar(select(func.max(n))) or 0 for kind, n in _LAST.items()}
            tellings = [*self._inspections(session), *self._warnings(session)]
        for telling in tellings:
            if not self._tell(telling):
                self._lay_down()
                return False
            self._marks[telling.kind] = telling.number
            if time.monotonic() - self._laid_down_at > _KEEP_S:
                self._lay_down()
        for kind, number in last.items():
            # What isn't asked for needn't be looked at again.
            if sum(telling.kind == kind for telling in tellings) < _TOGETHER:
                self._marks[kind] = max(self._marks[kind], number)
        return bool(tellings)

    def _inspections(self, session: Session) -> list[_Telling]:
        rows: Sequence[Inspection] = session.scalars(
            select(Inspection)
            .where(self._new_inspections())
            .order_by(Inspection.number)
            .limit(_TOGETHER)
        ).all()
        versions = versions_by_id(session) if rows else {}
        return [
            _Telling(
                "inspection",
                row.number,
                row.at,
                f"msg_{row.id}",
                _body("inspection", inspection_dict(row, *versions[row.version_id])),
            )
            for row in rows
        ]

    def _warnings(self, session: Session) -> list[_Telling]:
        asked = select(DriftWarning).where(self._new_warnings()).order_by(DriftWarning.id)
        return [
            _Telling(
                "warning",
                row.id,
                row.at,
                f"msg_{row.at:%Y%m%d%H%M%S%f}_{row.id}",
                _body("warning", warning_dict(row)),
            )
            for row in whole_warnings(session, asked.limit(_TOGETHER))
        ]

    def _lay_down(self) -> None:
        """Keep how far it was heard, for a server that starts again."""
        self._laid_down_at = time.monotonic()
        if self._marks == self._laid_down:
            return
        with self._database.session() as session:
            for mark in session.scalars(select(Mark)):
                mark.number = self._marks[mark.kind]
        self._laid_down = dict(self._marks)

    def _tell(self, telling: _Telling) -> bool:
        """Tell until it is heard or given up; False where the server stops before."""
        pause, refused = _FIRST_S, 0
        while True:
            left = self._until - time.monotonic()
            if left <= 0:
                return False
            self.trouble, of_message = self._try(telling, min(_PATIENCE_S, left))
            if self.trouble is None:
                self.heard += 1
                return True
            refused += of_message
            if refused >= _TRIES or now() - telling.at > _AGE:
                self.lost += 1
                _LOG.warning("%s: %s; given up: %s", self.name, self.trouble, telling.id)
                return True
            if self._stopped.is_set() and time.monotonic() + pause > self._until:
                return False
            if self._stopped.wait(pause) and time.monotonic() + pause > self._until:
                return False
            pause = min(2 * pause, _LONGEST_S)

    def _try(self, telling: _Telling, patience_s: float) -> tuple[str | None, bool]:
        """Post; return what went wrong, if anything did, and whether that may be the message's."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "anomalist",
            **self._signed(telling),
        }
        request = urllib.request.Request(self._url, telling.body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=patience_s) as answer:
                answer.read(1024)
        except urllib.error.HTTPError as error:
            error.close()
            return f"it answers {error.code}", error.code not in _LATER
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            return f"it can't be reached ({reason})", False
        return None, False

    def _signed(self, telling: _Telling) -> dict[str, str]:
        at = str(int(time.time()))
        headers = {"webhook-id": telling.id, "webhook-timestamp": at}
        if self._key is not None:
            content = b".".join((telling.id.encode(), at.encode(), telling.body))
            signature = hmac.digest(self._key, content, hashlib.sha256)
            headers["webhook-signature"] = f"v1,{base64.b64encode(signature).decode()}"
        return headers


# Where the number of the last of each kind stands.
_LAST = {"inspection": Inspection.number, "warning": DriftWarning.id}


def forget_marks(database: Database) -> None:
    """Forget how far a webhook was heard: a server without one leaves nothing to be told later."""
    with database.session() as session:
        session.execute(delete(Mark))


def _body(kind: str, told: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, kind: told}).encode()


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
