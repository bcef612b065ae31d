from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from anomalist import load
from anomalist.errors import DataError, ServerError
from anomalist.server import candidate, refitting, relearning
from anomalist.server.app import create_app
from anomalist.server.candidate import Job, Judged
from anomalist.server.database.tables import Inspection, Refit, Verdict
from anomalist.server.relearning import training_images
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from tests.server.conftest import picture

pytestmark = pytest.mark.usefixtures("warm_processes")

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def settings(settings: ServerSettings, models: Path) -> ServerSettings:
    return replace(settings, training=(str(models.parent / "good"),))


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        yield client


def judge(client: TestClient, service: Service, verdicts: dict[int, str], **look: Any) -> list[str]:
    """Inspect a picture of each seed and give its verdict; returns the inspections."""
    files = [
        ("file", (f"{seed}.png", picture(seed, defect=said == "defective", **look)))
        for seed, said in verdicts.items()
    ]
    rows = client.post("/v1/inspect", files=files).json()["inspections"]
    with service.database.session() as session:
        for row, said in zip(rows, verdicts.values(), strict=True):
            number = find(service, row["id"])
            session.add(Verdict(inspection_id=number, verdict=said, by="tester"))
    return [row["id"] for row in rows]


def find(service: Service, inspection: str) -> int:
    with service.database.reading() as session:
        return session.scalars(select(Inspection.number).where(Inspection.id == inspection)).one()


def until(client: TestClient, refit: str, *states: str) -> dict[str, Any]:
    """Wait until a refit is in one of the states."""
    for _ in range(600):
        row: dict[str, Any] = client.get(f"/v1/refits/{refit}").json()
        if row["state"] in states:
            return row
        time.sleep(0.1)
    raise AssertionError(row)


def test_a_candidate_learns_what_people_confirmed_and_is_compared(
    client: TestClient, service: Service
) -> None:
    # Brighter than any that was learnt from: false alarms.
    good = judge(client, service, dict.fromkeys(range(200, 206), "good"), light=1.8)
    bad = judge(client, service, {300: "defective"})
    asked = client.post("/v1/models/part/refit", json={"note": "brighter lamp"})
    assert asked.status_code == 202, asked.text
    assert asked.json()["state"] in ("waiting", "running")
    again = client.post("/v1/models/part/refit")
    assert again.status_code == 422
    assert "is being built already" in again.json()["error"]
    row = until(client, asked.json()["id"], "done", "failed")
    assert row["error"] is None
    assert row["done"] == row["total"] > 0
    assert (row["parent"], row["version"], row["learnt"], row["by"]) == (1, 2, 6, "local")
    # The old one goes on answering until a person decides.
    model = client.get("/v1/models/part").json()
    assert (model["version"], model["candidates"]) == (1, [2])
    assert model["versions"][0]["parent"] == 1
    compared = row["comparison"]
    assert compared["learnt"] == {"training": 40, "confirmed": 6}
    rates = compared["rates"]
    assert (rates["training"]["images"], rates["good"]["images"]) == (40, 6)
    assert rates["good"]["before"] == 6
    assert rates["good"]["after"] < 6
    assert (rates["defective"]["before"], rates["defective"]["after"]) == (1, 1)
    assert any("were alarms of the version that answers" in note for note in compared["notes"])
    changed = [c for c in compared["changes"] if c["kind"] == "good"]
    assert {c["inspection"] for c in changed} <= set(good)
    assert not any(c["inspection"] in bad for c in compared["changes"])
    first = changed[0]
    assert (first["before"]["decision"], first["after"]["decision"]) == ("anomalous", "normal")
    for side in ("before", "after"):
        drawn = client.get(first[side]["picture"])
        assert drawn.headers["content-type"] == "image/png"
        assert drawn.content.startswith(b"\x89PNG")
    assert client.get(f"/v1/refits/{row['id']}/pictures/{'0' * 64}").status_code == 404
    # Its threshold is from the training images, as the parts that it learns were chosen.
    built = load(service.registry.files.path(model["versions"][0]["sha256"]))
    assert built.calibration_ is not None
    assert len(built.calibration_.scores) == 40
    assert len(built.images_) == 46
    told = client.get("/v1/models/part/refits").json()["refits"]
    assert [one["id"] for one in told] == [row["id"]]
    promoted = client.post("/v1/models/part/promote", json={"version": 2})
    assert promoted.json()["version"] == 2
    nothing = client.post("/v1/models/part/refit")
    assert "nothing new to learn" in nothing.json()["error"]
    assert not list((service.settings.folder / "refits").iterdir())


def test_nothing_is_learnt_where_nobody_confirmed(client: TestClient, service: Service) -> None:
    judge(client, service, {300: "defective"})
    refused = client.post("/v1/models/part/refit")
    assert refused.status_code == 422
    assert "nothing new to learn" in refused.json()["error"]
    assert client.post("/v1/models/other/refit").status_code == 404
    assert client.get("/v1/refits/none").status_code == 404
    assert client.post("/v1/models/part/refit", json={"calibrate_on": "x"}).status_code == 422


def test_training_images_are_found_by_what_they_hold(models: Path, tmp_path: Path) -> None:
    detector = load(models / "part.anomalist")
    good = models.parent / "good"
    with pytest.raises(DataError, match="doesn't say where"):
        training_images(detector, [])
    with pytest.raises(DataError, match=r"40 of the 40 images .* aren't in .* --training"):
        training_images(detector, [str(tmp_path)])
    # Elsewhere, under other names, with others among them.
    for i, path in enumerate(sorted(good.glob("*.png"))):
        (tmp_path / f"{40 - i:03}").mkdir()
        (tmp_path / f"{40 - i:03}" / "x.png").write_bytes(path.read_bytes())
    (tmp_path / "other.png").write_bytes(picture(500))
    found = training_images(detector, [str(tmp_path)])
    assert len(found) == 40
    digests = {digest.tobytes() for digest in found.digests()}
    assert digests == {digest.tobytes() for digest in detector.images_}
    (tmp_path / "007" / "x.png").unlink()
    with pytest.raises(DataError, match="1 of the 40 images"):
        training_images(detector, [str(tmp_path)])


@on_sqlite
def test_what_is_stopped_goes_on_with_the_next_server_and_what_is_cancelled_ends(
    client: TestClient, service: Service
) -> None:
    judge(client, service, dict.fromkeys(range(200, 203), "good"), light=1.8)
    asked = client.post("/v1/models/part/refit").json()
    until(client, asked["id"], "running")
    service.refitter.stop()
    with service.database.session() as session:
        assert session.get_one(Refit, asked["id"]).state == "running"
    service.refitter.start()
    until(client, asked["id"], "running")
    with service.database.reading() as session:
        assert session.get_one(Refit, asked["id"]).begun == 2
    row = client.post(f"/v1/refits/{asked['id']}/cancel").json()
    assert (row["state"], row["error"]) == ("dropped", "stopped by local")
    service.refitter.stop()
    service.refitter.start()
    assert until(client, asked["id"], "dropped", "done")["state"] == "dropped"
    assert client.get("/v1/models/part").json()["candidates"] == []
    assert not list((service.settings.folder / "refits").iterdir())
    # Another can be asked for at once.
    assert client.post("/v1/models/part/refit").status_code == 202


@on_sqlite
def test_one_during_which_the_server_ended_goes_on_after_a_pause(
    client: TestClient,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    judge(client, service, {200: "good"}, light=1.8)
    service.refitter.stop()
    asked = client.post("/v1/models/part/refit").json()
    with service.database.session() as session:
        session.get_one(Refit, asked["id"]).begun = 7
    monkeypatch.setattr(refitting, "_PAUSE_S", 0.02)
    began = time.monotonic()
    service.refitter.start()
    until(client, asked["id"], "running", "done")
    assert time.monotonic() - began > 16 * 0.02
    assert "the server ended 7 times while candidate" in caplog.text
    row = until(client, asked["id"], "done", "failed")
    assert row["error"] is None


@on_sqlite
def test_what_fails_in_the_server_itself_is_tried_a_few_times_and_given_up(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(client, service, {200: "good"}, light=1.8)
    monkeypatch.setattr(refitting, "_RETRY_S", 0.01)
    monkeypatch.setattr(refitting, "_WAIT_S", 0.01)
    tries = []

    def fail(refit: str, _folder: Path) -> None:
        tries.append(refit)
        raise ServerError("the database is away") if len(tries) < 3 else ZeroDivisionError("oh")

    monkeypatch.setattr(service.refitter, "_prepare", fail)
    asked = client.post("/v1/models/part/refit").json()
    row = until(client, asked["id"], "failed")
    # That the database was away is no failure of the refit.
    assert len(tries) == 5
    assert row["error"] == "it failed 3 times (ZeroDivisionError: oh)"
    # The next can be asked for.
    monkeypatch.undo()
    assert client.post("/v1/models/part/refit").status_code == 202


def test_what_was_learnt_before_a_kill_is_compared_without_fitting_anew(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models / "part.anomalist"
    (tmp_path / "photographs").mkdir()
    judged = []
    for seed in range(200, 204):
        file = f"photographs/{seed}.png"
        (tmp_path / file).write_bytes(picture(seed, light=1.8))
        judged.append(Judged(id=str(seed), kind="good", name=f"{seed}.png", file=file))
    good = str(models.parent / "good")
    job = Job(origin=str(model), parent=str(model), folders=[good], judged=judged)
    job.write(tmp_path)
    whole = candidate.build(tmp_path)
    written = (tmp_path / candidate.MODEL).stat().st_mtime_ns
    fits = []

    def relearn(*given: Any, **named: Any) -> Any:
        fits.append(given)
        return relearning.relearn(*given, **named)

    monkeypatch.setattr(candidate, "relearn", relearn)
    assert candidate.build(tmp_path) == whole
    assert not fits
    assert (tmp_path / candidate.MODEL).stat().st_mtime_ns == written
    # Not where it is of other images, or torn.
    replace(job, judged=judged[:3]).write(tmp_path)
    assert candidate.build(tmp_path)["learnt"] == {"training": 40, "confirmed": 3}
    (tmp_path / candidate.LEARNT).write_bytes(b"PK half")
    candidate.build(tmp_path)
    assert len(fits) == 2
