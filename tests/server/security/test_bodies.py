"""How much may be sent, told while it comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient
from starlette.types import Message

from anomalist.server.app import create_app
from anomalist.server.security.bodies import Bodies
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from tests.server.conftest import picture


def pieces(*sizes: int) -> Iterator[Message]:
    for size in sizes:
        yield {"type": "http.request", "body": bytes(size), "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}


def read(bodies: Bodies, *sizes: int, known: bool = True, release: bool = True) -> int:
    """Read a request of pieces; return how much of it was taken."""
    coming = pieces(*sizes)

    async def receive() -> Message:
        return next(coming)

    async def whole() -> int:
        reader, taken = bodies.reader(receive, known=known), 0
        try:
            while True:
                message = await reader()
                taken += len(message["body"])
                if not message["more_body"]:
                    return taken
        finally:
            if release:
                reader.release()

    return asyncio.run(whole())


def test_what_fits_is_read_whole() -> None:
    assert read(Bodies(100), 60, 40) == 100


def test_what_is_too_large_is_told_before_it_is_whole() -> None:
    with pytest.raises(HTTPException) as caught:
        read(Bodies(100), *[60] * 1000)
    assert caught.value.status_code == 413


def test_who_is_not_known_may_send_little() -> None:
    bodies = Bodies(10_000_000)
    with pytest.raises(HTTPException) as caught:
        read(bodies, 70_000, known=False)
    assert caught.value.status_code == 413
    assert read(bodies, 70_000) == 70_000


def test_all_together_may_hold_so_much() -> None:
    bodies = Bodies(100)
    for _ in range(8):
        read(bodies, 100, release=False)
    with pytest.raises(HTTPException) as caught:
        read(bodies, 1)
    assert caught.value.status_code == 503
    bodies = Bodies(100)
    for _ in range(20):
        read(bodies, 100)


def test_what_stalls_is_let_go() -> None:
    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    async def ask() -> None:
        await Bodies(100, stall_s=0.01).reader(receive, known=True)()

    with pytest.raises(HTTPException) as caught:
        asyncio.run(ask())
    assert caught.value.status_code == 408


@pytest.mark.parametrize(
    ("length", "status"), [("101", 413), ("9" * 5000, 413), ("-1", 400), ("1_0", 400), ("²", 400)]
)
def test_an_announced_length_is_judged_before_it_comes(length: str, status: int) -> None:
    refusal = Bodies(100).refusal(length, known=True)
    assert refusal is not None
    assert refusal.status_code == status


def test_a_photograph_that_is_too_large_is_told(settings: ServerSettings) -> None:
    service = Service(replace(settings, max_mb=0.001, database=None)).start()
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        answer = client.post("/v1/inspect", files={"file": ("a.png", picture(1))})
        assert answer.status_code == 413
        assert answer.json() == {
            "error": "a request may hold at most 0.001 MB: send fewer or smaller photographs at"
            " once"
        }
        chunks = (bytes(500) for _ in range(10))
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = client.post("/v1/inspect", content=chunks, headers=kind)
        assert answer.status_code == 413
    service.stop()
