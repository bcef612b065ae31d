"""``/v1/sources``: what brings photographs by itself, and how it fares."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from anomalist.server.api.asking import Asked, require
from anomalist.server.principals import Principal

router = APIRouter(prefix="/v1", tags=["sources"])


@router.get("/sources")
def sources(service: Asked, _principal: Annotated[Principal, require("review")]) -> dict[str, Any]:
    """List watched folders, cameras, MQTT and the webhook, with what is in their way."""
    return {"sources": service.sources.states(), "next": None}
