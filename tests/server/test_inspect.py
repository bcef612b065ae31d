from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from anomalist.server.database.tables import Inspection
from anomalist.server.service import Service
from tests.server.conftest import picture


def test_an_inspection_is_answered_and_kept(client: TestClient, service: Service) -> None:
    files = [("file", ("a.png", picture(100))), ("file", ("b.png", picture(101, defect=True)))]
    answer = client.post("/v1/inspect", params={"model": "part", "camera": "top"}, files=files)
    assert answer.status_code == 200, answer.text
    good, bad = answer.json()["inspections"]
    assert bad["decision"] == "anomalous"
    assert good["score"] < bad["score"]
    with service.database.session() as session:
        rows = session.scalars(select(Inspection).order_by(Inspection.number)).all()
    assert [row.id for row in rows] == [good["id"], bad["id"]]
    assert rows[1].camera == "top"
    assert rows[1].at.tzinfo is not None
    assert service.photographs.get(bad["sha256"]) == picture(101, defect=True)


def test_what_is_no_image_is_told_for_itself(client: TestClient) -> None:
    files = [("file", ("a.png", b"no image")), ("file", ("b.png", picture(100)))]
    first, second = client.post("/v1/inspect", files=files).json()["inspections"]
    assert "a.png" in first["error"]
    assert second["decision"] is not None


def test_an_unknown_model_is_named(client: TestClient) -> None:
    answer = client.post("/v1/inspect?model=other", files={"file": ("a.png", picture(1))})
    assert answer.status_code == 404
    assert answer.json() == {"error": "no model 'other'; there are part"}


def test_the_body_itself_can_be_the_photograph(client: TestClient) -> None:
    answer = client.post(
        "/v1/inspect?model=part&name=a.png&camera=top",
        content=picture(100),
        headers={"Content-Type": "image/png"},
    )
    (found,) = answer.json()["inspections"]
    assert (found["name"], found["camera"]) == ("a.png", "top")
    as_file = client.post("/v1/inspect", files={"file": ("b.png", picture(100))})
    assert as_file.json()["inspections"][0]["score"] == found["score"]


def test_what_is_no_photograph_is_refused(client: TestClient) -> None:
    for request in ({"content": b""}, {"files": {"other": ("a.png", picture(1))}}):
        answer = client.post("/v1/inspect", **request)  # type: ignore[arg-type]
        assert answer.status_code == 422, answer.text
        assert "file" in answer.json()["error"]
    answer = client.post("/v1/inspect?name=a.png", content=b"no image")
    assert answer.status_code == 422
    assert "a.png" in answer.json()["error"]
    assert len(answer.json()["inspections"]) == 1


def test_too_many_photographs_are_refused(client: TestClient, service: Service) -> None:
    files = [("file", (f"{n}.png", b"x")) for n in range(service.settings.max_images + 1)]
    answer = client.post("/v1/inspect", files=files)
    assert answer.status_code == 422
    assert "at most 64" in answer.json()["error"]


def test_a_request_that_is_sent_again_is_answered_as_it_was(client: TestClient) -> None:
    files = [("file", ("a.png", picture(100))), ("file", ("b.png", picture(101)))]
    headers = {"Idempotency-Key": "shift-1/part-7"}
    first = client.post("/v1/inspect", files=files, headers=headers)
    again = client.post("/v1/inspect", files=files, headers=headers)
    assert first.json() == again.json()
    other = client.post("/v1/inspect", files=files[::-1], headers=headers)
    assert other.status_code == 422
    assert "another photograph" in other.json()["error"]


def test_busy_is_told_with_when_to_come_again(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.inspector, "_most_waiting", 0)
    monkeypatch.setattr(service.inspector, "_waiting", 1)
    answer = client.post("/v1/inspect", content=picture(1))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "wait already" in answer.json()["error"]
