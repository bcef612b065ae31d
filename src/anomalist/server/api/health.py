"""Whether the server lives, and whether it is ready to inspect."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from anomalist.server.api.asking import Asked

router = APIRouter(tags=["health"])


@router.get("/healthz")
def live() -> dict[str, str]:
    """Answer that the process lives."""
    return {"status": "ok"}


@router.get("/readyz")
def ready(service: Asked) -> dict[str, Any]:
    """Answer which models are ready."""
    return {"status": "ok", "models": service.registry.names()}
