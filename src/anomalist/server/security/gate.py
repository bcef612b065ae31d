"""The gate that every request comes through, and every answer goes out by."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import anyio
from fastapi import FastAPI, HTTPException, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anomalist.errors import ServerError
from anomalist.server.auditing import network_of
from anomalist.server.principals import LOCAL, Principal
from anomalist.server.rates import Rates
from anomalist.server.security.answers import add_handlers, error_answer, failing_answer
from anomalist.server.security.bodies import Bodies
from anomalist.server.security.exchange import Exchange
from anomalist.server.security.headers import add_headers
from anomalist.server.security.origins import changes, from_elsewhere, wrong_host
from anomalist.server.security.signing import cookie_name
from anomalist.server.service import Service

# What is the same for everybody, and asks for nobody.
_STATIC = ("/static/", "/docs/static/")
_OPEN = (*_STATIC, "/healthz")
# Who isn't known, a second and at once, of one address.
_UNKNOWN_RATE, _UNKNOWN_BURST = 20.0, 100.0
# Threads that look up who asks, apart from those of routes, which may all wait for a model, and
# from those that write the audit log, which wait for others that write.
_LOOKUPS, _WRITERS = 4, 2
# What logs and metrics call a request whose client went before it was whole, as nginx does.
_GONE = 499
_log = logging.getLogger(__name__)
_access = logging.getLogger("anomalist.server.access")


def protect(app: FastAPI, service: Service) -> None:
    """Put the gate before an application, and have its errors told in one shape."""
    add_handlers(app)
    app.add_middleware(Gate, service=service)


class Gate:
    """Says who asks, and refuses what is asked from elsewhere, too often, or with too much.

    Parameters
    ----------
    app : ASGI application
        What answers.
    service : Service
        Whose settings, tokens and audit log hold.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        settings = service.settings
        self._bodies = Bodies(settings.max_bytes)
        self._known = Rates(settings.max_rate, 2 * settings.max_rate)
        self._unknown = Rates(_UNKNOWN_RATE, _UNKNOWN_BURST)
        self._lookups = anyio.CapacityLimiter(_LOOKUPS)
        self._writers = anyio.CapacityLimiter(_WRITERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client = scope.get("client")
        exchange = Exchange(scope["method"], scope["path"], client[0] if client else None)
        scope.setdefault("state", {})["exchange"] = exchange
        reader = self._bodies.reader(receive, known=False)
        started = False

        async def sender(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                static = exchange.path.startswith(_STATIC)
                add_headers(MutableHeaders(scope=message), exchange.id, static=static)
                await self._write_down(exchange, message["status"])
                self._tell(exchange, scope, message["status"])
            await send(message)

        request = Request(scope, receive)
        try:
            refusal = await self._refusal(exchange, headers, scope)
            if refusal is not None:
                answer = error_answer(
                    request, refusal.status_code, str(refusal.detail), refusal.headers
                )
                await answer(scope, receive, sender)
                return
            reader = self._bodies.reader(receive, known=exchange.principal is not None)
            await self._app(scope, reader, sender)
        except ServerError as error:  # the database can't say who asks
            if started:
                raise
            await failing_answer(request, error)(scope, receive, sender)
        except ClientDisconnect:
            # It is nobody's fault here, and nobody is there to be told.
            self._tell(exchange, scope, _GONE)
        except Exception:
            if not started:
                sentence = f"something went wrong here; the server's log tells of it: {exchange.id}"
                await error_answer(request, 500, sentence)(scope, receive, sender)
            raise  # with its traceback to the log
        finally:
            reader.release()

    async def _refusal(
        self, exchange: Exchange, headers: Headers, scope: Scope
    ) -> HTTPException | None:
        """Find out who asks; return why a request isn't let through."""
        settings = self._service.settings
        if (reason := wrong_host(headers, settings)) is not None:
            return HTTPException(403, reason)
        if exchange.path.startswith(_OPEN) and not changes(exchange.method):
            return None
        exchange.cookie = _cookie(headers, cookie_name(scope["scheme"], headers))
        exchange.principal, exchange.means = await anyio.to_thread.run_sync(
            self._who, headers, exchange.cookie, limiter=self._lookups
        )
        if exchange.means != "token" and (reason := from_elsewhere(exchange.method, headers)):
            return HTTPException(403, reason)
        if exchange.principal is None:
            wait = self._unknown.take(network_of(exchange.address))
        else:
            wait = self._known.take(exchange.principal.token_id)
        if wait > 0:
            seconds = str(int(wait) + 1)
            return HTTPException(429, "too many requests: wait a little", {"Retry-After": seconds})
        return self._bodies.refusal(
            headers.get("content-length"), known=exchange.principal is not None
        )

    def _who(self, headers: Mapping[str, str], cookie: str | None) -> tuple[Principal | None, str]:
        """Return who asks, and by what that is known."""
        service = self._service
        kind, _, token = headers.get("authorization", "").partition(" ")
        if (session := headers.get("x-amz-security-token")) is not None:
            kind, token = "bearer", session  # as Amazon's clients send it, see api/lookout.py
        if kind.lower() == "bearer":
            # A wrong token is nobody, whatever else comes with it.
            principal = service.tokens.find(token.strip())
            return principal, "nothing" if principal is None else "token"
        if cookie is not None and (principal := service.sign_ins.find(cookie)) is not None:
            return principal, "cookie"
        if service.settings.is_local and not _forwarded(headers) and not service.tokens.existed():
            return LOCAL, "local"
        return None, "nothing"

    async def _write_down(self, exchange: Exchange, status: int) -> None:
        """Add the row of the audit log, where one is due, before the answer goes out."""
        audit, detail = self._service.audit, {"method": exchange.method, "status": status}
        detail["request"] = exchange.id
        try:
            if status in (401, 403, 429):
                await anyio.to_thread.run_sync(
                    lambda: audit.refuse(
                        by=exchange.by,
                        address=exchange.address,
                        subject=exchange.path,
                        detail=detail,
                    ),
                    limiter=self._writers,
                )
            elif (
                status < 400
                and changes(exchange.method)
                and exchange.audited
                and exchange.role in ("review", "admin")
            ):
                await anyio.to_thread.run_sync(
                    lambda: audit.add(
                        exchange.action,
                        by=exchange.by,
                        address=exchange.address,
                        subject=exchange.subject or exchange.path,
                        detail=detail | exchange.detail,
                    ),
                    limiter=self._writers,
                )
        except Exception:
            _log.exception("the audit log can't be written")

    def _tell(self, exchange: Exchange, scope: Scope, status: int) -> None:
        """Count and log that a request is answered."""
        seconds = time.perf_counter() - exchange.began
        route = getattr(scope.get("route"), "path", "other")
        self._service.metrics.answered(exchange.method, route, status, seconds)
        _access.log(
            logging.DEBUG if exchange.path.startswith(_OPEN) else logging.INFO,
            "%s %s %s",
            exchange.method,
            exchange.path,
            status,
            extra={
                "method": exchange.method,
                "path": exchange.path,
                "status": status,
                "seconds": round(seconds, 6),
                "by": exchange.by,
                "address": exchange.address,
                "request": exchange.id,
            },
        )


def _cookie(headers: Headers, name: str) -> str | None:
    value = cookie_parser(headers.get("cookie", "")).get(name)
    return value or None


def _forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy hands a request on: then it isn't of this machine's own people."""
    names = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
    return any(name in headers for name in names)
