"""Photographs as they come in over HTTP: in a form, or as the body itself."""

from __future__ import annotations

from asyncio import wrap_future
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from anomalist.errors import DataError, ParameterError
from anomalist.server.database.tables import Inspection
from anomalist.server.inspecting import Upload
from anomalist.server.memory import versions_by_id
from anomalist.server.service import Service
from anomalist.server.telling import inspection_dict

FIELD = "file"
_FIELDS = 32
#: What the documentation of a route says of its body.
BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {
                    FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}
                },
            }
        },
        "image/*": {"schema": {"type": "string", "format": "binary"}},
    },
}


async def photographs_of(request: Request, name: str | None) -> list[tuple[str, bytes]]:
    """Return names and bytes of the photographs that a request brings.

    Parameters
    ----------
    request : Request
        A form with one or more files, or the bytes of one.
    name : str, optional
        What the body is called where it is the photograph.

    Raises
    ------
    ParameterError
        If there is none, or too many.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        body = await request.body()
        if not body:
            raise ParameterError(
                f"there is no photograph: send it as the body, or in a form as {FIELD!r}"
            )
        return [(name or "photograph", body)]
    most = request.app.state.service.settings.max_images
    # One more is let in, so that it is we who say that it is too many.
    async with request.form(max_files=most + 1, max_fields=_FIELDS) as form:
        files = [one for one in form.getlist(FIELD) if isinstance(one, UploadFile)]
        if not files:
            raise ParameterError(f"the form has no file that is called {FIELD!r}")
        if len(files) > most:
            raise ParameterError(f"one request brings at most {most} photographs")
        return [(one.filename or "photograph", await one.read()) for one in files]


def key_of(key: str | None, place: int, count: int) -> str | None:
    """Return the key of one photograph of a request."""
    return key if key is None or count == 1 else f"{key}#{place}"


async def answers_of(
    service: Service, uploads: Sequence[Upload], model: str | None
) -> list[Inspection | DataError]:
    """Have photographs inspected, and wait for it while other requests are served."""
    if any(upload.key is not None for upload in uploads):  # which are looked up
        waiting = await run_in_threadpool(service.inspector.submit, uploads, model)
    else:
        waiting = service.inspector.submit(uploads, model)
    del uploads
    answers: list[Inspection | DataError] = []
    for answer in waiting:
        try:
            row: Inspection = await wrap_future(answer)
            answers.append(row)
        except DataError as error:
            answers.append(error)
    return answers


async def told(service: Service, rows: Sequence[Inspection]) -> list[dict[str, Any]]:
    """Return inspections as JSON values."""
    versions = service.inspector.versions
    if any(row.version_id not in versions for row in rows):  # answered before, by another version
        versions = await run_in_threadpool(_versions, service)
    return [inspection_dict(row, *versions[row.version_id]) for row in rows]


def _versions(service: Service) -> dict[int, tuple[str, int]]:
    with service.database.reading() as session:
        return versions_by_id(session)
