from __future__ import annotations

from fastapi.testclient import TestClient

from anomalist.server.memory import Filters
from anomalist.server.service import Service
from tests.server.rows import remember


def test_the_unsure_and_the_surprising_come_first(client: TestClient, service: Service) -> None:
    rows = remember(
        service,
        {"decision": "anomalous", "p_value": None},
        {"decision": "anomalous", "p_value": 0.04},
        {"decision": "anomalous", "p_value": 0.01},
        {"decision": "anomalous", "p_value": 0.01},
        {"decision": "normal", "p_value": 0.5},
        {"decision": "unsure", "p_value": 0.2},
        {"decision": "unsure", "p_value": 0.1},
        {"decision": None, "p_value": None},
        {"decision": "unsure", "p_value": 0.06, "kept": False},
    )
    expected = [rows[index].id for index in (6, 5, 3, 2, 1, 0)]
    body = client.get("/v1/queue").json()
    assert [one["id"] for one in body["inspections"]] == expected
    assert body["waiting"] == 6
    assert body["next"] is None
    seen, cursor = [], None
    while True:
        page = service.review.page(cursor=cursor, limit=1)
        seen += [record.inspection.id for record in page.records]
        # What was judged since doesn't lose the place.
        service.verdicts.give(seen[-1], "good", by="ann")
        if (cursor := page.next) is None:
            break
    assert seen == expected
    assert client.get("/v1/queue").json() == {"inspections": [], "waiting": 0, "next": None}
    service.verdicts.give(seen[3], "withdrawn", by="ann")
    assert [record.inspection.id for record in service.review.page().records] == [seen[3]]


def test_filters_hold(client: TestClient, service: Service) -> None:
    top, _ = remember(service, {"decision": "unsure", "camera": "top"}, {"decision": "unsure"})
    body = client.get("/v1/queue", params={"camera": "top"}).json()
    assert [one["id"] for one in body["inspections"]] == [top.id]
    assert body["waiting"] == 1
    assert service.review.waiting(Filters(decision="anomalous")) == 0


def test_what_is_no_cursor_is_told(client: TestClient, service: Service) -> None:
    (part,) = remember(service, {})
    for query, words in (
        (f"cursor={part.id}", "it never was to be reviewed"),
        ("cursor=x", "is no cursor"),
        ("limit=1001", "limit must be from 1 to 1000"),
    ):
        answer = client.get(f"/v1/queue?{query}")
        assert answer.status_code == 422
        assert words in answer.json()["error"]
