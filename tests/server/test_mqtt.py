from __future__ import annotations

import json
import os
import queue
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from anomalist.errors import ParameterError
from anomalist.server.addresses import PASSWORD, Broker
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from anomalist.server.sources.mqtt import MqttSource
from tests.server.conftest import picture
from tests.server.test_folder import rows_of, until


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Topics of one's own on the broker."""
    broker = os.environ.get("ANOMALIST_TEST_MQTT")
    if broker is None:
        pytest.skip("ANOMALIST_TEST_MQTT isn't set")
    return f"{broker}/line{time.monotonic_ns()}"


class Line:
    """Who sends photographs and listens to decisions."""

    def __init__(self, url: str, client: str = "", context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self.prefix = parts.path.strip("/")
        self.heard: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._subscribed: queue.Queue[None] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client, protocol=paho.MQTTv5)
        if context is not None:
            self.client.tls_set_context(context)
        self.client.on_message = lambda _c, _u, message: self.heard.put(message)
        self.client.on_subscribe = lambda *_: self._subscribed.put(None)
        assert parts.hostname
        self.client.connect(parts.hostname, parts.port or 1883)
        self.client.loop_start()
        for topic in ("inspections/#", "errors/#", "warnings/#", "answers"):
            self.client.subscribe(f"{self.prefix}/{topic}", qos=1)
            self._subscribed.get(timeout=60)

    def send(self, topic: str, data: bytes, *, retain: bool = False, **properties: Any) -> None:
        given = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        for name, value in properties.items():
            setattr(given, name, value)
        sent = self.client.publish(f"{self.prefix}/{topic}", data, 1, retain, given)
        sent.wait_for_publish(60)

    def hear(self) -> tuple[str, dict[str, Any], paho.MQTTMessage]:
        message = self.heard.get(timeout=60)
        topic = message.topic.removeprefix(f"{self.prefix}/")
        return topic, json.loads(message.payload), message

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def line(url: str) -> Iterator[Line]:
    made = Line(url)
    yield made
    made.close()


def hears(service: Service) -> bool:
    """Whether photographs that are sent from now on come in."""
    return service.sources.states()[0]["trouble"] is None


@pytest.fixture
def listening(settings: ServerSettings, url: str, tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "files").mkdir()
    service = Service(replace(settings, mqtt=url, mqtt_files=str(tmp_path / "files"))).start()
    until(lambda: hears(service))
    yield service
    service.stop()


def test_a_photograph_in_a_decision_out(listening: Service, line: Line) -> None:
    line.send("inspect/part/top/left", picture(1, defect=True))
    topic, told, _ = line.hear()
    assert topic == "inspections/part/top/left"
    (row,) = rows_of(listening)
    assert told["id"] == row.id
    assert (told["decision"], told["camera"], told["source"]) == ("anomalous", "top/left", "mqtt")


def test_who_asks_for_an_answer_gets_it_and_once(listening: Service, line: Line) -> None:
    answer = {"ResponseTopic": f"{line.prefix}/answers", "CorrelationData": b"part 7"}
    line.send("inspect/part", picture(2), **answer)
    line.send("inspect/part", picture(2), **answer)
    heard = [line.hear() for _ in range(3)]
    answers = [one for one in heard if one[0] == "answers"]
    while len(answers) < 2:
        answers += [one for one in [line.hear()] if one[0] == "answers"]
    assert {one[2].properties.CorrelationData for one in answers} == {b"part 7"}  # type: ignore[union-attr]
    assert len({one[1]["id"] for one in answers}) == 1
    assert len(rows_of(listening)) == 1


def test_a_message_may_name_a_file_of_the_folder_and_no_other(
    listening: Service, line: Line, tmp_path: Path
) -> None:
    (tmp_path / "files" / "a.png").write_bytes(picture(3))
    (tmp_path / "secret.png").write_bytes(picture(4))
    (tmp_path / "files" / "link.png").symlink_to(tmp_path / "secret.png")
    line.send("inspect/part", json.dumps({"path": "a.png"}).encode())
    assert line.hear()[1]["name"] == "a.png"
    for path in ("../secret.png", str(tmp_path / "secret.png"), "link.png", "none.png", "a\0", ""):
        line.send("inspect/part", json.dumps({"path": path}).encode())
        topic, told, _ = line.hear()
        assert topic == "errors/part"
        assert "error" in told
    assert len(rows_of(listening)) == 1


def test_what_cannot_be_inspected_is_told(listening: Service, line: Line) -> None:
    for topic, data, told in [
        ("inspect/part", b"no image", "isn't an image"),
        ("inspect/part", b"{", "a message is a photograph or"),
        ("inspect/part", b'{"path": 3}', "a message is a photograph or"),
        ("inspect/other/top", picture(5), "no model 'other'"),
        ("inspect/part", b"", "empty"),
    ]:
        line.send(topic, data)
        at, error, _ = line.hear()
        assert at == f"errors/{topic.split('/')[1]}"
        assert told in error["error"]
    line.send("inspect/part", picture(6))
    assert line.hear()[0] == "inspections/part"


def test_messages_of_a_server_that_was_away_are_answered_and_retained_ones_are_not(
    settings: ServerSettings, url: str, line: Line
) -> None:
    line.send("inspect/part", picture(7), retain=True)
    service = Service(replace(settings, mqtt=url)).start()
    until(lambda: hears(service))
    line.send("inspect/part", b"no image")  # which the broker sends after the one that it kept
    assert line.hear()[0] == "errors/part"
    service.stop()
    assert rows_of(service) == []
    for seed in range(3):
        line.send("inspect/part", picture(seed))
    service = Service(replace(settings, mqtt=url)).start()
    try:
        until(lambda: len(rows_of(service)) == 3)
    finally:
        service.stop()
    line.send("inspect/part", b"", retain=True)  # so that the broker forgets it


@pytest.fixture
def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_broker_that_goes_away_is_waited_for(
    settings: ServerSettings, tmp_path: Path, free_port: int
) -> None:
    program = which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("mosquitto isn't installed")
    configuration = tmp_path / "mosquitto.conf"
    configuration.write_text(f"listener {free_port} 127.0.0.1\nallow_anonymous true\n")
    service = Service(replace(settings, mqtt=f"mqtt://127.0.0.1:{free_port}/line")).start()
    try:
        until(lambda: "can't be reached" in str(service.sources.states()[0]["trouble"]))
        with subprocess.Popen(
            [program, "-c", str(configuration)], stderr=subprocess.DEVNULL
        ) as one:
            until(lambda: hears(service))
            one.terminate()
        until(lambda: "gone" in str(service.sources.states()[0]["trouble"]))
    finally:
        service.stop()


def test_a_broker_that_lets_nobody_listen_is_told(settings: ServerSettings) -> None:
    service = Service(replace(settings, mqtt="mqtt://127.0.0.1:1/line"))
    (source,) = service.sources._sources
    assert isinstance(source, MqttSource)
    assert not hears(service)
    refusal = ReasonCode(PacketTypes.SUBACK, "Not authorized")
    source._subscribed(None, None, 1, [refusal], None)
    assert source.trouble == "the broker refuses line/inspect/# (not authorized)"
    source._subscribed(None, None, 2, [ReasonCode(PacketTypes.SUBACK, "Granted QoS 1")], None)
    assert hears(service)
    service.stop()


@pytest.mark.parametrize(
    "url", ["http://a", "mqtt://", "mqtt://a:x", "mqtt://a/%23", "mqtt://a?who=1", "a"]
)
def test_what_is_no_broker_is_told(url: str) -> None:
    with pytest.raises(ParameterError, match="--mqtt"):
        Broker.parse(url)


def test_a_password_is_read_from_the_environment_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSWORD, "secret")
    broker = Broker.parse("mqtts://line@a")
    assert (broker.user, broker.password, broker.encrypted) == ("line", "secret", True)
    assert "secret" not in repr(broker)
