"""The parts of a server: started and stopped in order, and told of when they die."""

from __future__ import annotations

import threading

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from anomalist.errors import ParameterError, ServerError
from anomalist.server.background import Background
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from tests.server.conftest import picture


class Told:
    """A part that says when it starts and stops."""

    def __init__(self, name: str, heard: list[str], fails: bool = False) -> None:
        self.name, self.heard, self.fails = name, heard, fails

    def start(self) -> None:
        self.heard.append(f"start {self.name}")
        if self.fails:
            raise ServerError(f"{self.name} can't start")

    def stop(self) -> None:
        self.heard.append(f"stop {self.name}")

    def fault(self) -> str | None:
        return None


def test_parts_start_in_order_and_stop_in_the_other(settings: ServerSettings) -> None:
    service, heard = Service(settings), list[str]()
    service.parts += [Told("out", heard), Told("in", heard)]
    service.start()
    assert service.faults() == {}
    service.stop()
    assert heard == ["start out", "start in", "stop in", "stop out"]


def test_where_a_part_can_not_start_all_are_stopped(settings: ServerSettings) -> None:
    service, heard = Service(settings), list[str]()
    service.parts += [Told("out", heard), Told("in", heard, fails=True)]
    with pytest.raises(ServerError, match="in can't start"):
        service.start()
    assert heard == ["start out", "start in", "stop in", "stop out"]
    Service(settings).start().stop()


def test_a_part_that_dies_is_told(
    service: Service, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.get("/readyz").json() == {"status": "ok", "models": ["part"]}
    died = threading.Event()

    def work(_stop: threading.Event) -> None:
        died.set()
        raise ServerError("the disk is gone")

    part = Background("retention", work)
    part.start()
    died.wait()
    part.stop()
    service.parts.append(part)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "faults": ["retention"]}
    assert service.faults() == {"retention": "the disk is gone"}
    assert "retention has ended: the disk is gone" in caplog.text
    assert client.get("/healthz").status_code == 200


def test_a_server_that_stops_is_not_ready(service: Service, client: TestClient) -> None:
    service.stopping.set()
    assert client.get("/readyz").json()["faults"] == ["server"]


def test_work_that_ends_by_itself_is_told() -> None:
    for work in (lambda _stop: None, lambda _stop: 1 / 0):
        part = Background("work", work)
        part.start()
        while part.fault() is None:
            pass
        part.stop()


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_which_addresses_are_this_machine_alone(host: str, local: bool) -> None:
    assert ServerSettings(models="m", host=host).is_local is local


@pytest.mark.parametrize(
    "wrong", [{"port": 70000}, {"keep_days": 0.0}, {"keep_gb": float("nan")}, {"wait_ms": -1.0}]
)
def test_settings_that_make_no_sense_are_told(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        ServerSettings(models="m", **wrong)  # type: ignore[arg-type]


def test_a_database_that_fails_is_told_in_a_line(
    service: Service, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("disk I/O error"))

    event.listen(service.database.engine, "before_cursor_execute", fail)
    answer = client.post("/v1/inspect", files={"file": ("a.png", picture(1))})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json() == {"error": "the server can't answer now: why, its log says"}
    assert "can't be used: disk I/O error" in caplog.text
    assert client.get("/readyz").status_code == 503
    assert list(service.faults()) == ["database"]
