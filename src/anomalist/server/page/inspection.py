"""One inspection: photograph, heatmap, what was decided, and what people say of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from anomalist.errors import ParameterError
from anomalist.server.api.asking import Asked, require
from anomalist.server.memory import Filters
from anomalist.server.page.filtering import Choice, Chosen
from anomalist.server.page.rendering import render
from anomalist.server.principals import Principal
from anomalist.server.security.exchange import note as note_audit
from anomalist.server.security.signing import own_form
from anomalist.server.service import Service

router = APIRouter()


@router.get("/inspections/{part}")
def inspection(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("inspect")],
    chosen: Choice,
    part: str,
    queue: bool = False,
    last: str = "",
) -> Response:
    """Show an inspection whole, between those before and after it among the chosen.

    In the review queue, the one after it is the next that waits, and the one before it is the last
    that was judged.
    """
    record = service.memory.get(part, Filters(token_id=chosen.filters.token_id))
    older, newer = (
        (_waiting_after(service, chosen, part), last)
        if queue
        else service.memory.beside(record.inspection, chosen.filters)
    )
    return render(
        request, "inspection.html", principal, part=record.as_dict(), held=record.verdict,
        verdicts=service.memory.history(record.inspection), older=older, newer=newer,
        query=_query(chosen, queue), queue=queue,
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
    queue: bool = False,
) -> Response:
    """Keep what a person says of the part, and show it again, or the next that waits."""
    service.verdicts.give(
        part, verdict, by=principal.name, kind=kind or None, region=_box(region), note=note
    )
    note_audit(request, part, verdict=verdict)
    if not queue:
        return RedirectResponse(f"/inspections/{part}{_query(chosen, queue)}", 303)
    following = _waiting_after(service, chosen, part)
    if following is None:
        return RedirectResponse("/queue" + (f"?{chosen.query}" if chosen.query else ""), 303)
    return RedirectResponse(f"/inspections/{following}{_query(chosen, queue)}&last={part}", 303)


def _query(chosen: Chosen, queue: bool) -> str:
    """What a link to another of the chosen carries."""
    parts = ["queue=1"] * queue + [chosen.query] * bool(chosen.query)
    return "?" + "&".join(parts) if parts else ""


def _waiting_after(service: Service, chosen: Chosen, part: str) -> str | None:
    """The next that waits for review; the first, where this one never did."""
    try:
        page = service.review.page(chosen.filters, cursor=part, limit=1)
    except ParameterError:
        page = service.review.page(chosen.filters, limit=1)
    return page.records[0].inspection.id if page.records else None


def _box(text: str) -> list[float] | None:
    if not text:
        return None
    try:
        return [float(value) for value in text.split(",")]
    except ValueError:
        raise ParameterError(f"region: {text!r} can't be read") from None
