"""``POST /v1/inspect``: photographs in, decisions out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse

from anomalist.errors import DataError
from anomalist.server.api.asking import Asked, require
from anomalist.server.api.uploads import BODY, answers_of, key_of, photographs_of, told
from anomalist.server.inspecting import Upload
from anomalist.server.principals import Principal

router = APIRouter(prefix="/v1", tags=["inspect"])


@router.post("/inspect", openapi_extra={"requestBody": BODY})
async def inspect(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("inspect")],
    model: str | None = None,
    camera: str | None = None,
    name: str | None = None,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> JSONResponse:
    """Inspect one photograph, as the body, or one or many, as files of a form.

    Each is answered for itself: one that can't be read has ``error``. With an ``Idempotency-Key``,
    a request that is sent again is answered as it was, and kept once.
    """
    photographs = await photographs_of(request, name)
    uploads = [
        Upload(
            name=called,
            data=data,
            source="http",
            camera=camera,
            token_id=principal.token_id,
            key=key_of(idempotency_key, place, len(photographs)),
        )
        for place, (called, data) in enumerate(photographs)
    ]
    names = [upload.name for upload in uploads]
    del photographs
    found = await answers_of(service, uploads, model)
    rows = [row for row in found if not isinstance(row, DataError)]
    inspections = iter(await told(service, rows))
    answers: list[dict[str, Any]] = [
        {"name": called, "error": str(row)} if isinstance(row, DataError) else next(inspections)
        for called, row in zip(names, found, strict=True)
    ]
    if rows:
        return JSONResponse({"inspections": answers})
    return JSONResponse({"error": answers[0]["error"], "inspections": answers}, 422)
