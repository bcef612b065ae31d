"""``GET /v1/queue``: what a person should look at first."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from anomalist.server.api.asking import Asked, require
from anomalist.server.api.inspections import Filtered

router = APIRouter(prefix="/v1", tags=["verdicts"])


@router.get("/queue", dependencies=[require("review")])
def queue(
    service: Asked, filters: Filtered, cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """Return what nobody has judged: the unsure first, then the anomalous.

    Of each, those that a good part is most rarely like come first; of equals, the newest.
    """
    page = service.review.page(filters, cursor=cursor, limit=limit)
    return {
        "inspections": [record.as_dict() for record in page.records],
        "waiting": service.review.waiting(filters),
        "next": page.next,
    }
