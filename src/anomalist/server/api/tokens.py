"""``/v1/tokens``: who may ask, and for what."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from anomalist.server.api.asking import Asked, require
from anomalist.server.database.tables import now
from anomalist.server.principals import Principal, Role
from anomalist.server.security.exchange import exchange_of

router = APIRouter(prefix="/v1/tokens", tags=["safety"])


class NewToken(BaseModel):
    """What is asked for of a token."""

    name: str = Field(description="Of the person or the machine that will hold it.")
    role: Role = "inspect"
    days: float | None = Field(
        None, gt=0, lt=36_500, description="How long it is good; by default until it is revoked."
    )


@router.get("", dependencies=[require("admin")])
def tokens(service: Asked) -> dict[str, Any]:
    """Return all tokens; of none what would let someone in."""
    return {"tokens": service.tokens.list(), "next": None}


@router.post("", status_code=201)
def make_token(
    service: Asked,
    request: Request,
    asked: NewToken,
    principal: Annotated[Principal, require("admin")],
) -> dict[str, Any]:
    """Make a token, which is told this once."""
    exchange_of(request).audited = False  # in one transaction with the token
    expires = None if asked.days is None else now() + timedelta(days=asked.days)
    token = service.tokens.make(asked.name, asked.role, expires=expires, by=principal.name)
    return {"name": asked.name, "role": asked.role, "token": token}


@router.delete("/{name:path}")
def revoke_token(
    service: Asked, request: Request, name: str, principal: Annotated[Principal, require("admin")]
) -> dict[str, Any]:
    """End a token, from this moment on."""
    exchange_of(request).audited = False
    service.tokens.revoke(name, by=principal.name)
    return {"name": name, "state": "revoked"}
