"""A short run of what `fuzz.server` sends finds nothing."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from anomalist.server.app import create_app
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from fuzz.hostile import Asked, routes_of
from fuzz.server import Answer, Session, broken

CASES = 150


def test_nothing_that_is_sent_breaks_a_promise(settings: ServerSettings) -> None:
    service = Service(replace(settings, max_rate=1e6)).start()
    tokens = {role: service.tokens.make(role, role) for role in ("admin", "review", "inspect")}
    owner = service.tokens.make("owner", "inspect")
    app = create_app(service)
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        routes = [route for route in routes_of(app) if not route.path.endswith("/refit")]
        session = Session.of(port, tokens, owner, routes)
        statuses: Counter[int] = Counter()
        for number in range(CASES):
            who, asked, answer = session.case(np.random.default_rng([2, number]))
            assert not broken(asked, answer, who, session.hidden), asked.bytes()[:2000]
            statuses[0 if answer is None else answer.status] += 1
        assert statuses[200] > CASES / 10
    finally:
        server.should_exit = True
        service.stopping.set()
        thread.join()
        service.stop()


GET = Asked("GET", "/v1/inspections", (), b"")
SAFE = {"x-request-id": "a", "content-security-policy": "default-src 'self'"}


@pytest.mark.parametrize(
    ("who", "answer", "fault"),
    [
        ("admin", Answer(200, SAFE, b"{}", 0.1), ""),
        ("admin", Answer(500, SAFE, b"{}", 0.1), "answers 500"),
        ("admin", Answer(503, {**SAFE, "retry-after": "1"}, b"", 0.1), ""),
        ("admin", Answer(200, {}, b"", 0.1), "past the gate"),
        ("admin", Answer(200, {"x-request-id": "a"}, b"", 0.1), "no policy"),
        ("admin", Answer(200, SAFE, b"Traceback (most recent call last)", 0.1), "traceback"),
        ("admin", Answer(200, SAFE, b"of a mark", 0.1), ""),
        ("inspect", Answer(200, SAFE, b"of a mark", 0.1), "another's"),
        ("nobody", Answer(200, SAFE, b"{}", 0.1), "stranger"),
        ("admin", Answer(200, SAFE, b"{}", 31.0), "after 31"),
        (
            "admin",
            Answer(422, {**SAFE, "content-type": "application/json"}, b"{}", 0.1),
            "another shape",
        ),
        ("admin", None, "without a word"),
    ],
)
def test_what_breaks_a_promise_is_told(who: str, answer: Answer | None, fault: str) -> None:
    told = broken(GET, answer, who, ["mark"])
    assert fault in told
    assert bool(fault) == bool(told)


def test_what_is_sent_is_the_same_for_a_seed(tmp_path: Path) -> None:
    from fuzz.hostile import Hostile, Route

    hostile = Hostile([Route("POST", "/v1/{name}", ("model",))], {}, [b"a photograph"])
    made = [hostile.make(np.random.default_rng([0, n]), None).bytes() for n in range(50)]
    again = [hostile.make(np.random.default_rng([0, n]), None).bytes() for n in range(50)]
    assert made == again
    assert len(set(made)) == 50
