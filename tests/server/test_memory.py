from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from anomalist.errors import NotFoundError, ParameterError
from anomalist.server.database.tables import Inspection, Model
from anomalist.server.memory import Filters
from anomalist.server.service import Service
from tests.server.rows import BEGIN, remember, row, version


def _ids(client: TestClient, **params: Any) -> list[str]:
    answer = client.get("/v1/inspections", params=params)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["inspections"]]


def test_pages_show_each_once_while_more_are_inspected(
    client: TestClient, service: Service
) -> None:
    rows = remember(service, *[{}] * 7)
    newest_first = [one.id for one in reversed(rows)]
    seen, cursor = [], None
    while True:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        body = client.get("/v1/inspections", params=params).json()
        seen += [one["id"] for one in body["inspections"]]
        remember(service, {}, {})
        if (cursor := body["next"]) is None:
            break
    assert seen == newest_first


def test_the_last_page_that_is_full_has_none_after_it(client: TestClient, service: Service) -> None:
    remember(service, *[{}] * 4)
    assert client.get("/v1/inspections?limit=4").json()["next"] is None


def test_each_filter_lets_through_what_it_names(client: TestClient, service: Service) -> None:
    plain, other, late = remember(
        service,
        {},
        {
            "decision": "anomalous",
            "camera": "Top",
            "source": "folder",
            "score": 2.5,
            "name": "50%_Off.png",
        },
        {"decision": None, "at": BEGIN + timedelta(days=1)},
    )
    for params, expected in (
        ({"model": "part", "version": 1}, [late, other, plain]),
        ({"decision": "anomalous"}, [other]),
        ({"decision": "none"}, [late]),
        ({"camera": "Top"}, [other]),
        ({"camera": "top"}, []),
        ({"source": "folder"}, [other]),
        ({"min_score": 2.5}, [other]),
        ({"max_score": 0.5}, [late, plain]),
        ({"name": "%_o"}, [other]),
        ({"name": "0_o"}, []),
        ({"from": "2026-03-02"}, [late]),
        ({"to": "2026-03-02T06:00:00Z"}, [other, plain]),
        ({"from": "2026-03-02T07:30:00+01:30"}, [late]),
        ({"verdict": "none", "decision": "normal"}, [plain]),
    ):
        assert _ids(client, **params) == [one.id for one in expected], params


def test_the_last_verdict_filters(client: TestClient, service: Service) -> None:
    first, second, third = remember(service, {}, {}, {})
    service.verdicts.give(first.id, "good", by="ann")
    service.verdicts.give(first.id, "defective", by="ben")
    service.verdicts.give(second.id, "good", by="ann")
    service.verdicts.give(third.id, "good", by="ann")
    service.verdicts.give(third.id, "withdrawn", by="ann")
    assert _ids(client, verdict="good") == [second.id]
    assert _ids(client, verdict="defective") == [first.id]
    assert _ids(client, verdict="none") == [third.id]
    told = client.get("/v1/inspections").json()["inspections"]
    assert [one["verdict"] for one in told] == [None, "good", "defective"]


def test_an_inspection_is_told_whole(client: TestClient, service: Service) -> None:
    first, _, third, fourth = remember(service, {}, {"camera": "b"}, {}, {})
    service.verdicts.give(third.id, "good", by="ann")
    service.verdicts.give(third.id, "defective", by="ben", kind="scratch", region=[1, 2, 3, 4])
    told = client.get(f"/v1/inspections/{third.id}", params={"name": "00"}).json()
    assert told["model"] == "part"
    assert told["version"] == 1
    assert told["verdict"] == "defective"
    assert [one["by"] for one in told["verdicts"]] == ["ann", "ben"]
    assert told["verdicts"][1]["region"] == [1, 2, 3, 4]
    assert told["next"] == fourth.id
    told = client.get(f"/v1/inspections/{first.id}", params={"camera": "b"}).json()
    assert told["previous"] is None
    assert told["next"] is not None
    told = client.get(f"/v1/inspections/{fourth.id}", params={"verdict": "none"}).json()
    assert told["previous"] not in (None, third.id)
    assert told["next"] is None


def test_versions_are_told_by_their_number_within_the_model(
    client: TestClient, service: Service
) -> None:
    first = version(service)
    with service.database.session() as session:
        model = Model(name="other")
        session.add(model)
        session.flush()
        second = service.registry.add(session, model, first.sha256, state="accepted", by="x")
        session.add(row(second, 0))
    (told,) = client.get("/v1/inspections?model=other").json()["inspections"]
    assert second.id != 1
    assert (told["model"], told["version"]) == ("other", 1)


def test_who_may_only_inspect_sees_what_came_by_its_own_token(
    client: TestClient, service: Service
) -> None:
    mine, other = (service.tokens.make(name, "inspect") for name in ("mine", "other"))
    review = service.tokens.make("reviewer", "review")
    principal = service.tokens.find(mine)
    assert principal is not None
    own, foreign, _ = remember(service, {"token_id": principal.token_id}, {}, {})

    def ask(token: str, path: str) -> Any:
        return client.get(path, headers={"Authorization": f"Bearer {token}"})

    assert [one["id"] for one in ask(mine, "/v1/inspections").json()["inspections"]] == [own.id]
    assert ask(mine, f"/v1/inspections/{own.id}").json()["next"] is None
    assert ask(mine, f"/v1/inspections/{foreign.id}").status_code == 404
    assert ask(other, "/v1/inspections").json()["inspections"] == []
    assert len(ask(review, "/v1/inspections").json()["inspections"]) == 3


def test_what_makes_no_sense_is_told(client: TestClient) -> None:
    for path, status, words in (
        ("/v1/inspections?limit=0", 422, "limit must be from 1 to 1000, not 0"),
        ("/v1/inspections?cursor=x", 422, "'x' is no cursor"),
        (f"/v1/inspections?cursor={'0' * 24}", 422, "is no cursor"),
        ("/v1/inspections?cursor=%00", 422, "is no cursor"),
        ("/v1/inspections?decision=bad", 422, "decision is one of normal, unsure, anomalous, none"),
        ("/v1/inspections?verdict=bad", 422, "verdict is one of good, defective, none"),
        ("/v1/inspections?source=bad", 422, "source is one of http"),
        ("/v1/inspections?name=%00", 422, "name has the character U+0000"),
        (f"/v1/inspections?name={'x' * 300}", 422, "name has 300 characters"),
        ("/v1/inspections?version=1", 422, "give the model too"),
        ("/v1/inspections?model=part&version=99999999999999999999", 422, "version must be"),
        ("/v1/inspections?model=part&version=2", 404, "part has no version 2"),
        ("/v1/inspections?model=other", 404, "no model 'other'; there are part"),
        ("/v1/inspections?min_score=nan", 422, "min_score must be a number"),
        ("/v1/inspections?from=0001-01-01T00:00:00%2B14:00", 422, "beyond all times"),
        ("/v1/inspections/%00", 404, "no inspection"),
        (f"/v1/inspections/{'0' * 24}", 404, "no inspection"),
    ):
        answer = client.get(path)
        assert answer.status_code == status, (path, answer.text)
        assert words in answer.json()["error"]


def test_extreme_values_are_asked_of_both_databases(client: TestClient, service: Service) -> None:
    remember(service, {})
    assert len(_ids(client, min_score="-inf", max_score="inf")) == 1
    assert len(_ids(client, **{"from": "0001-01-01", "to": "9999-12-31T23:59:59Z"})) == 1
    assert _ids(client, name="\U0001f600") == []


def test_python_asks_as_http_does(service: Service) -> None:
    rows = remember(service, {}, {"decision": "unsure"})
    (record,) = service.memory.page(Filters(decision="unsure")).records
    assert record.inspection.id == rows[1].id
    assert [one.inspection.id for one in service.memory.all()] == [rows[1].id, rows[0].id]
    with pytest.raises(NotFoundError):
        service.memory.get("unknown")
    with pytest.raises(ParameterError):
        Filters(version=1)


def test_what_is_read_in_one_transaction_is_of_one_moment(service: Service) -> None:
    remember(service, {})
    count = select(func.count()).select_from(Inspection)
    with service.database.reading() as session:
        assert session.scalar(count) == 1
        remember(service, {})
        assert session.scalar(count) == 1
