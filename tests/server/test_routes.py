"""All routes, as they are listed by the application itself: none that forgets who may ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient
from starlette.routing import Mount

from anomalist.server.api.reference import role_of
from anomalist.server.app import create_app
from anomalist.server.security import gate
from anomalist.server.security.origins import changes
from anomalist.server.security.signing import own_form
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings

# What anybody may ask: whether the server lives, and to be let in or out.
OPEN = {"/healthz", "/readyz", "/sign-in", "/sign-out"}
# Files that are the same for everybody.
STATIC = {"/static", "/docs/static"}
# What programs ask; all else are pages, whose forms are made for one browser.
PROGRAMS = ("/v1/", "/v2", "/2020-11-20/")
ROLES = ("inspect", "review", "admin")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose models aren't asked for."""
    folder = tmp_path_factory.mktemp("routes")
    settings = ServerSettings(models=folder, state=folder / "state", max_rate=1e6)
    service = Service(settings)
    service.database.upgrade()
    yield service
    service.database.close()


@pytest.fixture(scope="module")
def app(service: Service) -> Iterator[FastAPI]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "_UNKNOWN_BURST", 1e6)
        yield create_app(service)


@pytest.fixture(scope="module")
def tokens(service: Service) -> dict[str, str]:
    return {role: service.tokens.make(role, role) for role in reversed(ROLES)}


def calls(dependant: Dependant) -> list[object]:
    return [dependant.call, *(call for one in dependant.dependencies for call in calls(one))]


def routes(app: FastAPI) -> list[tuple[str, str, Dependant]]:
    """Method, path and what all routes depend on."""
    found = []
    for route in iter_route_contexts(app.routes):
        original = route.original_route
        if isinstance(original, Mount):
            assert original.path in STATIC, original.path
            continue
        assert isinstance(original, APIRoute), original
        for method in sorted(route.methods or ()):
            found.append((method, str(route.path), route.dependant))  # noqa: PERF401
    return found


def test_every_route_takes_a_role_or_is_open(app: FastAPI) -> None:
    listed = routes(app)
    assert len(listed) > 10
    without = {path for _, path, dependant in listed if role_of(dependant) is None}
    assert without <= OPEN


def test_every_route_of_a_page_that_changes_something_takes_our_own_form(app: FastAPI) -> None:
    for method, path, dependant in routes(app):
        if changes(method) and not path.startswith(PROGRAMS):
            assert own_form.dependency in calls(dependant), (method, path)


def test_no_route_lets_in_who_may_not(app: FastAPI, tokens: dict[str, str]) -> None:
    refused = 0
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        for method, path, dependant in routes(app):
            role = role_of(dependant)
            if role is None:
                continue
            url = path.replace("{", "").replace(":path}", "").replace("}", "")
            lower = ROLES[: ROLES.index(role)]
            # A form is refused for being another's before it is asked whose it is.
            stranger = (401, 403) if own_form.dependency in calls(dependant) else (401,)
            asking = [(None, stranger), ("wrong", stranger), *((tokens[r], (403,)) for r in lower)]
            for token, statuses in asking:
                headers = {} if token is None else {"Authorization": f"Bearer {token}"}
                answer = client.request(method, url, headers=headers)
                assert answer.status_code in statuses, (method, path, role, answer.text)
                assert method == "HEAD" or list(answer.json()) == ["error"]
                refused += 1
    assert refused > 20


def test_the_reference_names_what_programs_ask(app: FastAPI, tokens: dict[str, str]) -> None:
    with TestClient(app, base_url="http://127.0.0.1") as client:
        client.headers["Authorization"] = f"Bearer {tokens['inspect']}"
        page = client.get("/docs")
        assert page.headers["Content-Type"].startswith("text/html")
        assert "<script>" not in page.text
        for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
            assert f"/docs/static/{name}" in page.text
            answer = client.get(f"/docs/static/{name}")
            assert answer.status_code == 200
            assert answer.headers["Cache-Control"] == "no-cache"
        described = client.get("/openapi.json").json()
    listed = {path for _, path, _ in routes(app) if path.startswith(PROGRAMS)}
    assert {path.replace(":path}", "}") for path in listed} <= set(described["paths"])
    pages = {path for path in described["paths"] if not path.startswith(PROGRAMS)}
    assert pages <= {"/healthz", "/readyz", "/metrics"}
    for operations in described["paths"].values():
        for operation in operations.values():
            assert "422" not in operation["responses"]
            takes = operation["description"].rpartition("Takes the role ")[2]
            assert bool(operation["security"]) == (takes.strip("`.") in ROLES)
    assert "HTTPValidationError" not in str(described)


def test_the_files_of_the_reference_ask_nobody_else() -> None:
    import anomalist.server.api.reference as module

    folder = Path(module.__file__).parent / "swagger"
    for name in ("index.html", "start.js", "swagger-ui.css"):
        text = (folder / name).read_text()
        assert "//cdn" not in text
        assert "@import" not in text
        assert "url(http" not in text


def test_a_form_without_photographs_is_told(app: FastAPI, service: Service) -> None:
    token = service.tokens.make("someone", "inspect")
    form = {"form_token": service.sign_ins.form_token(None), "model": "part"}
    with TestClient(app, base_url="http://127.0.0.1") as client:
        client.headers["Authorization"] = f"Bearer {token}"
        for given in ({"data": form}, {"data": form, "files": {"other": b""}}):
            answer = client.post("/try", **given)
            assert answer.status_code == 200
            assert "choose a photograph first" in answer.text or "no file" in answer.text


@pytest.mark.parametrize("verdict", ["none", "good", "defective"])
def test_counts_are_asked_by_verdict(app: FastAPI, tokens: dict[str, str], verdict: str) -> None:
    with TestClient(app, base_url="http://127.0.0.1") as client:
        client.headers["Authorization"] = f"Bearer {tokens['review']}"
        for sampled in ("true", "false"):
            asked = {"verdict": verdict, "sampled": sampled}
            assert client.get("/v1/counts", params=asked).status_code == 200
