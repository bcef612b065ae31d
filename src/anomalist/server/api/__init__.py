"""What is asked over HTTP: a file a subject, each with its router."""

from fastapi import APIRouter

from anomalist.server.api import (
    audit,
    counts,
    drift,
    events,
    health,
    inspect,
    inspections,
    metrics,
    models,
    pictures,
    queue,
    reference,
    refits,
    tokens,
    verdicts,
)

ROUTERS: tuple[APIRouter, ...] = (
    audit.router,
    counts.router,
    drift.router,
    events.router,
    health.router,
    inspect.router,
    inspections.router,
    metrics.router,
    models.router,
    pictures.router,
    queue.router,
    reference.router,
    refits.router,
    tokens.router,
    verdicts.router,
)
