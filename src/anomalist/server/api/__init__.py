"""What is asked over HTTP: a file a subject, each with its router."""

from fastapi import APIRouter

from anomalist.server.api import drift, events, health, inspect, inspections, models, verdicts

ROUTERS: tuple[APIRouter, ...] = (
    drift.router,
    events.router,
    health.router,
    inspect.router,
    inspections.router,
    models.router,
    verdicts.router,
)
