"""Tokens and the audit log over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from anomalist.server.app import create_app
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """Of a service whose models aren't asked for."""
    service = Service(ServerSettings(models=tmp_path, state=tmp_path / "state"))
    service.database.upgrade()
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        yield client
    service.database.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_tokens_are_made_listed_and_revoked(client: TestClient) -> None:
    answer = client.post("/v1/tokens", json={"name": "line 1", "role": "inspect"})
    assert answer.status_code == 422
    assert "admin first" in answer.json()["error"]
    boss = client.post("/v1/tokens", json={"name": "boss", "role": "admin"}).json()["token"]
    assert client.get("/v1/tokens").status_code == 401
    client.headers.update(bearer(boss))
    answer = client.post("/v1/tokens", json={"name": "line/1", "days": 7})
    assert answer.status_code == 201
    line = answer.json()["token"]
    listed = client.get("/v1/tokens").json()
    assert [(row["name"], row["role"], row["state"]) for row in listed["tokens"]] == [
        ("boss", "admin", "good"),
        ("line/1", "inspect", "good"),
    ]
    assert line not in str(listed)
    assert client.get("/v1/tokens", headers=bearer(line)).status_code == 403
    assert client.delete("/v1/tokens/line/1").json() == {"name": "line/1", "state": "revoked"}
    assert client.get("/v1/tokens", headers=bearer(line)).status_code == 401
    assert client.delete("/v1/tokens/nobody").status_code == 404
    answer = client.delete("/v1/tokens/boss")
    assert answer.status_code == 422
    assert "last token of an admin" in answer.json()["error"]


def test_what_was_done_and_refused_is_told(client: TestClient) -> None:
    boss = client.post("/v1/tokens", json={"name": "boss", "role": "admin"}).json()["token"]
    client.get("/v1/audit")
    client.headers.update(bearer(boss))
    client.post("/v1/tokens", json={"name": "line 1"})
    first = client.get("/v1/audit", params={"limit": 2}).json()
    assert [(row["action"], row["by"], row["subject"]) for row in first["audit"]] == [
        ("token made", "boss", "line 1"),
        ("refused", "unknown", "/v1/audit"),
    ]
    assert first["audit"][1]["detail"]["status"] == 401
    rest = client.get("/v1/audit", params={"limit": 2, "cursor": first["next"]}).json()
    assert [(row["by"], row["subject"]) for row in rest["audit"]] == [("local", "boss")]
    assert rest["next"] is None
    only = client.get("/v1/audit", params={"action": "refused"}).json()["audit"]
    assert len(only) == 1


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "cursor=-1", f"cursor={2**64}"])
def test_what_makes_no_sense_is_told(client: TestClient, query: str) -> None:
    answer = client.get(f"/v1/audit?{query}")
    assert answer.status_code == 422
    assert query.split("=")[0] in answer.json()["error"]
