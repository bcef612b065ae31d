"""What was inspected last, to be read from two metres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import func, select

from anomalist.server.api.asking import Asked, require
from anomalist.server.database.tables import Inspection, now
from anomalist.server.memory import conditions
from anomalist.server.page.filtering import Choice, Chosen
from anomalist.server.page.rendering import render
from anomalist.server.principals import Principal
from anomalist.server.service import Service

router = APIRouter()

# The one in large, and a strip of those before it.
_SHOWN = 25


@router.get("/")
def live(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("review")],
    chosen: Choice,
) -> Response:
    """Show the last parts, and go on showing them as they come."""
    return render(
        request, "live.html", principal, **_last(service, chosen), chosen=chosen,
        models=service.registry.names(), cameras=cameras(service, chosen),
    )  # fmt: skip


@router.get("/live/parts")
def parts(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("review")],
    chosen: Choice,
    after: str = "",
) -> Response:
    """Answer the part of the page that changes, or nothing where it would be the same."""
    shown = _last(service, chosen)
    if shown["state"] == after:
        return Response(status_code=204)
    return render(request, "live_update.html", principal, **shown, chosen=chosen)


def cameras(service: Service, chosen: Chosen) -> Sequence[str]:
    """Return the cameras that were ever named, by the only token that may be seen or by any."""
    name, token = Inspection.camera, chosen.filters.token_id
    asked = select(name).where(name.is_not(None)).distinct().order_by(name)
    if token is not None:
        asked = asked.where(Inspection.token_id == token)
    with service.database.reading() as session:
        found = session.scalars(asked)
        return [camera for camera in found if camera is not None]


def _last(service: Service, chosen: Chosen) -> dict[str, Any]:
    records = service.memory.page(chosen.filters, limit=_SHOWN).records
    with service.database.reading() as session:
        counted = session.execute(
            select(Inspection.decision, func.count())
            .where(*conditions(session, chosen.filters), Inspection.at > now() - timedelta(hours=1))
            .group_by(Inspection.decision)
        ).all()
    warnings = service.drift.warnings(open_only=True, most=3)
    faults = service.registry.faults()
    hour = {row[0]: row[1] for row in counted}
    newest = records[0].inspection.id if records else ""
    return {
        "parts": [record.as_dict() for record in records],
        "hour": hour,
        "in_hour": sum(hour.values()),
        "warnings": warnings,
        "faults": faults,
        "state": f"{newest}.{'.'.join([*(str(warning.id) for warning in warnings), *faults])}",
    }
