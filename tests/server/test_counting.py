from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.testclient import TestClient

from anomalist.metrics import exact_interval
from anomalist.server.database.tables import now
from anomalist.server.memory import Filters
from anomalist.server.service import Service
from tests.server.rows import BEGIN, remember


def _judge(service: Service, decision: str | None, verdicts: str, **values: Any) -> None:
    """Keep a part for each letter: g is judged good, d defective, - not at all."""
    parts = remember(service, *[{"decision": decision, **values} for _ in verdicts])
    for part, letter in zip(parts, verdicts, strict=True):
        if letter != "-":
            verdict = {"g": "good", "d": "defective"}[letter]
            service.verdicts.give(part.id, verdict, by="ann")


def test_misses_and_false_alarms_are_counted_among_the_judged(
    client: TestClient, service: Service
) -> None:
    _judge(service, "normal", "ggggd-----")
    _judge(service, "unsure", "gd-")
    _judge(service, "anomalous", "gdd-")
    _judge(service, None, "gd-")
    (counts,) = client.get("/v1/counts").json()["counts"]
    assert (counts["model"], counts["version"]) == ("part", 1)
    assert counts["inspected"] == 20
    assert counts["decided"] == {"normal": 10, "unsure": 3, "anomalous": 4, "none": 3}
    assert counts["judged"] == {"good": 7, "defective": 5}
    low, high = exact_interval(1, 6)
    assert counts["false_alarms"] == {"count": 1, "of": 6, "rate": 1 / 6, "low": low, "high": high}
    assert (counts["misses"]["count"], counts["misses"]["of"]) == (1, 4)
    assert counts["alarms_that_were_good"]["rate"] == 1 / 3
    assert counts["passes_that_were_defective"]["rate"] == 1 / 5


def test_where_nothing_was_judged_there_is_no_rate(client: TestClient, service: Service) -> None:
    assert client.get("/v1/counts").json() == {"counts": [], "level": 0.95, "next": None}
    _judge(service, "normal", "-")
    (counts,) = client.get("/v1/counts").json()["counts"]
    assert counts["misses"] == {"count": 0, "of": 0, "rate": None, "low": None, "high": None}


def test_the_last_verdict_counts(client: TestClient, service: Service) -> None:
    (part,) = remember(service, {})
    for said, misses in (("defective", 1), ("good", 0), ("defective", 1), ("withdrawn", 0)):
        service.verdicts.give(part.id, said, by="ann")
        (counts,) = client.get("/v1/counts").json()["counts"]
        assert counts["misses"]["count"] == misses


def test_cameras_are_counted_each_for_itself(client: TestClient, service: Service) -> None:
    _judge(service, "anomalous", "gg", camera="top")
    _judge(service, "anomalous", "d")
    told = client.get("/v1/counts", params={"by": "camera"}).json()["counts"]
    assert [(one["camera"], one["false_alarms"]["count"]) for one in told] == [
        (None, 0),
        ("top", 2),
    ]
    (told,) = client.get("/v1/counts", params={"by": "camera", "camera": "top"}).json()["counts"]
    assert told["inspected"] == 2


def test_days_begin_at_midnight_of_the_zone(client: TestClient, service: Service) -> None:
    _judge(service, "normal", "-", at=datetime(2026, 3, 28, 22, 59, tzinfo=UTC))
    _judge(service, "normal", "d", at=datetime(2026, 3, 28, 23, 1, tzinfo=UTC))
    # On the 29th Vienna's clocks go forward: its next day begins an hour earlier.
    _judge(service, "normal", "-", at=datetime(2026, 3, 29, 22, 1, tzinfo=UTC))
    asked = {"by": "day", "from": "2026-03-01", "to": "2026-04-01"}
    for zone, expected in (
        ("UTC", [("2026-03-28", 2), ("2026-03-29", 1)]),
        ("Europe/Vienna", [("2026-03-28", 1), ("2026-03-29", 1), ("2026-03-30", 1)]),
    ):
        told = client.get("/v1/counts", params={**asked, "zone": zone}).json()["counts"]
        assert [(one["day"], one["inspected"]) for one in told] == expected


def test_days_are_the_last_thirty(client: TestClient, service: Service) -> None:
    _judge(service, "normal", "-", at=now() - timedelta(days=29))
    _judge(service, "normal", "-", at=now() - timedelta(days=31))
    assert len(client.get("/v1/counts?by=day").json()["counts"]) == 1


def test_a_sample_is_one_in_sixteen_and_says_what_all_are_like(service: Service) -> None:
    ids = [f"{index:x}".zfill(2) + "0" * 22 for index in range(256)]
    remember(service, *[{"id": name} for name in ids])
    sampled = service.memory.page(Filters(sampled=True), limit=1000).records
    assert len(sampled) == 16
    (counts,) = service.counting.count(Filters(sampled=True))
    assert sum(counts.decided.values()) == 16


def test_what_makes_no_sense_is_told(client: TestClient) -> None:
    for query, words in (
        ("by=hour", "by is one of version, camera, day, not 'hour'"),
        ("by=day&zone=Nowhere", "zone 'Nowhere' isn't known"),
        ("by=day&zone=../../etc/passwd", "isn't known"),
        ("by=day&zone=%00", "isn't known"),
        ("by=day&zone=", "isn't known"),
        ("by=day&from=2020-01-01&to=2026-01-01", "2192 days are asked for: 400 are the most"),
        ("by=day&from=0001-01-01&to=9999-12-31", "400 are the most"),
        ("by=day&from=2026-01-02&to=2026-01-01", "no time from"),
        ("by=day&from=9999-12-31&to=9999-12-31T23:00:00", "no such days"),
    ):
        answer = client.get(f"/v1/counts?{query}")
        assert answer.status_code == 422, query
        assert words in answer.json()["error"]


def test_many_days_are_counted_at_once(service: Service) -> None:
    rows = remember(service, *[{"at": BEGIN + timedelta(days=day)} for day in (0, 1, 1, 399)])
    service.verdicts.give(rows[1].id, "defective", by="ann")
    until = BEGIN + timedelta(days=400)
    counts = service.counting.count(Filters(since=BEGIN, until=until), by="day")
    assert [sum(one.decided.values()) for one in counts] == [1, 2, 1]
    assert [one.misses.count for one in counts] == [0, 1, 0]
