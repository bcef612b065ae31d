"""What is asked over HTTP: a file a subject, each with its router."""

from fastapi import APIRouter

from anomalist.server.api import (
    counts,
    drift,
    events,
    health,
    inspect,
    inspections,
    models,
    queue,
    verdicts,
)

ROUTERS: tuple[APIRouter, ...] = (
    counts.router,
    drift.router,
    events.router,
    health.router,
    inspect.router,
    inspections.router,
    models.router,
    queue.router,
    verdicts.router,
)
