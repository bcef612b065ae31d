"""Tokens, and who did what: for those who look after the server."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from anomalist.errors import ParameterError
from anomalist.server.api.asking import Asked, require
from anomalist.server.database.tables import now
from anomalist.server.page.rendering import render
from anomalist.server.principals import Principal
from anomalist.server.security.exchange import exchange_of
from anomalist.server.security.signing import own_form
from anomalist.server.telling import audit_dict

router = APIRouter()

_LONGEST_DAYS = 36_500


@router.get("/tokens")
def show_tokens(
    request: Request, service: Asked, principal: Annotated[Principal, require("admin")]
) -> Response:
    """List tokens."""
    return render(request, "tokens.html", principal, tokens=service.tokens.list(), made=None)


@router.post("/tokens", dependencies=[own_form])
def make_token_here(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("admin")],
    name: Annotated[str, Form()],
    role: Annotated[str, Form()],
    days: Annotated[str, Form()] = "",
) -> Response:
    """Make a token and show it, this once."""
    exchange_of(request).audited = False  # in one transaction with the token
    token = service.tokens.make(name, role, expires=_until(days), by=principal.name)
    return render(
        request, "tokens.html", principal, tokens=service.tokens.list(), made=(name, token)
    )


@router.post("/tokens/revoke", dependencies=[own_form])
def revoke_token_here(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("admin")],
    name: Annotated[str, Form()],
) -> Response:
    """End a token."""
    exchange_of(request).audited = False
    service.tokens.revoke(name, by=principal.name)
    return RedirectResponse("/tokens", 303)


@router.get("/audit")
def show_audit(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("admin")],
    cursor: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    action: str = "",
) -> Response:
    """List what was done and refused, the newest first."""
    rows, following = service.audit.page(before=cursor, limit=100, action=action or None)
    told = [audit_dict(row) for row in rows]
    return render(
        request, "audit.html", principal, rows=told, following=following, cursor=cursor,
        action=action,
    )  # fmt: skip


def _until(days: str) -> datetime | None:
    if not days.strip():
        return None
    try:
        number = float(days)
    except ValueError:
        number = 0.0
    if not 0 < number < _LONGEST_DAYS:
        raise ParameterError(f"days must be a number from 0 to {_LONGEST_DAYS}, not {days!r}")
    return now() + timedelta(days=number)
