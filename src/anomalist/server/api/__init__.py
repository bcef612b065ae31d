"""What is asked over HTTP: a file a subject, each with its router."""

from fastapi import APIRouter

from anomalist.server.api import (
    audit,
    counts,
    drift,
    events,
    health,
    inference,
    inspect,
    inspections,
    lookout,
    metrics,
    models,
    pictures,
    queue,
    reference,
    refits,
    sources,
    tokens,
    verdicts,
)

ROUTERS: tuple[APIRouter, ...] = (
    audit.router,
    counts.router,
    drift.router,
    events.router,
    health.router,
    inference.router,
    inspect.router,
    inspections.router,
    lookout.router,
    metrics.router,
    models.router,
    pictures.router,
    queue.router,
    reference.router,
    refits.router,
    sources.router,
    tokens.router,
    verdicts.router,
)
