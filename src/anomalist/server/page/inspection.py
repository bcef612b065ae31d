"""One inspection: photograph, heatmap, what was decided, and what people say of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from anomalist.errors import ParameterError
from anomalist.server.api.asking import Asked, require
from anomalist.server.memory import Filters
from anomalist.server.page.filtering import Choice
from anomalist.server.page.rendering import render
from anomalist.server.principals import Principal
from anomalist.server.security.exchange import note as note_audit
from anomalist.server.security.signing import own_form

router = APIRouter()


@router.get("/inspections/{part}")
def inspection(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("inspect")],
    chosen: Choice,
    part: str,
) -> Response:
    """Show an inspection whole, between those before and after it among the chosen."""
    record = service.memory.get(part, Filters(token_id=chosen.filters.token_id))
    older, newer = service.memory.beside(record.inspection, chosen.filters)
    return render(
        request, "inspection.html", principal, part=record.as_dict(), held=record.verdict,
        verdicts=service.memory.history(record.inspection), older=older, newer=newer,
        chosen=chosen,
    )  # fmt: skip


@router.post("/inspections/{part}/verdict", dependencies=[own_form])
def judge(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("review")],
    chosen: Choice,
    part: str,
    verdict: Annotated[str, Form()],
    kind: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
    region: Annotated[str, Form()] = "",
) -> Response:
    """Keep what a person says of the part, and show it again."""
    service.verdicts.give(
        part, verdict, by=principal.name, kind=kind or None, region=_box(region), note=note
    )
    note_audit(request, part, verdict=verdict)
    query = f"?{chosen.query}" if chosen.query else ""
    return RedirectResponse(f"/inspections/{part}{query}", 303)


def _box(text: str) -> list[float] | None:
    if not text:
        return None
    try:
        return [float(value) for value in text.split(",")]
    except ValueError:
        raise ParameterError(f"region: {text!r} can't be read") from None
