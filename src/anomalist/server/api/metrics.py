"""``GET /metrics``: how the server does, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from anomalist.server.api.asking import Asked, require

router = APIRouter(tags=["health"])


@router.get("/metrics", dependencies=[require("inspect")], response_class=Response)
def metrics(service: Asked, request: Request) -> Response:
    """Return all metrics in the text format of Prometheus, or as OpenMetrics where accepted."""
    text, media_type = service.metrics.told(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": media_type})
