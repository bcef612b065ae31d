from __future__ import annotations

import threading

from fastapi.testclient import TestClient

from anomalist.server.database.tables import Inspection, Verdict
from anomalist.server.service import Service
from tests.server.rows import remember


def test_a_verdict_is_kept_and_told(client: TestClient, service: Service) -> None:
    (part,) = remember(service, {})
    told: list[tuple[Inspection, Verdict]] = []
    service.verdicts.on_given.append(lambda inspection, verdict: told.append((inspection, verdict)))
    answer = client.post(
        f"/v1/inspections/{part.id}/verdict",
        json={
            "verdict": "defective",
            "kind": " scratch ",
            "region": [0, 0, 64, 64],
            "note": "a\nb",
        },
    )
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body.pop("at").endswith("+00:00")
    assert body == {
        "inspection": part.id,
        "verdict": "defective",
        "kind": "scratch",
        "region": [0, 0, 64, 64],
        "note": "a\nb",
        "by": "local",
    }
    ((inspection, verdict),) = told
    assert inspection.id == part.id
    assert verdict.kind == "scratch"


def test_no_verdict_is_overwritten(client: TestClient, service: Service) -> None:
    (part,) = remember(service, {})
    for said in ("good", "defective", "withdrawn"):
        client.post(f"/v1/inspections/{part.id}/verdict", json={"verdict": said})
    told = client.get(f"/v1/inspections/{part.id}").json()
    assert [one["verdict"] for one in told["verdicts"]] == ["good", "defective", "withdrawn"]
    assert told["verdict"] is None


def test_what_is_no_verdict_is_told(client: TestClient, service: Service) -> None:
    (part,) = remember(service, {})
    path = f"/v1/inspections/{part.id}/verdict"
    for given, words in (
        ('{"verdict": "fine"}', "a verdict is good, defective, withdrawn, not 'fine'"),
        ('{"verdict": "good", "region": [0, 0, 65, 1]}', "64 x 64 pixels"),
        ('{"verdict": "good", "region": [0, 0, 0, 1]}', "outside of the photograph"),
        ('{"verdict": "good", "region": [0, 0, 1e999, 1]}', "left, top, width and height"),
        ('{"verdict": "good", "region": [0, 0, 1]}', "left, top, width and height"),
        ('{"verdict": "good", "kind": "a\\u0000b"}', "kind has the character U+0000"),
        ('{"verdict": "good", "note": "%s"}' % ("x" * 2001), "note has 2001 characters"),
        ('{"verdict": "good", "kind": "\\ud800"}', ""),
        ('{"verdict": "good", "by": "another"}', ""),
        ('{"kind": "scratch"}', ""),
        ("", ""),
    ):
        answer = client.post(path, content=given, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, given
        if words:
            assert words in answer.json()["error"]
    assert service.memory.history(part) == []


def test_an_unknown_inspection_is_told(client: TestClient) -> None:
    for name in ("0" * 24, "x"):
        answer = client.post(f"/v1/inspections/{name}/verdict", json={"verdict": "good"})
        assert answer.status_code == 404
        assert name in answer.json()["error"]


def test_the_name_of_the_token_is_kept(client: TestClient, service: Service) -> None:
    (part,) = remember(service, {})
    path = f"/v1/inspections/{part.id}/verdict"
    for role, status in (("inspect", 403), ("review", 201)):
        token = service.tokens.make(f"a {role}", role)
        headers = {"Authorization": f"Bearer {token}"}
        assert client.post(path, json={"verdict": "good"}, headers=headers).status_code == status
    (verdict,) = service.memory.history(part)
    assert verdict.by == "a review"


def test_people_who_judge_at_once_are_all_kept(service: Service) -> None:
    (part,) = remember(service, {})
    threads = [
        threading.Thread(
            target=lambda: [service.verdicts.give(part.id, "good", by="x") for _ in range(5)]
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(service.memory.history(part)) == 20
