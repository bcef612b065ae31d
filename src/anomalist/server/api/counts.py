"""``GET /v1/counts``: misses and false alarms among the judged."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from anomalist.server.api.asking import Asked, require
from anomalist.server.api.inspections import Filtered
from anomalist.server.counting import LEVEL

router = APIRouter(prefix="/v1", tags=["counts"])


@router.get("/counts", dependencies=[require("review")])
def counts(
    service: Asked, filters: Filtered, by: str = "version", zone: str = "UTC"
) -> dict[str, Any]:
    """Count decisions and verdicts of each model, by ``version``, ``camera`` or ``day``.

    Rates are of the parts that people judged, with intervals of Clopper and Pearson. They are
    those of all parts only as far as what was judged was picked without regard to what it is, as
    with ``sampled=true``.
    """
    found = service.counting.count(filters, by=by, zone=zone)
    return {
        "counts": [
            {by: str(one.group) if by == "day" else one.group, **one.as_dict()} for one in found
        ],
        "level": LEVEL,
        "next": None,
    }
