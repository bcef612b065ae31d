"""A photograph that a person drops in, or takes with the browser's camera."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from anomalist.errors import AnomalistError, DataError
from anomalist.server.api.asking import Asked, require
from anomalist.server.api.uploads import answers_of, photographs_of, told
from anomalist.server.inspecting import Upload
from anomalist.server.page.rendering import render
from anomalist.server.principals import Principal
from anomalist.server.security.signing import own_form
from anomalist.server.texts import plain_text

router = APIRouter()


@router.get("/try")
def offer(
    request: Request, service: Asked, principal: Annotated[Principal, require("inspect")]
) -> Response:
    """Ask for photographs."""
    return render(
        request, "try.html", principal, models=service.registry.names(), model="", found=None
    )


@router.post("/try", dependencies=[own_form])
async def inspect_here(
    request: Request, service: Asked, principal: Annotated[Principal, require("inspect")]
) -> Response:
    """Inspect photographs, and show what was found."""
    form = await request.form()
    model = str(form.get("model") or "") or None
    found: list[dict[str, Any]] = []
    try:
        camera = plain_text(str(form.get("camera") or ""), "camera") or None
        if not any(isinstance(one, UploadFile) for one in form.values()):
            raise DataError("choose a photograph first")  # what has no file was read already
        photographs = [one for one in await photographs_of(request, None) if one[1]]
        uploads = [
            Upload(name=name, data=data, source="page", camera=camera, token_id=principal.token_id)
            for name, data in photographs
        ]
        if not uploads:
            raise DataError("choose a photograph first")
        answers = await answers_of(service, uploads, model)
        rows = [row for row in answers if not isinstance(row, DataError)]
        parts = iter(await told(service, rows))
        for upload, answer in zip(uploads, answers, strict=True):
            fault: dict[str, Any] = {"name": upload.name, "error": str(answer)}
            found.append(fault if isinstance(answer, DataError) else next(parts))
    except AnomalistError as error:
        found = [{"name": "", "error": str(error)}]
    # A part of the page has no status of its own: htmx shows only those that succeed.
    template = "try_found.html" if "hx-request" in request.headers else "try.html"
    return render(
        request, template, principal, models=service.registry.names(), model=model, found=found
    )
