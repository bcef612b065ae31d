"""``GET /docs`` and ``GET /openapi.json``: what can be asked, with all that the page needs here.

The folder ``swagger`` beside this file holds Swagger UI 5.35.0 (Apache-2.0, its LICENSE and NOTICE
with it) as published in the package ``swagger-ui-dist``, and the two files that start it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from anomalist.server.api.asking import require

_FOLDER = Path(__file__).parent / "swagger"
_SCHEME = "token"

router = APIRouter(include_in_schema=False)


@router.get("/docs", dependencies=[require("inspect")], response_class=HTMLResponse)
def docs() -> str:
    """Return the page on which all that can be asked is listed and tried."""
    return (_FOLDER / "index.html").read_text(encoding="utf-8")


@router.get("/openapi.json", dependencies=[require("inspect")])
def openapi(request: Request) -> dict[str, Any]:
    """Return all that can be asked, as OpenAPI has it."""
    described: dict[str, Any] = request.app.openapi()
    parts = described.setdefault("components", {})
    parts["securitySchemes"] = {_SCHEME: {"type": "http", "scheme": "bearer"}}
    described["security"] = [{_SCHEME: []}]
    return described


def add_static(app: FastAPI) -> None:
    """Have an application serve the files of the page."""
    app.mount("/docs/static", StaticFiles(directory=_FOLDER), name="docs static")
