from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from anomalist.errors import ParameterError
from anomalist.server import webhook
from anomalist.server.database import Database
from anomalist.server.database.tables import now
from anomalist.server.inspecting import Upload
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from anomalist.server.webhook import Webhook
from tests.server.conftest import picture
from tests.server.rows import remember
from tests.server.test_folder import until


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


class Listener:
    """Another server, which answers as it is told and remembers what it heard."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                listener.heard.append((self.path, headers, body))
                self.send_response(listener.answers.pop(0) if listener.answers else 204)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def end(self) -> None:
        """Listen no more."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setattr(webhook, "_FIRST_S", 0.02)
    made = Listener()
    made.thread.start()
    yield made
    made.end()


def upload(seed: int, **how: Any) -> Upload:
    return Upload(name=f"{seed}.png", data=picture(seed, **how), source="http", camera="top")


def test_what_is_decided_is_told_signed_in_order_and_again_until_it_is_heard(
    settings: ServerSettings, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = b"0123456789abcdef"
    monkeypatch.setenv(webhook.SECRET, f"whsec_{base64.b64encode(key).decode()}")
    listener.answers = [500, 302, 200]
    service = Service(replace(settings, webhook=listener.url)).start()
    rows = service.inspector.inspect([upload(100), upload(101, defect=True)])
    until(lambda: len(listener.heard) == 4)
    service.stop()
    assert {path for path, _, _ in listener.heard} == {"/hook"}  # a redirect isn't followed
    ids = [headers["webhook-id"] for _, headers, _ in listener.heard]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    told = [json.loads(body) for _, _, body in listener.heard[2:]]
    assert [one["type"] for one in told] == ["inspection", "inspection"]
    assert [one["inspection"]["id"] for one in told] == [row.id for row in rows]  # type: ignore[union-attr]
    assert told[1]["inspection"]["decision"] == "anomalous"
    assert told[1]["inspection"]["model"] == "part"
    for _, headers, body in listener.heard:
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{signature}"
    state = service.sources.states()[-1]
    assert (state["heard"], state["lost"], state["trouble"]) == (2, 0, None)


def test_warnings_are_told_and_normal_parts_are_not_where_notable_ones_are_asked_for(
    settings: ServerSettings, listener: Listener
) -> None:
    service = Service(replace(settings, webhook=listener.url, webhook_on="notable")).start()
    service.inspector.inspect([upload(seed) for seed in range(100, 110)])
    service.inspector.inspect([upload(seed, light=0.8) for seed in range(200, 220)])
    service.drift.catch_up()
    until(lambda: any(b'"warning"' in body for _, _, body in listener.heard))
    service.stop()
    told = [json.loads(body) for _, _, body in listener.heard]
    assert {one["inspection"]["decision"] for one in told if "inspection" in one} <= {
        "anomalous",
        "unsure",
    }
    warning = next(one["warning"] for one in told if one["type"] == "warning")
    assert (warning["model"], warning["camera"], warning["condition"]) == ("part", "top", "shift")


def test_nobody_waits_for_who_does_not_listen_and_the_next_server_tells_it(
    settings: ServerSettings, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_LAST_S", 0.3)
    service = Service(replace(settings, webhook="http://127.0.0.1:9/hook")).start()
    rows = service.inspector.inspect([upload(seed) for seed in range(100, 108)])
    assert len(rows) == 8
    until(lambda: service.sources.states()[-1]["trouble"] is not None)
    state = service.sources.states()[-1]
    assert "can't be reached" in state["trouble"]
    assert (state["waiting"], state["lost"]) == (8, 0)
    service.stop()
    # Nothing but the database says what waits: as after a kill.
    service = Service(replace(settings, webhook=listener.url)).start()
    until(lambda: service.sources.states()[-1]["waiting"] == 0)
    service.stop()
    assert told(listener) == [row.id for row in rows]  # type: ignore[union-attr]
    # Heard, and not told again.
    service = Service(replace(settings, webhook=listener.url)).start()
    (last,) = service.inspector.inspect([upload(200)])
    until(lambda: len(listener.heard) == 9)
    service.stop()
    assert told(listener)[8:] == [last.id]  # type: ignore[union-attr]


def told(listener: Listener) -> list[str]:
    """The inspections that were heard."""
    return [json.loads(body)["inspection"]["id"] for _, _, body in listener.heard]


def test_a_server_without_a_webhook_leaves_nothing_to_be_told_later(
    settings: ServerSettings, listener: Listener
) -> None:
    service = Service(replace(settings, webhook=listener.url)).start()
    service.inspector.inspect([upload(100)])
    until(lambda: len(listener.heard) == 1)
    service.stop()
    service = Service(settings).start()
    service.inspector.inspect([upload(101)])
    service.stop()
    service = Service(replace(settings, webhook=listener.url)).start()
    (last,) = service.inspector.inspect([upload(102)])
    until(lambda: len(listener.heard) == 2)
    service.stop()
    assert told(listener)[1:] == [last.id]  # type: ignore[union-attr]


def test_one_that_is_refused_again_and_again_does_not_hold_up_the_others(
    settings: ServerSettings, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_TRIES", 3)
    listener.answers = [503, 400, 503, 400, 500, 204]
    service = Service(replace(settings, webhook=listener.url)).start()
    rows = service.inspector.inspect([upload(100), upload(101)])
    until(lambda: len(listener.heard) == 6)
    until(lambda: service.sources.states()[-1]["waiting"] == 0)
    # That the listener is away says nothing of the message, which is too old then.
    monkeypatch.setattr(webhook, "_AGE", timedelta(0))
    listener.answers = [503]
    (old, new) = (service.inspector.inspect([upload(seed)])[0] for seed in (102, 103))
    until(lambda: len(listener.heard) == 8)
    service.stop()
    ids = [one.id for one in (rows[0],) * 5 + (rows[1], old, new)]  # type: ignore[union-attr]
    assert told(listener) == ids
    state = service.sources.states()[-1]
    assert (state["heard"], state["lost"]) == (2, 2)


def test_what_waits_in_plenty_is_told_in_order_once(
    settings: ServerSettings, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_TOGETHER", 3)
    service = Service(replace(settings, webhook=listener.url, webhook_on="notable")).start()
    parts = [{"decision": "anomalous" if i % 4 == 0 else "normal", "at": now()} for i in range(40)]
    rows = remember(service, *parts)
    assert service.sources.states()[-1]["waiting"] == 10
    until(lambda: wake(service) and service.sources.states()[-1]["waiting"] == 0)
    service.stop()
    assert told(listener) == [row.id for row in rows if row.decision == "anomalous"]


def wake(service: Service) -> bool:
    """Say that something was committed, as the inspector does."""
    for listening in service.inspector.on_inspected:
        if getattr(listening, "__name__", "") == "wake":
            listening(service.registry.answering(), [])
    return True


@pytest.mark.parametrize("url", ["ftp://a", "a", "http://", "file:///etc/passwd", "http://["])
def test_what_is_no_address_is_told(url: str, database: Database) -> None:
    with pytest.raises(ParameterError, match="--webhook takes"):
        Webhook(database, url)


def test_a_secret_that_is_none_is_told(database: Database) -> None:
    with pytest.raises(ParameterError, match="base64"):
        Webhook(database, "http://a", secret="whsec_?")
