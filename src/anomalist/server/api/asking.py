"""What every route needs: the service, and who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from anomalist.server.principals import Principal, Role
from anomalist.server.security.exchange import exchange_of
from anomalist.server.service import Service


def service_of(request: Request) -> Service:
    """Return the service that answers."""
    service: Service = request.app.state.service
    return service


def principal_of(request: Request) -> Principal:
    """Return who asks, as the gate has found out."""
    principal = exchange_of(request).principal
    if principal is None:
        raise HTTPException(401, "a token is needed", {"WWW-Authenticate": "Bearer"})
    return principal


def require(role: Role) -> Any:
    """Return the dependency of a route that takes a role; it gives who asks."""

    def check(
        request: Request, principal: Annotated[Principal, Depends(principal_of)]
    ) -> Principal:
        if not principal.may(role):
            raise HTTPException(403, f"this takes the role {role}")
        exchange = exchange_of(request)
        exchange.role, exchange.action = role, request.scope["route"].name.replace("_", " ")
        return principal

    check.role = role  # type: ignore[attr-defined]
    dependency: Callable[..., Principal] = check
    return Depends(dependency)


Asked = Annotated[Service, Depends(service_of)]
