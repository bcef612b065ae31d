"""Whether the server lives, and whether it is ready to inspect."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from anomalist.server.api.asking import Asked

router = APIRouter(tags=["health"])


@router.get("/healthz")
def live() -> dict[str, str]:
    """Answer that the process lives."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "Some part doesn't do its work."}})
def ready(service: Asked, response: Response) -> dict[str, Any]:
    """Answer which models are ready, or which parts aren't; why, the log says.

    A model whose file is damaged or gone is told in ``damaged``, with what is wrong; the others are
    ready.
    """
    faults, damaged = service.faults(), service.registry.faults()
    told: dict[str, Any] = {"damaged": damaged} if damaged else {}
    if faults:
        response.status_code = 503
        return {"status": "not ready", "faults": sorted(faults), **told}
    models = [one.name for one in service.registry.all_answering()]
    return {"status": "ok", "models": models, **told}
