"""``POST /v1/inspect``: photographs in, decisions out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile

from anomalist.errors import DataError
from anomalist.server.api.asking import Asked, require
from anomalist.server.inspecting import Upload
from anomalist.server.memory import versions_by_id
from anomalist.server.principals import Principal
from anomalist.server.telling import inspection_dict

router = APIRouter(prefix="/v1", tags=["inspect"])


@router.post("/inspect")
def inspect(
    service: Asked,
    principal: Annotated[Principal, require("inspect")],
    file: Annotated[list[UploadFile], File()],
    model: str | None = None,
    camera: str | None = None,
) -> dict[str, Any]:
    """Inspect one photograph or many."""
    uploads = [
        Upload(
            name=one.filename or "photograph",
            data=one.file.read(),
            source="http",
            camera=camera,
            token_id=principal.token_id,
        )
        for one in file
    ]
    found = service.inspector.inspect(uploads, model)
    with service.database.reading() as session:
        versions = versions_by_id(session)
    return {
        "inspections": [
            {"error": str(row)}
            if isinstance(row, DataError)
            else inspection_dict(row, *versions[row.version_id])
            for row in found
        ]
    }
