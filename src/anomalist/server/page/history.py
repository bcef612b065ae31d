"""All that was inspected, with filters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from anomalist.server.api.asking import Asked, require
from anomalist.server.page.filtering import Choice
from anomalist.server.page.live import cameras
from anomalist.server.page.rendering import render
from anomalist.server.principals import Principal

router = APIRouter()
_ROWS = 50


@router.get("/history")
def history(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("inspect")],
    chosen: Choice,
    cursor: str | None = None,
) -> Response:
    """List inspections, the newest first."""
    page = service.memory.page(chosen.filters, cursor=cursor, limit=_ROWS)
    return render(
        request, "history.html", principal, parts=[record.as_dict() for record in page.records],
        following=page.next, cursor=cursor, chosen=chosen, models=service.registry.names(),
        cameras=cameras(service, chosen),
    )  # fmt: skip
