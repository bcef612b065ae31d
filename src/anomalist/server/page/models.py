"""Models: which version answers, how a candidate compares, and what people decide about them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from anomalist.errors import ParameterError
from anomalist.server.api.asking import Asked, require
from anomalist.server.memory import Filters
from anomalist.server.page.rendering import render
from anomalist.server.principals import Principal
from anomalist.server.refitting import OPEN
from anomalist.server.security.exchange import note as note_audit
from anomalist.server.security.signing import own_form
from anomalist.server.telling import history_dict, model_dict, refit_dict

router = APIRouter()

Admin = Annotated[Principal, require("admin")]
Reviewing = Annotated[Principal, require("review")]
Text = Annotated[str, Form()]
Number = Annotated[int, Form(ge=1, lt=2**31)]


@router.get("/models")
def list_models(request: Request, service: Asked, principal: Reviewing) -> Response:
    """List the models."""
    told = [model_dict(history) for history in service.versions.histories()]
    if len(service.registry.names()) == 1:
        return _to(told[0]["name"])
    return render(request, "models.html", principal, models=told, faults=service.registry.faults())


@router.get("/models/{name}")
def show_model(
    request: Request, service: Asked, principal: Reviewing, name: str, refit: str = ""
) -> Response:
    """Show a model's versions, its candidate beside the one that answers, and all decisions."""
    history = service.versions.history(name)
    told, answering = history_dict(history), history.answering
    chosen = None if answering is None else answering.detector.summary_.get("choice")
    rows, numbers = service.refitter.of_model(name)
    refits = [refit_dict(row, name, numbers) for row in rows]
    compared = [one for one in refits if one["comparison"] is not None]
    waits = [one for one in compared if one["version"] in told["candidates"]]
    shown = next((one for one in compared if one["id"] == refit), None) or next(iter(waits), None)
    counts = service.counting.count(Filters(model=name), by="version")
    return render(
        request, "model.html", principal, model=told, refits=refits, compared=shown, chosen=chosen,
        open=next((one for one in refits if one["state"] in OPEN), None),
        counts=[{"version": one.group, **one.as_dict()} for one in counts],
    )  # fmt: skip


@router.get("/models/{name}/refit")
def refit_progress(request: Request, service: Asked, principal: Reviewing, name: str) -> Response:
    """Answer how far the candidate is; once it is over, have the page loaded again."""
    rows, numbers = service.refitter.of_model(name)
    told = next((refit_dict(row, name, numbers) for row in rows if row.state in OPEN), None)
    if told is None:
        return Response(headers={"HX-Refresh": "true"})
    return render(request, "refit_progress.html", principal, open=told)


@router.post("/models/{name}/refit", dependencies=[own_form])
def refit_here(
    request: Request, service: Asked, principal: Admin, name: str,
    calibrate_on: Text = "others", note: Text = "",
) -> Response:  # fmt: skip
    """Ask for a candidate."""
    service.refitter.ask(name, by=principal.name, note=note, calibrate_on=calibrate_on)
    note_audit(request, name, calibrate_on=calibrate_on)
    return _to(name)


@router.post("/models/{name}/refit/cancel", dependencies=[own_form])
def cancel_refit_here(
    request: Request, service: Asked, principal: Admin, name: str, refit: Text
) -> Response:
    """Leave the candidate that is being built."""
    service.refitter.cancel(refit, by=principal.name)
    note_audit(request, name, refit=refit)
    return _to(name)


@router.post("/models/{name}/promote", dependencies=[own_form])
def promote_here(
    request: Request, service: Asked, principal: Admin, name: str, version: Number, note: Text = ""
) -> Response:
    """Have a version answer: a candidate, or an earlier one again."""
    service.versions.promote(name, version, by=principal.name, note=note)
    note_audit(request, name, version=version)
    return _to(name)


@router.post("/models/{name}/drop", dependencies=[own_form])
def drop_here(
    request: Request, service: Asked, principal: Admin, name: str, version: Number, note: Text = ""
) -> Response:
    """Leave a candidate."""
    service.versions.drop(name, version, by=principal.name, note=note)
    note_audit(request, name, version=version)
    return _to(name)


@router.post("/models/{name}/settings", dependencies=[own_form])
def set_here(
    request: Request, service: Asked, principal: Admin, name: str,
    alpha: Text = "", threshold: Text = "", note: Text = "",
) -> Response:  # fmt: skip
    """Change what decisions are for; both empty go back to what the model was fitted for."""
    rate, score = _number("percent", alpha), _number("threshold", threshold)
    rate = None if rate is None else rate / 100
    service.registry.decide_by(name, alpha=rate, threshold=score, by=principal.name, note=note)
    note_audit(request, name, alpha=rate, threshold=score)
    return _to(name)


def _to(name: str) -> Response:
    return RedirectResponse(f"/models/{quote(name, safe='')}", 303)


def _number(what: str, text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise ParameterError(f"{what} must be a number, not {text!r}") from None
