"""Whether what comes is still like what was learnt from: charts, and warnings to take note of."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import RedirectResponse

from anomalist.server.api.asking import Asked, require
from anomalist.server.drift_series import drift_dict
from anomalist.server.page import charts
from anomalist.server.page.rendering import render
from anomalist.server.principals import Principal
from anomalist.server.security.exchange import note
from anomalist.server.security.signing import own_form
from anomalist.server.telling import warning_dict

router = APIRouter()

# More lines of evidence can't be told apart.
_LINES = 4


@router.get("/drift")
def drift(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("review")],
    model: str = "",
    camera: str | None = None,
) -> Response:
    """Show how the photographs of a model and camera went."""
    names = service.registry.names()
    first = next((one.name for one in service.registry.all_answering()), names[0])
    answering = service.registry.answering(model or first)
    told = drift_dict(service.database, service.drift, answering, camera)
    open_ = [warning_dict(row) for row in service.drift.warnings(open_only=True)]
    return render(
        request, "drift.html", principal, told=told, plots=_plots(told), open=open_, models=names
    )


@router.post("/drift/warnings/{number}/settle", dependencies=[own_form])
def settle_drift(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("review")],
    number: Annotated[int, Path(ge=1, lt=2**31)],
) -> Response:
    """Take note of a warning; the watch begins anew."""
    told = warning_dict(service.drift.settle(number, by=principal.name))
    note(request, told["model"], condition=told["condition"], camera=told["camera"])
    query = urlencode({"model": told["model"], "camera": told["camera"] or ""})
    return RedirectResponse(f"/drift?{query}", 303)


def _plots(told: dict[str, Any]) -> dict[str, Any]:
    """Return the charts by name, of which those without a value are None."""
    bins, watch = told["bins"], told["watch"]
    evidence = watch["evidence"] if watch else []
    last = evidence[-1] if evidence else {}
    measures = watch["measures"] if watch else []
    by_evidence = sorted(measures, key=lambda m: -last.get(m["name"], 0.0))[:_LINES]
    total = sum(told["p_values"])
    return {
        "score": charts.spreads([one["score"] for one in bins], told["threshold"]),
        "alarms": charts.bars(
            [one["alarms"] / one["photographs"] for one in bins], told["alpha"], 1.0
        ),
        "p_values": charts.bars([count / total for count in told["p_values"]], 0.1, 1.0)
        if total
        else None,
        "evidence": charts.lines(
            [[point[m["name"]] for point in evidence] for m in by_evidence],
            watch["limit"] if watch else None,
        ),
        "measures": by_evidence,
        "looks": [
            (m, charts.spreads([one["looks"].get(m["name"]) for one in bins], m["usual"][1]))
            for m in by_evidence
        ],
    }
