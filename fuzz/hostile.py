"""Requests as nobody should send them, made of an application's own routes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

# What has broken servers: ends of ranges, other scripts, other languages, other places.
TEXTS = (
    "", " ", "0", "-1", "1", "1.5", "1e309", "-1e309", "NaN", "inf", "null", "true", "[]", "{}",
    str(2**31), str(2**63), str(-(2**63) - 1), str(10**30), "9" * 5000, "0x10", "1_0", "²",
    "\0", "a\0b", "\n", "\r\nX-Injected: 1", "\x7f", "\u202e", "\ufeff", "é", "日本", "😀" * 50,
    "A" * 10_000, "%", "%00", "%ff", "..", "../../../../etc/passwd", "..\\..\\win.ini",
    "/etc/passwd", "//elsewhere.example/", "http://169.254.169.254/", "file:///etc/passwd",
    "' OR 1=1 --", "'; DROP TABLE inspections; --", "\\", '"', "%' ESCAPE '", "_", "*",
    "=HYPERLINK(\"http://elsewhere.example\")", "<script>alert(1)</script>", "{{7*7}}", "${7*7}",
    "2026-11-28T14:00:00+00:00", "2026-13-45", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "2026-11-28", "1e18", "-0.0", "good", "defective", "anomalous",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, [], {}, [[]], [None] * 50,
    {"a": {"b": [1, 2, {"c": None}]}}, [0, 0, 10, 10], [-1, -1, 1e9, float("nan")], float("inf"),
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW")
TYPES = (
    "application/json", "application/x-www-form-urlencoded", "text/plain", "image/png",
    "application/octet-stream", "multipart/form-data", "multipart/form-data; boundary=",
    "multipart/form-data; boundary=----x; charset=utf-7", "application/json; charset=utf-16",
    "application/xml", "", "a/b/c", "text/html; q=\xff",
)  # fmt: skip
HEADERS = (
    ("Accept", "text/html"), ("Accept", "*/*;q=nonsense"), ("Range", "bytes=0-0,5-2,-9"),
    ("If-None-Match", '"a", W/"b", *'), ("If-Modified-Since", "now"), ("Last-Event-ID", "\xff"),
    ("Idempotency-Key", "k" * 5000), ("Idempotency-Key", "same"), ("Cookie", "anomalist-80=x; a"),
    ("Cookie", "; = ;==" * 100), ("Authorization", "Basic Og=="), ("Authorization", "Bearer"),
    ("Content-Encoding", "gzip"), ("Expect", "100-continue"), ("HX-Request", "true"),
    ("Sec-Fetch-Site", "cross-site"), ("Origin", "null"), ("X-Forwarded-For", "203.0.113.1, x"),
    ("X-Forwarded-Proto", "gopher"), ("X-Form-Token", "\xe9"), ("Upgrade", "websocket"),
    ("Inference-Header-Content-Length", "-5"), ("Inference-Header-Content-Length", "99999999999"),
    ("X-Amz-Target", "LookoutVision.DetectAnomalies"), ("X-Long", "x" * 20_000),
)  # fmt: skip


@dataclass(frozen=True)
class Route:
    """A route as it can be asked.

    Parameters
    ----------
    method, path : str
        With ``{name}`` where something is filled in.
    names : tuple of str
        Of parameters in the query and of fields in forms and objects.
    """

    method: str
    path: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A request as it is sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def bytes(self) -> bytes:
        """Return the request as it goes over the wire."""
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


@dataclass
class Hostile:
    """Makes requests.

    Parameters
    ----------
    routes : list of Route
        What can be asked.
    known : dict of str to list of str
        Values that exist, by the name of the parameter, so that some requests come far.
    files : list of bytes
        Photographs.
    """

    routes: Sequence[Route]
    known: dict[str, list[str]]
    files: Sequence[bytes]
    host: str = "127.0.0.1"
    _fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = {name for route in self.routes for name in route.names}
        self._fields = tuple(sorted(names))

    def make(self, rng: np.random.Generator, token: str | None) -> Asked:
        """Make one request, of who holds a token."""
        route = self.routes[rng.integers(len(self.routes))]
        method = route.method if rng.random() < 0.92 else _of(rng, METHODS)
        target = self._path(rng, route.path) + self._query(rng, route)
        kind, body = self._body(rng, route)
        headers = [("Host", self.host if rng.random() < 0.98 else _of(rng, TEXTS))]
        if token is not None:
            headers.append(("Authorization", f"Bearer {token}"))
        form = self.known.get("form_token")
        if form and method == "POST" and rng.random() < 0.8:
            headers.append(("X-Form-Token", form[0]))
        headers += [_of(rng, HEADERS) for _ in range(rng.integers(3) if rng.random() < 0.4 else 0)]
        if kind is not None:
            headers.append(("Content-Type", kind if rng.random() < 0.9 else _of(rng, TYPES)))
        if body or method in ("POST", "PUT", "PATCH"):
            length = str(len(body)) if rng.random() < 0.97 else _of(rng, TEXTS)
            headers.append(("Content-Length", length))
        headers.append(("Connection", "close"))
        # What would end a header begins another request: that is tried with bytes, not here.
        clean = tuple((name, _one_line(value)) for name, value in headers)
        return Asked(method, target, clean, body)

    def _value(self, rng: np.random.Generator, name: str, *, fits: float = 0.5) -> str:
        values = self.known.get(name)
        if values and rng.random() < fits:
            return str(_of(rng, values))
        return str(_of(rng, TEXTS))

    def _path(self, rng: np.random.Generator, path: str) -> str:
        pieces = []
        for piece in path.replace(":path}", "}").split("/"):
            if piece.startswith("{") and piece.endswith("}"):
                safe = "" if rng.random() < 0.8 else "/.%"
                piece = quote(self._value(rng, piece[1:-1], fits=0.7), safe=safe)
            pieces.append(piece)
        target = "/".join(pieces)[:9000].replace(" ", "%20")
        if rng.random() < 0.03:
            target += _of(rng, ("/", "//", "/..", "/%2e%2e/x", ";a=b", "%00", "?", "#x", "/\xff"))
        return target or "/"

    def _query(self, rng: np.random.Generator, route: Route) -> str:
        # What a page reads by itself isn't listed as its own.
        some = [name for name in self._fields if rng.random() < 0.1]
        names = [name for name in route.names if rng.random() < 0.35]
        names += some if rng.random() < 0.2 else []
        pairs = [f"{name}={quote(self._value(rng, name, fits=0.7), safe='')}" for name in names]
        if rng.random() < 0.05:
            pairs.append(_of(rng, ("&&==&", "%", "a=%zz", "\xff=1", "x" * 5000)))
        return "?" + "&".join(pairs) if pairs else ""

    def _body(self, rng: np.random.Generator, route: Route) -> tuple[str | None, bytes]:
        if route.method not in ("POST", "PUT", "PATCH") and rng.random() < 0.95:
            return None, b""
        names = [*route.names, *(self._fields if rng.random() < 0.1 else ())]
        choice = rng.random()
        if choice < 0.4:
            return "application/json", self._json(rng, names)
        if choice < 0.55:
            pairs = "&".join(f"{n}={quote(self._value(rng, n), safe='')}" for n in names)
            return "application/x-www-form-urlencoded", pairs.encode()
        if choice < 0.85:
            return self._multipart(rng, names)
        if choice < 0.95:
            return "application/octet-stream", self._file(rng)
        return None, b""

    def _json(self, rng: np.random.Generator, names: Sequence[str]) -> bytes:
        choice = rng.random()
        if choice < 0.05:
            return _of(rng, (b"[" * 100_000, b'{"a":' * 5000, b"{", b'"\\ud800"', b"\xff\xfe{}",
                             b"nul", b"[1" + b"0" * 10_000 + b"]"))  # fmt: skip
        fields = {}
        for name in names:
            if rng.random() < 0.8:
                plain = rng.random() < 0.7
                fields[name] = self._value(rng, name) if plain else _of(rng, VALUES)
                if plain and rng.random() < 0.3:
                    with contextlib.suppress(ValueError):
                        fields[name] = json.loads(str(fields[name]))
        value: Any = fields if rng.random() < 0.95 else _of(rng, VALUES)
        return json.dumps(value).encode()

    def _multipart(self, rng: np.random.Generator, names: Sequence[str]) -> tuple[str, bytes]:
        body = b""
        for name in [*names, *["file"] * int(rng.integers(1, 4))]:
            if name in ("file", "files", "image") or rng.random() < 0.1:
                called = _one_line(_of(rng, TEXTS)).replace('"', "%22")
                head = f'Content-Disposition: form-data; name="{name}"; filename="{called}"'
                content = self._file(rng)
            elif rng.random() < 0.5:
                head = f'Content-Disposition: form-data; name="{name}"'
                content = self._value(rng, name).encode()
            else:
                continue
            body += b"--x\r\n" + head.encode("utf-8", "replace") + b"\r\n\r\n" + content + b"\r\n"
        body += b"--x--\r\n"
        if rng.random() < 0.1:
            body = body[: rng.integers(len(body))]
        return "multipart/form-data; boundary=x", body

    def _file(self, rng: np.random.Generator) -> bytes:
        content = self.files[rng.integers(len(self.files))]
        if rng.random() < 0.5:
            return content
        mutable = bytearray(content)
        for place in rng.integers(len(mutable), size=rng.integers(1, 20)):
            mutable[place] = rng.integers(256)
        return bytes(mutable[: rng.integers(1, len(mutable) + 1)])


def routes_of(app: FastAPI) -> list[Route]:
    """Return all routes of an application."""
    found = []
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            names = tuple(sorted(_names(context.dependant)))
            found += [
                Route(method, str(context.path), names) for method in sorted(context.methods or ())
            ]
    return found


def _names(dependant: Dependant) -> set[str]:
    names = {one.alias for one in [*dependant.query_params, *dependant.body_params]}
    for one in dependant.body_params:
        names |= set(getattr(one.field_info.annotation, "model_fields", {}))
    return names.union(*(_names(inner) for inner in dependant.dependencies))


def _of(rng: np.random.Generator, values: Sequence[Any]) -> Any:
    return values[rng.integers(len(values))]


def _one_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "").replace("\0", "")
