"""``GET /v1/audit``: who did what, and who was refused."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from anomalist.server.api.asking import Asked, require
from anomalist.server.telling import audit_dict

router = APIRouter(prefix="/v1", tags=["safety"])


@router.get("/audit", dependencies=[require("admin")])
def audit(
    service: Asked,
    cursor: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    action: str | None = None,
) -> dict[str, Any]:
    """Return what was done and refused, the newest first."""
    rows, following = service.audit.page(before=cursor, limit=limit, action=action)
    return {"audit": [audit_dict(row) for row in rows], "next": following}
