"""Signing in and out, and forms, for the routes of the page.

A page's route calls `sign_in` with the answer that it is about to give, which gets the cookie::

    response = RedirectResponse(own_path(next), 303)
    if sign_in(request, response, token) is None:
        ...  # show the form again, with status 401

`sign_out` likewise. Each form of the page, and htmx by ``hx-headers``, carries
``form_token(request)``: as a hidden field ``form_token`` or as the header ``X-Form-Token``. Each
route of the page that changes something has ``dependencies=[own_form]``.
"""

from __future__ import annotations

from fastapi import Depends, HTTPException, Request, Response
from starlette.datastructures import Headers

from anomalist.server.principals import Principal
from anomalist.server.security.exchange import exchange_of
from anomalist.server.service import Service

FIELD = "form_token"
HEADER = "X-Form-Token"


def cookie_name(scheme: str, headers: Headers) -> str:
    """Return the cookie's name: browsers don't tell ports apart, and two servers may share a name.

    By https it has the prefix that only a site itself can set (RFC 6265bis, 4.1.3.2).
    """
    if scheme == "https":
        return "__Host-anomalist"
    port = headers.get("host", "").rpartition("]")[2].rpartition(":")[2]
    return f"anomalist-{port if port.isdigit() and port.isascii() else 80}"


def sign_in(request: Request, response: Response, token: str) -> Principal | None:
    """Sign a browser in with a token, if it is one, and give the answer its cookie."""
    sign_ins = _service(request).sign_ins
    exchange = exchange_of(request)
    begun = sign_ins.begin(token, address=exchange.address)
    if begun is None:
        return None
    if exchange.cookie is not None:
        sign_ins.end(exchange.cookie, address=exchange.address)
    cookie, principal = begun
    secure = request.url.scheme == "https"
    response.set_cookie(
        cookie_name(request.url.scheme, request.headers),
        cookie,
        max_age=int(sign_ins.lasts.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",  # a link in a message may lead to a part; requests that change have more
    )
    return principal


def sign_out(request: Request, response: Response) -> None:
    """Sign a browser out, and have it forget its cookie."""
    exchange = exchange_of(request)
    if exchange.cookie is not None:
        _service(request).sign_ins.end(exchange.cookie, address=exchange.address)
    response.delete_cookie(
        cookie_name(request.url.scheme, request.headers),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def form_token(request: Request) -> str:
    """Return what forms carry that are made for this browser."""
    return _service(request).sign_ins.form_token(exchange_of(request).cookie)


async def _own_form(request: Request) -> None:
    given = request.headers.get(HEADER)
    if given is None:
        found = (await request.form()).get(FIELD)
        given = found if isinstance(found, str) else ""
    if not _service(request).sign_ins.is_form_token(given, exchange_of(request).cookie):
        await request.close()  # files that came with it
        raise HTTPException(403, "this form is too old: load the page again")


#: The dependency of a page's route that changes something: the form was made for this browser.
own_form = Depends(_own_form)


def own_path(path: str | None) -> str:
    """Return where to go after signing in: a path of this server, whatever was asked for.

    Examples
    --------
    >>> own_path("/history?model=bottle")
    '/history?model=bottle'
    >>> own_path("//elsewhere.example"), own_path("https://elsewhere.example"), own_path(None)
    ('/', '/', '/')
    """
    if path is None or not path.startswith("/") or path[1:2] in ("/", "\\"):
        return "/"
    return path if path.isprintable() else "/"


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
