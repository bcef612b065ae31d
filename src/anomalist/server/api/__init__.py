"""What is asked over HTTP: a file a subject, each with its router."""

from fastapi import APIRouter

from anomalist.server.api import health, inspect, models, refits

ROUTERS: tuple[APIRouter, ...] = (health.router, inspect.router, models.router, refits.router)
