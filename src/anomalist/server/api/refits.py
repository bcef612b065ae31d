"""``/v1/models/NAME/refit`` and ``/v1/refits``: candidates that learn what people confirmed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from anomalist.errors import NotFoundError
from anomalist.server.api.asking import Asked, require
from anomalist.server.comparing import pictures_named
from anomalist.server.principals import Principal
from anomalist.server.telling import refit_dict

router = APIRouter(prefix="/v1", tags=["refits"])


class Order(BaseModel):
    """What a candidate is asked for with."""

    model_config = ConfigDict(extra="forbid")
    calibrate_on: Annotated[
        Literal["others", "added", "all"],
        Field(
            description="Which images give the threshold: the training images, the confirmed ones"
            " (where people judged all that came), or all."
        ),
    ] = "others"
    note: Annotated[str, Field(max_length=2000)] = ""


@router.post("/models/{name}/refit", status_code=202)
def refit(
    service: Asked,
    name: str,
    principal: Annotated[Principal, require("admin")],
    order: Order | None = None,
) -> dict[str, Any]:
    """Ask for a candidate from the training images and all good parts that people confirmed."""
    asked = order or Order()
    row = service.refitter.ask(
        name, by=principal.name, note=asked.note, calibrate_on=asked.calibrate_on
    )
    return refit_dict(*service.refitter.find(row.id))


@router.get("/models/{name}/refits")
def refits(
    service: Asked, name: str, _principal: Annotated[Principal, require("review")]
) -> dict[str, Any]:
    """List the candidates that were asked for, the last first."""
    rows, numbers = service.refitter.of_model(name)
    return {"refits": [refit_dict(row, name, numbers) for row in rows], "next": None}


@router.get("/refits/{refit_id}")
def progress(
    service: Asked, refit_id: str, _principal: Annotated[Principal, require("review")]
) -> dict[str, Any]:
    """Return how far a candidate is, and once it is there how it compares."""
    return refit_dict(*service.refitter.find(refit_id))


@router.post("/refits/{refit_id}/cancel")
def cancel(
    service: Asked, refit_id: str, principal: Annotated[Principal, require("admin")]
) -> dict[str, Any]:
    """Leave what is waiting or being built."""
    service.refitter.cancel(refit_id, by=principal.name)
    return refit_dict(*service.refitter.find(refit_id))


@router.get("/refits/{refit_id}/pictures/{key}", response_class=Response)
def picture(
    service: Asked, refit_id: str, key: str, _principal: Annotated[Principal, require("review")]
) -> Response:
    """Return a picture of a comparison, as PNG."""
    row, _, _ = service.refitter.find(refit_id)
    known = [] if row.comparison is None else pictures_named(row.comparison)
    data = None
    if key in {side["picture"] for side in known}:
        data = service.refitter.pictures.get(key)
    if data is None:
        raise NotFoundError(f"no picture {key!r} of refit {refit_id!r}")
    return Response(data, media_type="image/png")
