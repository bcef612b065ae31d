"""Which version answers, whatever happens to files, to the process, or at the same time."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from anomalist import PaDiM
from anomalist.errors import ModelFileError, NotFoundError, ParameterError, UnavailableError
from anomalist.server.app import create_app
from anomalist.server.database.tables import Model, Promotion, Version
from anomalist.server.registry import Answering
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from tests.server.conftest import SIDE, picture


@pytest.fixture(scope="module")
def other(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another fit of the same part."""
    detector = PaDiM(image_size=SIDE, device="cpu", seed=1)
    images = sorted((models.parent / "good").glob("*.png"))
    path = tmp_path_factory.mktemp("other") / "part.anomalist"
    detector.fit(images).calibrate(images)
    detector.save(path)
    return path


def candidate(service: Service, file: Path, state: str = "candidate") -> int:
    """List a file as a version of ``part``."""
    key = service.registry.files.put(file.read_bytes())
    with service.database.session() as session:
        model = session.scalars(select(Model).where(Model.name == "part")).one()
        return service.registry.add(session, model, key, state=state, by="someone").id


def test_the_same_file_is_the_same_version_at_every_start(settings: ServerSettings) -> None:
    for _ in range(2):
        service = Service(settings).start()
        assert service.registry.answering().number == 1
        service.stop()


def test_another_file_of_the_name_answers_from_the_next_start_on(
    settings: ServerSettings, other: Path, models: Path, tmp_path: Path
) -> None:
    own = tmp_path / "models"
    shutil.copytree(models, own)
    settings = ServerSettings(models=own, state=settings.state, database=settings.database)
    service = Service(settings).start()
    first = service.registry.answering()
    shutil.copy(other, own / "part.anomalist")
    assert service.registry.refresh("part").version_id == first.version_id
    service.stop()
    service = Service(settings).start()
    assert service.registry.answering().number == 2
    # Whoever goes back on the page isn't overruled by a file that was there before.
    service.registry.promote(first.version_id, by="someone")
    service.stop()
    service = Service(settings).start()
    assert service.registry.answering().number == 1
    service.stop()


def test_a_promotion_is_told_and_outlives_the_process(
    settings: ServerSettings, other: Path
) -> None:
    service = Service(settings).start()
    heard: list[Answering] = []
    service.registry.on_change.append(heard.append)
    version = candidate(service, other)
    answering = service.registry.promote(version, by="someone", note="fewer alarms")
    assert heard == [answering]
    assert service.registry.answering() is answering
    service.stop()
    service = Service(settings).start()
    assert service.registry.answering().version_id == version
    with service.database.session() as session:
        rows = session.scalars(select(Promotion).order_by(Promotion.id)).all()
    assert [(row.by, row.note) for row in rows] == [
        ("operator", "from part.anomalist"),
        ("someone", "fewer alarms"),
    ]
    service.stop()


def test_what_can_not_answer_is_not_promoted(service: Service, other: Path) -> None:
    before = service.registry.answering()
    with pytest.raises(NotFoundError):
        service.registry.promote(99, by="someone")
    with pytest.raises(ParameterError, match="was dropped"):
        service.registry.promote(candidate(service, other, "dropped"), by="someone")
    with service.database.session() as session:
        version = session.scalars(select(Version).where(Version.state == "dropped")).one()
        version.state = "candidate"
    path = service.registry.files.path(version.sha256)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelFileError, match="version 2 of part is damaged"):
        service.registry.promote(version.id, by="someone")
    path.unlink()
    with pytest.raises(ModelFileError, match="version 2 of part is gone"):
        service.registry.promote(version.id, by="someone")
    assert service.registry.answering() is before
    with service.database.session() as session:
        assert len(session.scalars(select(Promotion)).all()) == 1
        assert session.get_one(Version, version.id).state == "candidate"


def test_promotions_at_the_same_time_leave_what_the_database_says(
    service: Service, other: Path
) -> None:
    versions = [service.registry.answering().version_id, candidate(service, other)]
    heard: list[Answering] = []
    service.registry.on_change.append(heard.append)

    def press(version: int) -> None:
        for _ in range(5):
            service.registry.promote(version, by=str(version))

    people = [threading.Thread(target=press, args=(versions[i % 2],)) for i in range(4)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    with service.database.session() as session:
        rows = session.scalars(select(Promotion).order_by(Promotion.id)).all()
    assert len(rows) == 21
    assert [row.version_id for row in rows[1:]] == [one.version_id for one in heard]
    assert service.registry.answering().version_id == rows[-1].version_id
    assert all(row.by == str(row.version_id) for row in rows[1:])


def test_a_version_that_is_gone_keeps_no_other_from_answering(
    settings: ServerSettings,
    other: Path,
    models: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = tmp_path / "models"
    shutil.copytree(models, own)
    shutil.copy(own / "part.anomalist", own / "cap.anomalist")
    settings = replace(settings, models=own)
    service = Service(settings).start()
    version = candidate(service, other)
    answering = service.registry.promote(version, by="someone")
    file = service.registry.files.path(answering.sha256)
    held = file.read_bytes()
    file.unlink()
    service.stop()
    service = Service(settings).start()
    try:
        assert f"version 2 of part is gone, which was {file}: bring" in caplog.text
        with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
            told = client.get("/readyz")
            assert told.status_code == 200
            assert told.json() == {
                "status": "ok",
                "models": ["cap"],
                "damaged": {"part": "version 2 of part is gone; it doesn't answer"},
            }
            for path in ("/", "/models", "/models/part"):
                page = client.get(path, headers={"accept": "text/html"})
                assert page.status_code == 200
                assert "version 2 of part is gone; it doesn&#39;t answer" in page.text
            cap, part = client.get("/v1/models").json()["models"]
            assert (cap["version"], cap["fault"]) == (1, None)
            assert (part["version"], part["previous"], part["rule"]) == (None, 1, None)
            files = {"file": ("a.png", picture(1))}
            assert client.post("/v1/inspect?model=cap", files=files).status_code == 200
            refused = client.post("/v1/inspect?model=part", files=files)
            assert refused.status_code == 503
            assert "version 2 of part is gone; it doesn't answer, until" in refused.json()["error"]
            # One that isn't named is not taken for the only one that answers.
            assert client.post("/v1/inspect", files=files).status_code == 404
            for path in ("/v1/models/part/refit", "/v1/models/part/settings"):
                assert client.post(path, json={}).status_code == 503
            for path in ("/v1/models/part/refits", "/v1/drift/warnings?model=part", "/drift"):
                assert client.get(path).status_code == 200
            assert 'anomalist_answering_version{model="part"} 0.0' in client.get("/metrics").text
            # Brought back, it answers once it is asked for; and an earlier version at once.
            again = client.post("/v1/models/part/promote", json={"version": 2})
            assert again.status_code == 422
            file.write_bytes(held)
            again = client.post("/v1/models/part/promote", json={"version": 2})
            assert (again.json()["version"], again.json()["fault"]) == (2, None)
            assert client.post("/v1/inspect?model=part", files=files).status_code == 200
            assert "damaged" not in client.get("/readyz").json()
    finally:
        service.stop()
    file.write_bytes(held[:-1])
    service = Service(settings).start()
    assert service.registry.faults() == {"part": "version 2 of part is damaged; it doesn't answer"}
    assert service.versions.promote("part", 1, by="someone").fault is None
    assert service.registry.answering("part").number == 1
    service.stop()


def test_where_nothing_answers_the_page_is_there_to_choose_another(
    settings: ServerSettings, other: Path
) -> None:
    service = Service(settings).start()
    answering = service.registry.promote(candidate(service, other), by="someone")
    service.registry.files.path(answering.sha256).unlink()
    service.stop()
    service = Service(settings).start()
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        told = client.get("/readyz")
        assert told.status_code == 503
        assert told.json()["faults"] == ["models"]
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/models").text.count("version 2 of part is gone") == 1
        assert client.get("/drift").status_code == 503
        client.post("/v1/models/part/promote", json={"version": 1})
        assert client.get("/readyz").json() == {"status": "ok", "models": ["part"]}
    service.stop()
    # A file that is given is kept again, whatever became of the copy.
    for left in (None, b"half of it"):
        file = service.registry.files.path(answering.sha256)
        file.unlink(missing_ok=True)
        if left is not None:
            file.write_bytes(left)
        settings = replace(settings, models=other)
        service = Service(settings).start()
        assert service.registry.faults() == {}
        service.stop()


def test_a_damaged_file_that_is_given_keeps_no_other_from_answering(
    settings: ServerSettings, models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "models"
    shutil.copytree(models, own)
    settings = replace(settings, models=own)
    Service(settings).start().stop()
    for name in ("part", "cap"):
        (own / f"{name}.anomalist").write_bytes(b"no model")
    service = Service(settings).start()
    assert service.registry.faults() == {
        "cap": "the file that was given as cap can't be used; it doesn't answer",
        "part": "the file that was given as part can't be used; version 1 answers",
    }
    assert str(own / "cap.anomalist") in caplog.text
    assert service.registry.answering("part").number == 1
    with pytest.raises(UnavailableError, match="given as cap can't be used; it doesn't answer"):
        service.registry.answering("cap")
    with pytest.raises(NotFoundError, match="which model"):
        service.registry.answering()
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        assert client.get("/readyz").status_code == 200
        assert "given as cap" in client.get("/models").text
        assert client.get("/models/cap").status_code == 503
        assert client.get("/v1/models/nothing").status_code == 404
    service.stop()


def test_models_that_are_not_given_do_not_answer(
    settings: ServerSettings, models: Path, tmp_path: Path
) -> None:
    Service(settings).start().stop()
    shutil.copy(models / "part.anomalist", tmp_path / "cap.anomalist")
    (tmp_path / "folder.anomalist").mkdir()
    settings = ServerSettings(models=tmp_path, state=settings.state, database=settings.database)
    service = Service(settings).start()
    assert service.registry.names() == ["cap"]
    with pytest.raises(NotFoundError, match="no model 'part'; there are cap"):
        service.registry.answering("part")
    service.stop()


@pytest.mark.parametrize("name", ["x" * 201, "a\nb"])
def test_a_name_that_can_be_none_is_told(
    settings: ServerSettings, models: Path, tmp_path: Path, name: str
) -> None:
    shutil.copy(models / "part.anomalist", tmp_path / f"{name}.anomalist")
    with pytest.raises(ParameterError, match="can't give its model a name"):
        Service(
            ServerSettings(models=tmp_path, state=settings.state, database=settings.database)
        ).start()
