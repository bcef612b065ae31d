from __future__ import annotations

import csv
import io
from typing import Any

from fastapi.testclient import TestClient

from anomalist.server.memory import MOST
from anomalist.server.service import Service
from anomalist.server.table import COLUMNS
from tests.server.rows import remember


def _rows(client: TestClient, **params: Any) -> list[dict[str, str]]:
    answer = client.get("/v1/inspections.csv", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_all_are_in_the_table_with_what_holds(client: TestClient, service: Service) -> None:
    first, second = remember(
        service,
        {"score": -0.1 + 0.3, "p_value": None, "decision": None, "camera": 'a,"b"'},
        {"score": -1.5},
    )
    service.verdicts.give(first.id, "good", by="ann")
    service.verdicts.give(first.id, "defective", by="ben", kind="Kratzer ä", note="one\ntwo")
    newest, oldest = _rows(client)
    assert list(newest) == list(COLUMNS)
    assert newest["id"] == second.id
    assert newest["score"] == "-1.5"
    assert newest["verdict"] == newest["judged_by"] == ""
    assert float(oldest["score"]) == first.score
    assert oldest["at"] == first.at.isoformat()
    assert (oldest["model"], oldest["version"]) == ("part", "1")
    assert (oldest["camera"], oldest["p_value"], oldest["decision"]) == ('a,"b"', "", "")
    assert (oldest["verdict"], oldest["judged_by"]) == ("defective", "ben")
    assert (oldest["kind"], oldest["note"]) == ("Kratzer ä", "one\ntwo")
    assert [row["id"] for row in _rows(client, camera='a,"b"')] == [first.id]


def test_no_spreadsheet_runs_what_a_client_wrote(client: TestClient, service: Service) -> None:
    names = ["=1+1", "+1", "-1", "@A1", " =1", "\uff1d1", "\t=1", "a=1.png"]
    parts = remember(service, *[{"name": name, "camera": name} for name in names])
    service.verdicts.give(parts[0].id, "good", by="=ann", kind="-1", note="=1")
    rows = _rows(client)[::-1]
    expected = ["'" + name for name in names[:-1]] + names[-1:]
    assert [row["name"] for row in rows] == expected
    assert [row["camera"] for row in rows] == expected
    assert (rows[0]["kind"], rows[0]["note"], rows[0]["judged_by"]) == ("'-1", "'=1", "'=ann")


def test_more_than_a_page_is_told_once(client: TestClient, service: Service) -> None:
    parts = remember(service, *[{}] * (MOST + 1))
    assert [row["id"] for row in _rows(client)] == [part.id for part in reversed(parts)]


def test_an_empty_table_has_its_columns(client: TestClient) -> None:
    assert client.get("/v1/inspections.csv").text == ",".join(COLUMNS) + "\r\n"


def test_what_can_not_be_asked_for_is_told(client: TestClient) -> None:
    answer = client.get("/v1/inspections.csv?model=other")
    assert answer.status_code == 404
    assert answer.json() == {"error": "no model 'other'; there are part"}


def test_who_may_only_inspect_gets_what_came_by_its_own_token(
    client: TestClient, service: Service
) -> None:
    token = service.tokens.make("mine", "inspect")
    principal = service.tokens.find(token)
    assert principal is not None
    own, _ = remember(service, {"token_id": principal.token_id}, {})
    client.headers["Authorization"] = f"Bearer {token}"
    assert [row["id"] for row in _rows(client)] == [own.id]
