"""The HTTP application: routes, and errors told in one line."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from anomalist import __version__
from anomalist.errors import AnomalistError, BusyError, NotFoundError, ServerError
from anomalist.server.api import ROUTERS
from anomalist.server.service import Service


def create_app(service: Service) -> FastAPI:
    """Return the application of a service that was started.

    Parameters
    ----------
    service : Service
        What answers; whoever started it stops it.
    """
    app = FastAPI(title="anomalist", version=__version__)
    app.state.service = service
    for router in ROUTERS:
        app.include_router(router)

    @app.exception_handler(AnomalistError)
    def _told(_request: Request, error: AnomalistError) -> JSONResponse:
        status = 422
        headers = {}
        if isinstance(error, NotFoundError):
            status = 404
        elif isinstance(error, BusyError | ServerError):
            status, headers = 503, {"Retry-After": "1"}
        return JSONResponse({"error": str(error)}, status, headers)

    return app
