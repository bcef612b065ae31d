"""Whether a request comes from our own pages: browsers bring along who they are signed in as.

Another site may make a browser send requests here, with the cookie, or to a server of this machine
that asks for no token. Browsers say where a request comes from in ``Sec-Fetch-Site`` (W3C, Fetch
Metadata Request Headers) and, where the server isn't reached by https or as localhost, in
``Origin``. What says neither is no browser, and can't be made to act by another site.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from anomalist.server.settings import ServerSettings

_READING = ("GET", "HEAD", "OPTIONS")
_HERE = ("127.0.0.1", "localhost", "::1")


def changes(method: str) -> bool:
    """Whether a request of a method may change something."""
    return method not in _READING


def wrong_host(headers: Headers, settings: ServerSettings) -> str | None:
    """Tell why a request isn't meant for this server, by the name that it was reached under.

    A site can have its own name lead to 127.0.0.1 once its page is open (DNS rebinding): its
    requests are then of one origin with a server here, but under a name that isn't its own.
    """
    if not settings.is_local and not settings.trusted_hosts:
        return None  # who comes by network needs a token, which no other site has
    host = headers.get("host", "")
    name = _name(host)
    if name in {*_HERE, settings.host.lower(), *(h.lower() for h in settings.trusted_hosts)}:
        return None
    return (
        f"this server isn't called {host!r}: open it as http://127.0.0.1, or start it with"
        " --trusted_hosts NAME"
    )


def from_elsewhere(method: str, headers: Headers) -> str | None:
    """Tell why a request that a browser signs for its user is refused; None for one of ours."""
    refusal = "another site asks for this: only this server's own pages may"
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site in ("same-origin", "none"):
            return None
        opens = headers.get("sec-fetch-mode") == "navigate" and method in ("GET", "HEAD")
        framed = headers.get("sec-fetch-dest") in ("frame", "iframe", "embed", "object")
        return None if opens and not framed else refusal  # a link may lead here
    origin = headers.get("origin")
    if origin is None or not changes(method):
        return None
    if origin != "null" and _netloc(origin) == headers.get("host", "").lower():
        return None
    return refusal


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
