"""Who is let through, as whom, and how a refusal is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.testclient import TestClient
from sqlalchemy import select
from starlette.types import Message

from anomalist.server.api.asking import require
from anomalist.server.app import create_app
from anomalist.server.database.tables import Audit, SignIn
from anomalist.server.principals import Principal
from anomalist.server.security.signing import form_token, own_form, own_path, sign_in, sign_out
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings

BASE = "http://127.0.0.1"
router = APIRouter()


@router.get("/who")
def who(principal: Annotated[Principal, require("inspect")]) -> dict[str, str]:
    return {"name": principal.name}


@router.post("/change_it/{thing}", dependencies=[own_form])
def change_it(thing: str, principal: Annotated[Principal, require("review")]) -> dict[str, str]:
    return {"by": principal.name}


@router.post("/v1/change")
def change(principal: Annotated[Principal, require("admin")]) -> dict[str, str]:
    return {"by": principal.name}


@router.post("/door")
def door(request: Request, token: str, next: str = "/") -> Response:  # noqa: A002
    response = RedirectResponse(own_path(next), 303)
    if sign_in(request, response, token) is None:
        return JSONResponse({}, 401)
    return response


@router.post("/leave", dependencies=[own_form])
def leave(request: Request) -> Response:
    response = JSONResponse({})
    sign_out(request, response)
    return response


@router.get("/form")
def form(request: Request) -> str:
    return form_token(request)


@router.post("/read")
async def read(request: Request) -> int:
    return len(await request.body())


@router.get("/fails")
def fails() -> None:
    raise ZeroDivisionError("a secret of the inside")


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return ServerSettings(models=tmp_path, state=tmp_path / "state")


@pytest.fixture
def service(settings: ServerSettings) -> Iterator[Service]:
    """A service whose models aren't asked for."""
    service = Service(settings)
    service.database.upgrade()
    yield service
    service.database.close()


@pytest.fixture
def asked(service: Service) -> Iterator[TestClient]:
    app = create_app(service)
    app.include_router(router)
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as client:
        yield client


def refused(service: Service) -> list[Audit]:
    with service.database.reading() as session:
        rows = session.scalars(select(Audit).where(Audit.action == "refused").order_by(Audit.id))
        return list(rows)


def test_who_is_at_the_machine_may_do_all_until_there_is_a_token(
    asked: TestClient, service: Service
) -> None:
    assert asked.get("/who").json() == {"name": "local"}
    service.tokens.make("boss", "admin")
    assert asked.get("/who").status_code == 401
    service.tokens.revoke("boss")
    assert asked.get("/who").status_code == 401


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_what_a_proxy_hands_on_is_not_of_this_machine(asked: TestClient, name: str) -> None:
    assert asked.get("/who", headers={name: "203.0.113.9"}).status_code == 401


def test_a_token_lets_in_and_a_wrong_one_does_not(asked: TestClient, service: Service) -> None:
    token = service.tokens.make("line 1", "inspect")
    answer = asked.get("/who", headers={"Authorization": f"Bearer {token}"})
    assert answer.json() == {"name": "line 1"}
    answer = asked.get("/who", headers={"Authorization": f"Bearer {token}x"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json() == {"error": "a token is needed"}
    answer = asked.post("/v1/change", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()) == (403, {"error": "this takes the role admin"})
    assert [(row.by, row.subject) for row in refused(service)] == [
        ("unknown", "/who"),
        ("line 1", "/v1/change"),
    ]


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example", "", "["])
def test_another_name_for_this_machine_is_refused(
    asked: TestClient, service: Service, host: str
) -> None:
    answer = asked.get("/who", headers={"Host": host})
    assert answer.status_code == 403
    assert "--trusted_hosts" in answer.json()["error"]
    assert len(refused(service)) == 1


@pytest.mark.parametrize("host", ["localhost:8000", "[::1]:8000", "LOCALHOST", "line.example"])
def test_names_of_this_machine_are_known(settings: ServerSettings, host: str) -> None:
    service = Service(replace(settings, trusted_hosts=("line.example",)))
    service.database.upgrade()
    with TestClient(create_app(service), base_url=BASE) as client:
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    service.database.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "null"},
    ],
)
def test_another_site_changes_nothing(asked: TestClient, headers: dict[str, str]) -> None:
    answer = asked.post("/v1/change", headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        (
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "iframe",
            },
            403,
        ),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_another_site_may_lead_here_and_no_more(
    asked: TestClient, headers: dict[str, str], status: int
) -> None:
    assert asked.get("/who", headers=headers).status_code == status


def test_our_own_pages_and_programs_may(asked: TestClient, service: Service) -> None:
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": BASE}, {}):
        assert asked.post("/v1/change", headers=headers).status_code == 200
    token = service.tokens.make("boss", "admin")
    headers = {"Authorization": f"Bearer {token}", "Origin": "https://elsewhere.example"}
    assert asked.post("/v1/change", headers=headers).status_code == 200


def test_faults_are_told_in_one_shape(asked: TestClient) -> None:
    answer = asked.get("/nothing")
    assert (answer.status_code, answer.json()) == (404, {"error": "there is nothing here"})
    answer = asked.get("/v1/inspect")
    assert (answer.status_code, list(answer.json())) == (405, ["error"])
    answer = asked.post("/v1/inspect?model=part", data={})
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]
    answer = asked.get("/fails")
    assert answer.status_code == 500
    assert answer.headers["X-Request-Id"] in answer.json()["error"]
    assert "secret" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_client_that_goes_away_is_no_fault_of_the_server(
    asked: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    messages = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/read",
        "raw_path": b"/read",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    with caplog.at_level("INFO"):
        asyncio.run(asked.app(scope, receive, send))
    assert sent == []
    assert [record.levelname for record in caplog.records if record.name.startswith("anom")] == [
        "INFO"
    ]
    assert "POST /read 499" in caplog.text


def test_every_answer_says_what_browsers_may_do_with_it(asked: TestClient) -> None:
    for path in ("/healthz", "/who", "/nothing"):
        answer = asked.get(path)
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_person_who_is_not_signed_in_is_led_there(asked: TestClient, service: Service) -> None:
    service.tokens.make("boss", "admin")
    answer = asked.get("/who?a=1", headers={"Accept": "text/html"}, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/sign-in?next=/who%3Fa%3D1"
    assert asked.get("/who", headers={"HX-Request": "true"}).headers["HX-Redirect"] == "/sign-in"


def test_who_asks_too_often_waits(settings: ServerSettings) -> None:
    service = Service(replace(settings, max_rate=0.001))
    service.database.upgrade()
    app = create_app(service)
    app.include_router(router)
    with TestClient(app, base_url=BASE) as client:
        answer = client.get("/who")
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert client.get("/healthz").status_code == 200
    assert len(refused(service)) == 1
    service.database.close()


def test_what_changes_something_is_written_down(asked: TestClient, service: Service) -> None:
    token = service.tokens.make("boss", "admin")
    headers = {"Authorization": f"Bearer {token}"}
    answer = asked.post("/v1/change", headers=headers)
    asked.get("/who", headers=headers)
    rows, more = service.audit.page()
    assert more is None
    assert [(row.action, row.by, row.subject) for row in rows] == [
        ("change", "boss", "/v1/change"),
        ("token made", "operator", "boss"),
    ]
    assert rows[0].detail["request"] == answer.headers["X-Request-Id"]


@pytest.fixture
def page(asked: TestClient) -> TestClient:
    asked.follow_redirects = False
    return asked


def test_a_browser_signs_in_and_out(page: TestClient, service: Service) -> None:
    token = service.tokens.make("boss", "admin")
    assert page.post("/door?token=wrong").status_code == 401
    answer = page.post("/door", params={"token": token, "next": "//elsewhere.example"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert token not in cookie
    assert page.get("/who").json() == {"name": "boss"}
    form = page.get("/form").json()
    assert page.post("/change_it/a").status_code == 403
    assert page.post("/change_it/a", headers={"X-Form-Token": form}).status_code == 200
    assert page.post("/change_it/a", data={"form_token": form}).status_code == 200
    elsewhere = {"Sec-Fetch-Site": "cross-site", "X-Form-Token": form}
    assert page.post("/change_it/a", headers=elsewhere).status_code == 403
    stolen = dict(page.cookies)
    assert page.post("/leave", data={"form_token": form}).status_code == 200
    assert not page.cookies
    assert page.get("/who").status_code == 401
    page.cookies.update(stolen)
    assert page.get("/who").status_code == 401
    actions = [row.action for row in service.audit.page()[0] if row.action != "refused"]
    assert actions == ["sign out", "change it", "change it", "sign in", "token made"]


def test_a_browser_is_signed_out_with_its_token(page: TestClient, service: Service) -> None:
    token = service.tokens.make("boss", "admin")
    page.post("/door", params={"token": token})
    assert page.get("/who").status_code == 200
    service.tokens.revoke("boss")
    assert page.get("/who").status_code == 401
    with service.database.reading() as session:
        assert session.scalars(select(SignIn)).all() == []


def test_a_form_of_another_browser_is_refused(page: TestClient, service: Service) -> None:
    token = service.tokens.make("boss", "admin")
    before = page.get("/form").json()
    page.post("/door", params={"token": token})
    assert page.get("/form").json() != before
    assert page.post("/change_it/a", data={"form_token": before}).status_code == 403


def test_by_https_the_cookie_is_for_https_alone(page: TestClient, service: Service) -> None:
    token = service.tokens.make("boss", "admin")
    page.base_url = "https://127.0.0.1"  # type: ignore[assignment]
    cookie = page.post("/door", params={"token": token}).headers["Set-Cookie"]
    assert cookie.startswith("__Host-anomalist=")
    assert "Secure" in cookie
    assert page.get("/who").json() == {"name": "boss"}
