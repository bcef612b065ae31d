"""``/v1/drift``: whether what comes is still like what was learnt from."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from anomalist.server.api.asking import Asked, require
from anomalist.server.drift_series import drift_dict
from anomalist.server.principals import Principal
from anomalist.server.telling import warning_dict

router = APIRouter(prefix="/v1/drift", tags=["drift"])

Reviewing = Annotated[Principal, require("review")]
# A database counts no further.
Number = Annotated[int, Path(ge=1, lt=2**31)]


@router.get("")
def drift(
    service: Asked,
    _principal: Reviewing,
    model: str | None = None,
    camera: Annotated[
        str | None, Query(description="Empty for photographs that name none; else the last one.")
    ] = None,
    parts: Annotated[int, Query(ge=1, le=20_000)] = 1000,
    bins: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """Return what is watched of a model's photographs, its warnings, and what charts show."""
    answering = service.registry.answering(model)
    return drift_dict(service.database, service.drift, answering, camera, parts=parts, bins=bins)


@router.get("/warnings")
def warnings(
    service: Asked,
    _principal: Reviewing,
    model: str | None = None,
    open_only: Annotated[bool, Query(alias="open")] = False,
) -> dict[str, Any]:
    """List the last hundred warnings, of one model or of all."""
    model_id = None if model is None else service.registry.model_id(model)
    rows = service.drift.warnings(model_id, open_only=open_only)
    return {"warnings": [warning_dict(row) for row in rows], "next": None}


@router.post("/warnings/{number}/settle")
def settle(service: Asked, principal: Reviewing, number: Number) -> dict[str, Any]:
    """Take note of a warning, and of the others of its model and camera, and watch anew."""
    return warning_dict(service.drift.settle(number, by=principal.name))
