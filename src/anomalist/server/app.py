"""The HTTP application: routes, and errors told in one line."""

from __future__ import annotations

from fastapi import FastAPI

from anomalist import __version__
from anomalist.server.api import ROUTERS
from anomalist.server.api.reference import add_static
from anomalist.server.page import add_page
from anomalist.server.security import protect
from anomalist.server.service import Service


def create_app(service: Service) -> FastAPI:
    """Return the application of a service that was started.

    Parameters
    ----------
    service : Service
        What answers; whoever started it stops it.
    """
    app = FastAPI(title="anomalist", version=__version__, openapi_url=None)
    app.state.service = service
    for router in ROUTERS:
        app.include_router(router)
    add_static(app)
    add_page(app)
    protect(app, service)
    return app
