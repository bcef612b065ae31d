"""What every route needs: the service, and who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from anomalist.server.principals import LOCAL, Principal, Role
from anomalist.server.service import Service


def service_of(request: Request) -> Service:
    """Return the service that answers."""
    service: Service = request.app.state.service
    return service


def principal_of(request: Request) -> Principal:
    """Return who asks, by the token that comes with the request."""
    tokens = service_of(request).tokens
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and (found := tokens.find(token)) is not None:
        return found
    if not tokens.exist():
        return LOCAL
    raise HTTPException(401, "a token is needed", {"WWW-Authenticate": "Bearer"})


def require(role: Role) -> Any:
    """Return the dependency of a route that takes a role; it gives who asks."""

    def check(principal: Annotated[Principal, Depends(principal_of)]) -> Principal:
        if not principal.may(role):
            raise HTTPException(403, f"this takes the role {role}")
        return principal

    check.role = role  # type: ignore[attr-defined]
    dependency: Callable[..., Principal] = check
    return Depends(dependency)


Asked = Annotated[Service, Depends(service_of)]
