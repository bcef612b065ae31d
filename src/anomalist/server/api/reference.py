"""``GET /docs`` and ``GET /openapi.json``: what can be asked, with all that the page needs here.

The folder ``swagger`` beside this file holds Swagger UI 5.35.0 (Apache-2.0, its LICENSE and NOTICE
with it) as published in the package ``swagger-ui-dist``, and the two files that start it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from fastapi import APIRouter, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import HTMLResponse
from fastapi.routing import iter_route_contexts
from fastapi.staticfiles import StaticFiles

from anomalist.server.api.asking import require
from anomalist.server.principals import Role

_FOLDER = Path(__file__).parent / "swagger"
_SCHEME = "token"
_TEXT = """Inspects photographs and remembers what it decided.

Who asks says so by a token, as `Authorization: Bearer TOKEN`; at the machine itself none is needed
until the first is made. What goes wrong is told as `{"error": "a sentence"}`. Lists come with
`next`: give it as `cursor` for what follows.
"""

router = APIRouter(include_in_schema=False)


@router.get("/docs", dependencies=[require("inspect")], response_class=HTMLResponse)
def docs() -> str:
    """Return the page on which all that can be asked is listed and tried."""
    return (_FOLDER / "index.html").read_text(encoding="utf-8")


@router.get("/openapi.json", dependencies=[require("inspect")])
def openapi(request: Request) -> dict[str, Any]:
    """Return all that can be asked, as OpenAPI has it."""
    app: FastAPI = request.app
    if not hasattr(app.state, "described"):
        app.state.described = _described(app)
    found: dict[str, Any] = app.state.described
    return found


def _described(app: FastAPI) -> dict[str, Any]:
    """Return what FastAPI tells of the routes, with the roles they take and errors as they are."""
    described = app.openapi()
    described["info"]["description"] = _TEXT
    parts = described.setdefault("components", {})
    parts["securitySchemes"] = {_SCHEME: {"type": "http", "scheme": "bearer"}}
    schemas = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Error"] = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string", "description": "What was wrong."}},
    }
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for route in iter_route_contexts(app.routes):
        for method in route.methods or ():
            path = described["paths"].get(route.path_format or "", {})
            operation = path.get(method.lower())
            if operation is None:
                continue
            answers = operation["responses"]
            answers.pop("422", None)
            answers["default"] = {"description": "An error.", "content": content}
            role = role_of(route.dependant)
            if role is None:
                operation["security"] = []
            else:
                told = operation.get("description", "")
                operation["description"] = f"{told}\n\nTakes the role `{role}`.".strip()
                operation["security"] = [{_SCHEME: []}]
    return described


def role_of(dependant: Dependant) -> Role | None:
    """Return the highest role that a route's dependencies take; None where it is open."""
    own = getattr(dependant.call, "role", None)
    roles = [own, *(role_of(one) for one in dependant.dependencies)]
    known = get_args(Role)
    return max((role for role in roles if role is not None), key=known.index, default=None)


def add_static(app: FastAPI) -> None:
    """Have an application serve the files of the page."""
    app.mount("/docs/static", StaticFiles(directory=_FOLDER), name="docs static")
