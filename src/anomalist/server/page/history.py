"""All that was inspected, with filters."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from anomalist.server.api.asking import Asked, require
from anomalist.server.page.filtering import Choice, Chosen
from anomalist.server.page.live import cameras
from anomalist.server.page.rendering import render
from anomalist.server.principals import Principal
from anomalist.server.service import Service

router = APIRouter()
_ROWS = 50


@router.get("/history")
def history(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("inspect")],
    chosen: Choice,
    cursor: str | None = None,
    by: str = "",
    zone: str = "UTC",
) -> Response:
    """List inspections, the newest first, and count them by day, camera or version."""
    page = service.memory.page(chosen.filters, cursor=cursor, limit=_ROWS)
    may_count = principal.may("review")
    counts = _counts(service, chosen, by, zone) if by and may_count else None
    query = urlencode({**chosen.given, **({"by": by, "zone": zone} if counts is not None else {})})
    return render(
        request, "history.html", principal, parts=[record.as_dict() for record in page.records],
        following=page.next, cursor=cursor, chosen=chosen, models=service.registry.names(),
        cameras=cameras(service, chosen), counts=counts, by=by, may_count=may_count, query=query,
    )  # fmt: skip


def _counts(service: Service, chosen: Chosen, by: str, zone: str) -> list[dict[str, Any]]:
    """Return rows of counts, the last day first."""
    # How often it was wrong is asked of all that were judged, whatever was decided.
    filters = replace(
        chosen.filters, decision=None, verdict=None, min_score=None, max_score=None, name=None
    )
    rows = [
        {"group": one.group, **one.as_dict()}
        for one in service.counting.count(filters, by=by, zone=zone or "UTC")
    ]
    return rows[::-1] if by == "day" else rows
