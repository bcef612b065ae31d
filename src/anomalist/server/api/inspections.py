"""``GET /v1/inspections``: what was inspected."""

from __future__ import annotations

from datetime import datetime
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from anomalist.server.api.asking import Asked, require
from anomalist.server.memory import Filters
from anomalist.server.principals import Principal
from anomalist.server.table import csv_lines
from anomalist.server.telling import verdict_dict

router = APIRouter(prefix="/v1", tags=["inspections"])


def filters_of(
    principal: Annotated[Principal, require("inspect")],
    model: str | None = None,
    version: int | None = None,
    decision: str | None = None,
    verdict: str | None = None,
    camera: str | None = None,
    source: str | None = None,
    since: Annotated[datetime | None, Query(alias="from")] = None,
    until: Annotated[datetime | None, Query(alias="to")] = None,
    min_score: float | None = None,
    max_score: float | None = None,
    name: str | None = None,
    sampled: bool = False,
) -> Filters:
    """Return which inspections are asked for, among those that who asks may see."""
    return Filters(
        model=model,
        version=version,
        decision=decision,
        verdict=verdict,
        camera=camera,
        source=source,
        since=since,
        until=until,
        min_score=min_score,
        max_score=max_score,
        name=name,
        sampled=sampled,
        token_id=None if principal.may("review") else principal.token_id,
    )


Filtered = Annotated[Filters, Depends(filters_of)]


@router.get("/inspections", dependencies=[require("inspect")])
def inspections(
    service: Asked, filters: Filtered, cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """Return inspections, the newest first; those that came by one's own token, or all."""
    page = service.memory.page(filters, cursor=cursor, limit=limit)
    return {"inspections": [record.as_dict() for record in page.records], "next": page.next}


@router.get("/inspections.csv", dependencies=[require("inspect")], response_class=StreamingResponse)
def table(service: Asked, filters: Filtered) -> StreamingResponse:
    """Return inspections as a table, the newest first, with the verdicts that hold."""
    lines = csv_lines(service.memory.all(filters))
    first = next(lines)  # so that what can't be asked for is told as such
    return StreamingResponse(
        chain([first], lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="inspections.csv"'},
    )


@router.get("/inspections/{inspection_id}", dependencies=[require("inspect")])
def inspection(service: Asked, filters: Filtered, inspection_id: str) -> dict[str, Any]:
    """Return an inspection, all verdicts, and those before and after it among the filtered."""
    record = service.memory.get(inspection_id, Filters(token_id=filters.token_id))
    previous, following = service.memory.beside(record.inspection, filters)
    history = service.memory.history(record.inspection)
    return {
        **record.as_dict(),
        "verdicts": [verdict_dict(verdict) for verdict in history],
        "previous": previous,
        "next": following,
    }
