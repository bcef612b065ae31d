"""``POST /v1/inspections/ID/verdict``: what a person says of a part."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from anomalist.server.api.asking import Asked, require
from anomalist.server.principals import Principal
from anomalist.server.telling import verdict_dict

router = APIRouter(prefix="/v1", tags=["verdicts"])


class Given(BaseModel):
    """What is said."""

    model_config = ConfigDict(extra="forbid")

    verdict: str
    kind: str | None = None
    region: list[float] | None = None
    note: str = ""


@router.post("/inspections/{inspection_id}/verdict", status_code=201)
def give(
    service: Asked,
    principal: Annotated[Principal, require("review")],
    inspection_id: str,
    given: Given,
) -> dict[str, Any]:
    """Keep a verdict; those before it stay in the inspection's history, and this one holds."""
    verdict = service.verdicts.give(
        inspection_id,
        given.verdict,
        by=principal.name,
        kind=given.kind,
        region=given.region,
        note=given.note,
    )
    return {"inspection": inspection_id, **verdict_dict(verdict)}
