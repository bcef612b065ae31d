from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from anomalist.server import drift
from anomalist.server.database.tables import DriftWarning, Inspection, Watch
from anomalist.server.inspecting import Upload
from anomalist.server.service import Service
from tests.server.conftest import picture


def inspect(
    service: Service, seeds: range, *, light: float = 1.0, camera: str | None = None
) -> list[Inspection]:
    uploads = [
        Upload(name=f"{i}.png", data=picture(i, light=light), source="http", camera=camera)
        for i in seeds
    ]
    rows = service.inspector.inspect(uploads)
    assert all(isinstance(row, Inspection) for row in rows)
    service.drift.catch_up()
    return rows  # type: ignore[return-value]


def test_photographs_like_those_learnt_from_say_nothing(
    client: TestClient, service: Service
) -> None:
    rows = inspect(service, range(100, 130))
    told = client.get("/v1/drift").json()
    assert told["warnings"] == []
    assert told["watch"]["photographs"] == 30
    assert told["watch"]["failing"] == {}
    assert len(told["watch"]["evidence"]) == 30
    evidence = told["watch"]["evidence"][-1]
    assert max(v for k, v in evidence.items() if k not in ("number", "at")) < told["watch"]["limit"]
    assert sum(told["p_values"]) == 30
    assert sum(one["photographs"] for one in told["bins"]) == 30
    assert told["bins"][0]["first"] == rows[0].id
    assert told["bins"][-1]["last"] == rows[-1].id
    assert set(rows[0].looks or {}) >= {"brightness", "sharpness", "features", "score"}


def test_darker_ones_are_told_once_with_when_and_what(client: TestClient, service: Service) -> None:
    heard: list[DriftWarning] = []
    service.drift.on_warning.append(heard.append)
    inspect(service, range(100, 120), camera="top")
    dark = inspect(service, range(200, 230), light=0.8, camera="top")
    told = client.get("/v1/drift").json()
    (shift,) = [one for one in told["warnings"] if one["condition"] == "shift"]
    assert "darker" in shift["text"]
    assert shift["camera"] == "top"
    assert (shift["model"], shift["version"]) == ("part", 1)
    assert shift["settled"] is None
    assert shift["since"] == dark[0].id
    assert shift["inspection"] in [row.id for row in dark[:15]]
    brightness = next(one for one in told["watch"]["measures"] if one["name"] == "brightness")
    assert "darker" in brightness["difference"]
    assert len({one["condition"] for one in told["warnings"]}) == len(told["warnings"])
    assert [one.condition for one in heard] == [w["condition"] for w in told["warnings"]][::-1]


def test_a_warning_that_is_settled_comes_again_where_it_still_holds(
    client: TestClient, service: Service
) -> None:
    inspect(service, range(200, 220), light=0.8)
    first = client.get("/v1/drift/warnings", params={"open": True}).json()["warnings"]
    assert first
    settled = client.post(f"/v1/drift/warnings/{first[0]['id']}/settle").json()
    assert settled["settled_by"] == "local"
    assert client.get("/v1/drift/warnings?open=1&model=part").json()["warnings"] == []
    told = client.get("/v1/drift").json()
    assert told["watch"]["photographs"] == 0
    assert told["watch"]["failing"] == {}
    again = client.post(f"/v1/drift/warnings/{first[0]['id']}/settle")
    assert again.status_code == 422
    assert "local took note" in again.json()["error"]
    inspect(service, range(300, 310))
    assert client.get("/v1/drift/warnings?open=1").json()["warnings"] == []
    inspect(service, range(400, 420), light=0.8)
    (shift, *_) = [
        one
        for one in client.get("/v1/drift/warnings?open=1").json()["warnings"]
        if one["condition"] == "shift"
    ]
    assert shift["since"] not in [one["since"] for one in first]


def test_cameras_are_watched_apart(client: TestClient, service: Service) -> None:
    inspect(service, range(100, 120), camera="top")
    inspect(service, range(200, 220), light=0.8, camera="side")
    inspect(service, range(300, 302))
    told = client.get("/v1/drift", params={"camera": "top"}).json()
    assert [one["camera"] for one in told["cameras"]] == ["top", "side", None]
    assert told["watch"]["failing"] == {}
    assert {one["camera"] for one in told["warnings"]} == {"side"}
    assert client.get("/v1/drift?camera=").json()["watch"]["photographs"] == 2
    unknown = client.get("/v1/drift?camera=below")
    assert unknown.status_code == 404
    assert "'below'" in unknown.json()["error"]


def test_a_server_that_starts_again_knows_what_it_knew(service: Service) -> None:
    inspect(service, range(100, 120))
    inspect(service, range(200, 204), light=0.8)
    answering = service.registry.answering()
    (before,) = service.drift.watches(answering)
    service.drift.keep()
    inspect(service, range(204, 207), light=0.8)  # counted, and not laid down
    for _ in range(2):
        again = type(service.drift)(service.database, service.registry)
        again.catch_up()
        (after,) = again.watches(answering)
        assert after.conditions.state() == before.conditions.state()
        assert after.path.points() == before.path.points()
        # The second time all is counted from the beginning.
        with service.database.session() as session:
            session.scalars(select(Watch)).one().state = None
    with service.database.reading() as session:
        assert session.scalar(select(func.count(DriftWarning.id))) == len(before.told)


def test_another_threshold_begins_a_watch(service: Service) -> None:
    inspect(service, range(100, 110))
    service.registry.decide_by("part", alpha=0.1, threshold=None, by="local")
    inspect(service, range(110, 113))
    (watch,) = service.drift.watches(service.registry.answering())
    assert watch.conditions.total == 3
    assert watch.conditions.rule.alpha == 0.1


def test_what_shows_the_same_again_is_counted_once(service: Service) -> None:
    rows = inspect(service, range(100, 101)) + inspect(service, range(100, 101))
    assert rows[0].looks is not None
    assert rows[1].looks is None
    (watch,) = service.drift.watches(service.registry.answering())
    assert watch.conditions.shift is not None
    assert (watch.conditions.shift.seen, watch.conditions.shift.again) == (2, 1)


def test_names_that_somebody_makes_up_take_no_memory(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "MOST_CAMERAS", 3)
    for i in range(5):
        inspect(service, range(i, i + 1), camera=f"camera {i}")
    assert len(service.drift.watches(service.registry.answering())) == 3
