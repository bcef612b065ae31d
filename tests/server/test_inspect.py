from __future__ import annotations

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
