from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from anomalist.errors import BusyError
from anomalist.server.app import create_app
from anomalist.server.database import Database
from anomalist.server.database.tables import DriftWarning, Model, Version, now
from anomalist.server.events import Event, Events
from anomalist.server.principals import Tokens
from anomalist.server.service import Service
from tests.server.conftest import picture


def _heard(events: Events, position: str | None, count: int, **options: Any) -> list[Event]:
    """What is heard after a place, until there are so many."""

    async def listen() -> list[Event]:
        heard: list[Event] = []
        async for found in events.listen(position, threading.Event(), **options):
            heard += found
            if len(heard) >= count:
                break
        return heard

    return asyncio.run(asyncio.wait_for(listen(), 10))


def _numbers(events: list[Event]) -> list[int]:
    return [json.loads(event.data)["n"] for event in events]


def test_who_comes_back_hears_what_was_missed() -> None:
    events = Events()
    for n in range(3):
        events.publish("part", {"n": n})
    position = events.position
    for n in range(3, 6):
        events.publish("part", {"n": n})
    assert _numbers(_heard(events, position, 3)) == [3, 4, 5]


def test_what_is_published_while_listening_is_heard_once_and_in_order() -> None:
    events = Events()
    position = events.position
    publishers = [
        threading.Thread(
            target=lambda: [(events.publish("part", {"n": 0}), time.sleep(0)) for _ in range(100)]
        )
        for _ in range(4)
    ]
    for thread in publishers:
        thread.start()
    heard = _heard(events, position, 400, tick=30)
    for thread in publishers:
        thread.join()
    places = [int(event.position.split("-")[1]) for event in heard]
    assert places == list(range(1, 401))


@pytest.mark.parametrize("position", ["", "x", "-1", "abc-1", "0-" + "9" * 30, "abc-²"])
def test_a_place_of_another_start_is_reset(position: str) -> None:
    events = Events()
    events.publish("part", {"n": 0})
    (event,) = _heard(events, position, 1)
    assert event.kind == "reset"
    assert event.position == events.position


def test_who_is_too_slow_is_told_so_and_goes_on_from_now() -> None:
    events = Events(kept=5)
    position = events.position
    for n in range(6):
        events.publish("part", {"n": n})
    (event,) = _heard(events, position, 1)
    assert event.kind == "reset"
    later = events.position
    events.publish("part", {"n": 6})
    assert _numbers(_heard(events, later, 1)) == [6]


def test_only_so_many_listen_and_who_leaves_makes_room() -> None:
    events = Events(listeners=1)

    async def listen() -> None:
        first = events.listen(None, threading.Event())
        await anext(first)
        with pytest.raises(BusyError, match="1 listen already"):
            await anext(events.listen(None, threading.Event()))
        await first.aclose()
        await anext(events.listen(None, threading.Event()))

    asyncio.run(listen())


def test_publishing_never_fails_when_a_loop_has_ended() -> None:
    events = Events()

    async def listen() -> Any:
        heard = events.listen(None, threading.Event())
        await anext(heard)
        return heard

    loop = asyncio.new_event_loop()
    kept = loop.run_until_complete(listen())
    loop.close()
    events.publish("part", {"n": 0})
    assert kept is not None


def test_a_warning_of_drift_is_told() -> None:
    events = Events()
    position = events.position
    model = Model(name="part")
    events.warned(
        DriftWarning(
            id=1, model=model, version=Version(number=3), at=now(), condition="shift", text="darker"
        )
    )
    (event,) = _heard(events, position, 1)
    assert event.kind == "warning"
    told = json.loads(event.data)
    assert (told["model"], told["version"], told["text"]) == ("part", 3, "darker")


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """The service on a port."""
    config = uvicorn.Config(
        create_app(service), port=0, lifespan="off", log_config=None, access_log=False, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    service.stopping.set()
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive(), "streams of events keep it from stopping"


def _events(response: httpx.Response) -> Iterator[tuple[str, str, Any]]:
    """The events of a stream: id, kind and data."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields["id"], fields["event"], json.loads(fields["data"])
            fields = {}


def test_events_come_over_http_to_who_may_read_them(address: str, service: Service) -> None:
    tokens = {
        name: service.tokens.make(name, role)
        for name, role in (("mine", "inspect"), ("other", "inspect"), ("judge", "review"))
    }
    headers = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}
    with httpx.Client(base_url=address, timeout=10) as client:

        def inspect(name: str) -> str:
            answer = client.post(
                "/v1/inspect", files={"file": ("a.png", picture(1))}, headers=headers[name]
            )
            (told,) = answer.json()["inspections"]
            return str(told["id"])

        assert client.get("/v1/events").status_code == 401
        before = service.events.position
        foreign, own = inspect("other"), inspect("mine")
        service.verdicts.give(own, "good", by="judge")
        for name, expected in (("mine", [own, own]), ("judge", [foreign, own, own])):
            with client.stream(
                "GET", "/v1/events", params={"after": before}, headers=headers[name]
            ) as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                heard = _events(stream)
                told = [next(heard) for _ in expected]
            assert [data.get("id") or data["inspection"] for _, _, data in told] == expected
            assert told[-1][1] == "verdict"
        again = {**headers["mine"], "Last-Event-ID": told[0][0]}
        with client.stream("GET", "/v1/events", params={"after": "x"}, headers=again) as stream:
            assert next(_events(stream))[2]["id"] == own
        with client.stream("GET", "/v1/events", headers=again) as stream:
            heard = _events(stream)
            next(heard)
            service.stopping.set()
            assert [kind for _, kind, _ in heard] == ["verdict"]


def test_a_stream_ends_within_seconds_once_its_token_is_revoked(
    address: str, service: Service
) -> None:
    made = {name: service.tokens.make(name, "review") for name in ("gone", "stays")}
    headers = {name: {"Authorization": f"Bearer {token}"} for name, token in made.items()}
    with (
        httpx.Client(base_url=address, timeout=10) as client,
        client.stream("GET", "/v1/events", headers=headers["gone"]) as gone,
        client.stream("GET", "/v1/events", headers=headers["stays"]) as stays,
    ):
        # As the command line does it, beside the server.
        other = Database(service.settings.database_url)
        Tokens(other).revoke("gone")
        other.close()
        began = time.monotonic()
        assert list(_events(gone)) == []
        assert time.monotonic() - began < 5
        service.events.publish("model", {"name": "part"})
        assert next(_events(stays))[1] == "model"


def test_who_needed_no_token_needs_one_from_the_first_on(address: str, service: Service) -> None:
    with (
        httpx.Client(base_url=address, timeout=10) as client,
        client.stream("GET", "/v1/events") as stream,
    ):
        service.tokens.make("anna", "admin")
        assert list(_events(stream)) == []


def test_who_does_not_read_is_let_go(
    address: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomalist.server.api.events._PATIENCE_S", 0.2)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        connection.recv(100)
        assert service.events.listeners == 1
        ends = time.monotonic() + 10
        while service.events.listeners and time.monotonic() < ends:
            service.events.publish("part", {"much": "x" * 1_000_000})
            time.sleep(0.02)
    assert service.events.listeners == 0
