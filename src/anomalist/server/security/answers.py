"""How a refusal or a fault is told: one sentence, in one shape, for programs and for browsers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import DBAPIError, StatementError
from starlette.exceptions import HTTPException

from anomalist.errors import AnomalistError, BusyError, NotFoundError, ServerError, UnavailableError

SIGN_IN = "/sign-in"
_PROGRAMS = (
    *("/v1/", "/v2", "/2020-11-20/"),
    *("/metrics", "/healthz", "/readyz", "/openapi.json"),
)
_SENTENCES = {404: "there is nothing here", 405: "this isn't done with this method"}
_log = logging.getLogger(__name__)

#: How a page tells a fault to a person: of a request, a status and a sentence.
PageError = Callable[[Request, int, str], Response]


def for_person(request: Request) -> bool:
    """Whether a browser shows the answer to a person, rather than a program reading it."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(
        _PROGRAMS
    )


def error_answer(
    request: Request, status: int, sentence: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that tells an error.

    A program gets ``{"error": sentence}``. A person who hasn't signed in is led to where that is
    done, and otherwise sees what ``app.state.page_error`` (a `PageError`) makes of it, where the
    page has set it.
    """
    headers = dict(headers or {})
    # What was asked for may hold half a character, which can't be sent back.
    sentence = sentence.encode(errors="replace").decode()
    sign_in = f"{SIGN_IN}?next={quote(request.url.path + _query(request), safe='/')}"
    if status == 401 and "hx-request" in request.headers:
        headers["HX-Redirect"] = SIGN_IN
    elif status == 401 and for_person(request) and request.method == "GET":
        return RedirectResponse(sign_in, 303)
    page: PageError | None = getattr(request.app.state, "page_error", None)
    if page is not None and for_person(request):
        answer = page(request, status, sentence)
        answer.headers.update(headers)
        return answer
    return JSONResponse({"error": sentence}, status, headers)


def _query(request: Request) -> str:
    return f"?{request.url.query}" if request.url.query else ""


def failing_answer(request: Request, error: ServerError) -> Response:
    """Return that the server can't answer now; why names places that are for its log alone."""
    _log.error("%s", error)
    sentence = "the server can't answer now: why, its log says"
    return error_answer(request, 503, sentence, {"Retry-After": "5"})


def add_handlers(app: FastAPI) -> None:
    """Have an application tell its errors so."""

    @app.exception_handler(AnomalistError)
    def _told(request: Request, error: AnomalistError) -> Response:
        if isinstance(error, NotFoundError):
            return error_answer(request, 404, str(error))
        if isinstance(error, BusyError):
            return error_answer(request, 503, str(error), {"Retry-After": "1"})
        if isinstance(error, UnavailableError):
            return error_answer(request, 503, str(error))
        if isinstance(error, ServerError):
            return failing_answer(request, error)
        return error_answer(request, 422, str(error))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        sentence = str(error.detail)
        if error.status_code in _SENTENCES and sentence in ("Not Found", "Method Not Allowed"):
            sentence = _SENTENCES[error.status_code]
        return error_answer(request, error.status_code, sentence, error.headers)

    @app.exception_handler(RequestValidationError)
    def _validated(request: Request, error: RequestValidationError) -> Response:
        return error_answer(request, 422, "; ".join(_sentence(one) for one in error.errors()[:5]))

    def _value(request: Request, error: Exception) -> Response:
        origin = error.orig if isinstance(error, StatementError) else error
        if isinstance(origin, (ValueError, OverflowError)) or type(origin).__name__ == "DataError":
            return error_answer(request, 422, "a value is too large, or no text that can be kept")
        raise error

    for value in (StatementError, DBAPIError):
        app.add_exception_handler(value, _value)


def _sentence(error: Mapping[str, Any]) -> str:
    """Return what pydantic says of one value, with the place where it stands."""
    kind, *place = (str(part) for part in error["loc"])
    text = str(error["msg"])
    text = text[:1].lower() + text[1:]
    return f"{'.'.join(place) or 'the ' + kind}: {text}"
