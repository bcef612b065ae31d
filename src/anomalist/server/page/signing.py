"""Signing in with a token, and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from anomalist.server.page.rendering import render
from anomalist.server.security.answers import SIGN_IN
from anomalist.server.security.signing import own_form, own_path, sign_in, sign_out

router = APIRouter()


@router.get(SIGN_IN)
def ask_to_sign_in(request: Request, next: str = "/") -> Response:  # noqa: A002
    """Ask for a token."""
    return render(request, "sign_in.html", next=own_path(next), wrong=False)


@router.post(SIGN_IN, dependencies=[own_form])
def begin(
    request: Request,
    token: Annotated[str, Form(max_length=1000)],
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Sign in, and go where the person wanted to."""
    answer = RedirectResponse(own_path(next), 303)
    principal = sign_in(request, answer, token)
    if principal is None:
        return render(request, "sign_in.html", status=401, next=own_path(next), wrong=True)
    if own_path(next) == "/" and not principal.may("review"):
        answer.headers["Location"] = "/try"  # what is live isn't theirs to see
    return answer


@router.post("/sign-out", dependencies=[own_form])
def end(request: Request) -> Response:
    """Sign out."""
    answer = RedirectResponse(SIGN_IN, 303)
    sign_out(request, answer)
    return answer
