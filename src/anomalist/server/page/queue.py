"""What a person should look at first, one after the other."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from anomalist.server.api.asking import Asked, require
from anomalist.server.page.filtering import Choice
from anomalist.server.page.live import cameras
from anomalist.server.page.rendering import render
from anomalist.server.principals import Principal

router = APIRouter()

_SHOWN = 48


@router.get("/queue")
def queue(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("review")],
    chosen: Choice,
) -> Response:
    """Show what nobody has judged, the unsure and the surprising first."""
    page = service.review.page(chosen.filters, limit=_SHOWN)
    return render(
        request, "queue.html", principal, parts=[record.as_dict() for record in page.records],
        waiting=service.review.waiting(chosen.filters), chosen=chosen,
        models=service.registry.names(), cameras=cameras(service, chosen),
    )  # fmt: skip
