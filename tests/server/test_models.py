from __future__ import annotations

import math
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from anomalist import PaDiM, load
from anomalist.errors import NotFoundError, ParameterError
from anomalist.server.database.tables import Model, Promotion
from anomalist.server.service import Service
from tests.server.conftest import SIDE, picture


def candidate(service: Service, tmp_path: Path, models: Path, seed: int = 1) -> int:
    """Another version of the model, as a refit lists it; returns its number."""
    images = sorted((models.parent / "good").glob("*.png"))[seed:]
    detector = PaDiM(image_size=SIDE, device="cpu").fit(images)
    detector.calibrate(images)
    file = tmp_path / f"candidate{seed}.anomalist"
    detector.save(file)
    key = service.registry.files.put(file.read_bytes())
    with service.database.session() as session:
        model = session.scalars(select(Model)).one()
        version = service.registry.add(
            session, model, key, state="candidate", by="tester", parent_id=model.versions[0].id
        )
        return version.number


def test_models_are_listed_with_what_answers(client: TestClient) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    assert model["name"] == "part"
    assert (model["version"], model["previous"], model["candidates"]) == (1, None, [])
    assert model["rule"]["threshold"] > 0
    whole = client.get("/v1/models/part").json()
    assert whole["versions"][0]["state"] == "accepted"
    assert whole["versions"][0]["card"]["detector"] == "padim"
    assert whole["promotions"][0]["note"] == "from part.anomalist"
    assert client.get("/v1/models/other").status_code == 404


def test_a_candidate_answers_once_promoted_and_the_earlier_one_again(
    client: TestClient, service: Service, tmp_path: Path, models: Path
) -> None:
    number = candidate(service, tmp_path, models)
    assert client.get("/v1/models").json()["models"][0]["candidates"] == [number]
    before = service.registry.answering("part")
    told = client.post("/v1/models/part/promote", json={"version": number, "note": "better"})
    assert told.status_code == 200, told.text
    assert (told.json()["version"], told.json()["previous"]) == (number, 1)
    files = {"file": ("a.png", picture(100))}
    one = client.post("/v1/inspect", files=files).json()["inspections"][0]
    assert one["score"] != float(before.detector.predict(picture(100)).scores[0])
    # A second click changes nothing.
    client.post("/v1/models/part/promote", json={"version": number})
    back = client.post("/v1/models/part/promote", json={"version": 1, "note": "back"}).json()
    assert (back["version"], back["previous"]) == (1, number)
    assert [p["version"] for p in back["promotions"]] == [1, number, 1]
    assert back["promotions"][0]["by"] == "local"
    again = client.post("/v1/inspect", files=files).json()["inspections"][0]
    assert again["score"] == float(before.detector.predict(picture(100)).scores[0])


def test_a_dropped_candidate_stays_and_never_answers(
    client: TestClient, service: Service, tmp_path: Path, models: Path
) -> None:
    number = candidate(service, tmp_path, models)
    for _ in range(2):
        told = client.post("/v1/models/part/drop", json={"version": number, "note": "worse"})
        assert told.status_code == 200, told.text
    assert told.json()["versions"][0]["state"] == "dropped"
    (dropped,) = told.json()["drops"]
    assert (dropped["version"], dropped["by"], dropped["note"]) == (number, "local", "worse")
    with pytest.raises(ParameterError, match="was dropped"):
        service.versions.promote("part", number, by="tester")
    assert service.registry.files.path(told.json()["versions"][0]["sha256"]).exists()
    refused = client.post("/v1/models/part/drop", json={"version": 1})
    assert refused.status_code == 422
    assert "only candidates" in refused.json()["error"]
    with pytest.raises(NotFoundError, match="no version 9"):
        service.versions.drop("part", 9, by="tester")
    with service.database.session() as session:
        assert len(session.scalars(select(Promotion)).all()) == 1


def test_settings_change_decisions_and_are_remembered(client: TestClient) -> None:
    usual = client.get("/v1/models/part").json()["rule"]["threshold"]
    told = client.post("/v1/models/part/settings", json={"alpha": 0.2, "note": "fewer misses"})
    assert told.json()["rule"]["threshold"] < usual
    assert told.json()["settings"][0]["alpha"] == 0.2
    told = client.post("/v1/models/part/settings", json={"threshold": 0.5})
    assert told.json()["rule"]["threshold"] == 0.5
    assert told.json()["settings"][0]["version"] == 1
    one = client.post("/v1/inspect", files={"file": ("a.png", picture(100))}).json()
    assert one["inspections"][0]["decision"] == "anomalous"
    told = client.post("/v1/models/part/settings", json={})
    assert told.json()["rule"]["threshold"] == usual
    assert [row["note"] for row in told.json()["settings"]] == ["", "", "fewer misses"]


def test_settings_that_make_no_sense_change_nothing(client: TestClient) -> None:
    for body in ({"alpha": 0}, {"alpha": 1}, {"alpha": 0.001}, {"alpha": "x"}, {"alfa": 0.1}):
        assert client.post("/v1/models/part/settings", json=body).status_code == 422, body
    assert client.get("/v1/models/part").json()["settings"] == []


def test_no_threshold_comes_from_what_is_no_number(service: Service) -> None:
    with pytest.raises(ParameterError, match="finite"):
        service.registry.decide_by("part", alpha=None, threshold=math.nan, by="tester")


def test_a_score_is_a_threshold_for_its_own_version_alone(
    service: Service, tmp_path: Path, models: Path
) -> None:
    number = candidate(service, tmp_path, models)
    service.registry.decide_by("part", alpha=0.1, threshold=3.0, by="tester")
    history = service.versions.promote("part", number, by="tester")
    rule = history.answering.rule
    own = load(service.registry.files.path(history.answering.sha256)).calibration_
    assert own is not None
    assert (rule.given, rule.alpha) == (False, 0.1)
    assert rule.threshold == own.threshold(0.1)
    assert service.versions.promote("part", 1, by="tester").answering.rule.threshold == 3.0


def test_a_version_that_cannot_answer_is_not_promoted(
    client: TestClient, service: Service, tmp_path: Path, models: Path
) -> None:
    number = candidate(service, tmp_path, models)
    file = service.registry.files.path(
        client.get("/v1/models/part").json()["versions"][0]["sha256"]
    )
    held = file.read_bytes()
    file.write_bytes(held[:-1])
    damaged = client.post("/v1/models/part/promote", json={"version": number})
    file.unlink()
    missing = client.post("/v1/models/part/promote", json={"version": number})
    assert [answer.status_code for answer in (damaged, missing)] == [422, 422]
    assert "is gone" in missing.json()["error"]
    model = client.get("/v1/models/part").json()
    assert (model["version"], len(model["promotions"])) == (1, 1)
    file.write_bytes(held)
    # 39 images calibrate it, 40 the first.
    service.registry.decide_by("part", alpha=1 / 41, threshold=None, by="tester")
    few = client.post("/v1/models/part/promote", json={"version": number})
    assert "too few to guarantee" in few.json()["error"]
    assert service.registry.answering("part").number == 1
