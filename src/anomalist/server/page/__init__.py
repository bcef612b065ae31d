"""The page: what people look at, drawn on the server; a file a subject, each with its router."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

from anomalist.server.page import (
    drift,
    guarding,
    history,
    inspection,
    live,
    models,
    queue,
    signing,
    trying,
)
from anomalist.server.page.rendering import page_error

ROUTERS: tuple[APIRouter, ...] = (
    live.router,
    queue.router,
    trying.router,
    history.router,
    inspection.router,
    models.router,
    drift.router,
    guarding.router,
    signing.router,
)


def add_page(app: FastAPI) -> None:
    """Add all pages to an application, and the files that they take: style, script and marks."""
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), "static")
    app.state.page_error = page_error
    for router in ROUTERS:
        app.include_router(router, include_in_schema=False)
