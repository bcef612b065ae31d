"""MQTT: photographs come in as messages, decisions go out as messages."""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import socket
import ssl
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from anomalist.errors import AnomalistError, DataError, ParameterError
from anomalist.server.addresses import Broker
from anomalist.server.database import Database
from anomalist.server.database.tables import DriftWarning, Inspection
from anomalist.server.inspecting import Inspector, Upload
from anomalist.server.memory import versions_by_id
from anomalist.server.registry import Answering
from anomalist.server.sources.source import Source
from anomalist.server.telling import inspection_dict, warning_dict

_LOG = logging.getLogger(__name__)
_EACH_ONCE = 1  # at least, in MQTT's words: "quality of service"
# Messages that the broker may send before they are answered, and that may wait to be sent to it.
_AT_ONCE, _WAITING = 32, 1000
_KEEPALIVE_S, _SLOWEST_S, _LAST_S = 30, 30, 3
# The broker keeps messages for a server that is away for so long.
_AWAY_S = 24 * 3600


class MqttSource(Source):
    """Inspects photographs that are published, and publishes what is found on any.

    ``PREFIX/inspect/MODEL/CAMERA`` (the camera may be left out) takes the bytes of a photograph, or
    ``{"path": "a.png"}``, a file below the folder that was allowed. ``PREFIX/inspections/MODEL/
    CAMERA`` gives every inspection, wherever its photograph came from, ``PREFIX/warnings/MODEL``
    what drifts, and ``PREFIX/errors/MODEL`` what couldn't be inspected. A message with a response
    topic (MQTT 5) is answered there, too, with its correlation data. A photograph is acknowledged
    once it is kept, so that the broker sends it again where the server was killed before.

    Parameters
    ----------
    broker : Broker
        The broker.
    inspector : Inspector
        Takes photographs.
    database : Database
        Knows versions.
    files : str or Path, optional
        The folder of files that messages may name.
    max_bytes : int
        A larger photograph isn't taken.
    client : str
        By which name the broker knows the server: another server's must be another.

    Raises
    ------
    ParameterError
        If a certificate can't be used.
    """

    kind = "mqtt"

    def __init__(
        self,
        broker: Broker,
        inspector: Inspector,
        database: Database,
        *,
        files: str | Path | None = None,
        max_bytes: int = 50_000_000,
        client: str = "anomalist",
    ) -> None:
        super().__init__(f"mqtt {broker.host}:{broker.port}/{broker.prefix}", inspector)
        self._broker, self._database, self._max_bytes = broker, database, max_bytes
        self._files = None if files is None else Path(files).resolve()
        # With the number of the connection that they came by: where that is gone, the broker sends
        # again what wasn't acknowledged.
        self._arrived: queue.Queue[tuple[int, paho.MQTTMessage]] = queue.Queue(_AT_ONCE)
        self._connection = 0
        self._sent: paho.MQTTMessageInfo | None = None
        self.trouble = "the broker hasn't answered yet"
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.options.get("client", client),
            protocol=paho.MQTTv5,
            manual_ack=True,
        )
        if broker.user is not None:
            self._client.username_pw_set(broker.user, broker.password)
        if broker.encrypted:
            self._encrypt()
        self._client.max_queued_messages_set(_WAITING)
        self._client.max_inflight_messages_set(_AT_ONCE)
        self._client.reconnect_delay_set(1, _SLOWEST_S)
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_connect_fail = self._unreachable
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._message

    def bring(self) -> None:
        """Take messages until it is stopped."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _AWAY_S
        properties.ReceiveMaximum = _AT_ONCE
        self._client.connect_async(
            self._broker.host,
            self._broker.port,
            keepalive=_KEEPALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()
        try:
            while not self._stopped.is_set():
                try:
                    connection, message = self._arrived.get(timeout=0.2)
                except queue.Empty:
                    continue
                if message.qos == 0 or connection == self._connection:
                    self._answer(connection, message)
        finally:
            if self._sent is not None and self._client.is_connected():
                with suppress(RuntimeError, ValueError):
                    self._sent.wait_for_publish(_LAST_S)
            self._client.disconnect()
            self._client.loop_stop()

    def publish_inspections(self, answering: Answering, rows: list[Inspection]) -> None:
        """Publish what was committed; it is sent by another thread."""
        for row in rows:
            topic = f"inspections/{_level(answering.name)}"
            if row.camera:
                topic += f"/{_level(row.camera)}"
            self._publish(topic, inspection_dict(row, answering.name, answering.number))

    def publish_warning(self, warning: DriftWarning) -> None:
        """Publish that photographs drift."""
        self._publish(f"warnings/{_level(warning.model.name)}", warning_dict(warning))

    def _encrypt(self) -> None:
        options = self._broker.options
        try:
            context = ssl.create_default_context(cafile=options.get("ca"))
            if "cert" in options:
                context.load_cert_chain(options["cert"], options.get("key"))
        except (OSError, ssl.SSLError) as error:
            raise ParameterError(
                f"--mqtt: the certificate can't be used ({error.strerror or error})"
            ) from None
        self._client.tls_set_context(context)

    def _connected(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            self.tell(f"the broker refuses: {str(reason).lower()}; trying again")
            return
        self._connection += 1
        self._client.subscribe(f"{self._broker.prefix}/inspect/#", qos=_EACH_ONCE)

    def _subscribed(self, _c: Any, _u: Any, _m: int, reasons: Sequence[Any], _p: Any) -> None:
        refused = [str(reason).lower() for reason in reasons if reason.is_failure]
        topic = f"{self._broker.prefix}/inspect/#"
        self.tell(f"the broker refuses {topic} ({refused[0]})" if refused else None)

    def _unreachable(self, _c: Any, _u: Any) -> None:
        error = sys.exception()  # with which paho calls this
        if isinstance(error, ssl.SSLCertVerificationError):
            self.tell(
                f"the broker's certificate isn't trusted ({error.verify_message.rstrip('.')}):"
                " ?ca=FILE after the address names the one that signed it; trying again"
            )
            return
        reason = "" if error is None else f" ({getattr(error, 'strerror', None) or error})"
        self.tell(f"the broker can't be reached{reason}; trying again")

    def _disconnected(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if not self._stopped.is_set():
            self.tell(f"the broker is gone ({str(reason).lower()}); trying again")

    def _message(self, _c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        """Take a message from the broker's thread, which must not wait."""
        if message.retain:  # kept by the broker from before, and sent to whoever comes
            self._acknowledge(self._connection, message)
            return
        try:
            self._arrived.put_nowait((self._connection, message))
        except queue.Full:  # without acknowledgement, as there are at most so many with one
            self.brought += 1
            self.failed += 1
            _LOG.warning("%s: too many messages that nobody waits for; one is lost", self.name)

    def _answer(self, connection: int, message: paho.MQTTMessage) -> None:
        model, camera = self._asked(message.topic)
        try:
            upload = self._upload(message, camera)
            found = self.inspect([upload], model)
            if found is None:
                return  # stopped: not acknowledged, it comes again
            (row,) = found
            if isinstance(row, DataError):
                raise row
        except AnomalistError as error:
            told = {"error": str(error), "topic": message.topic}
            self._publish(f"errors/{_level(model)}", told)
            self._respond(message, told)
        else:
            with self._database.reading() as session:
                name, number = versions_by_id(session)[row.version_id]
            self._respond(message, inspection_dict(row, name, number))
        self._acknowledge(connection, message)

    def _asked(self, topic: str) -> tuple[str, str | None]:
        levels = topic.removeprefix(f"{self._broker.prefix}/inspect/").split("/", 1)
        return levels[0], levels[1][:200] if len(levels) > 1 and levels[1] else None

    def _upload(self, message: paho.MQTTMessage, camera: str | None) -> Upload:
        data, name = bytes(message.payload), f"{camera or 'message'}"
        if data[:1] == b"{":
            path = self._file(data)
            if path.stat().st_size > self._max_bytes:
                raise DataError(
                    f"{path.name} is larger than the {self._max_bytes / 1e6:g} MB taken"
                )
            data, name = path.read_bytes(), path.name
        # A message that is sent again, as after a kill, is the same photograph.
        key = None
        if correlation := getattr(message.properties, "CorrelationData", None):
            key = f"mqtt-{hashlib.sha256(correlation).hexdigest()[:40]}"
        return Upload(name=name, data=data, source=self.kind, camera=camera, key=key)

    def _file(self, data: bytes) -> Path:
        """Return the file that a message names, if it is one that messages may name."""
        try:
            asked = json.loads(data)["path"]
            if not isinstance(asked, str) or "\0" in asked:
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise DataError('a message is a photograph or {"path": "..."}') from None
        if self._files is None:
            raise DataError("messages may name no files: --mqtt_files FOLDER lets them")
        path = (self._files / asked).resolve()
        if not path.is_relative_to(self._files) or not path.is_file():
            raise DataError(f"there is no file {asked!r} that messages may name")
        return path

    def _respond(self, message: paho.MQTTMessage, told: dict[str, Any]) -> None:
        topic = getattr(message.properties, "ResponseTopic", None)
        if not topic or set(topic) & set("+#"):
            return
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if correlation := getattr(message.properties, "CorrelationData", None):
            properties.CorrelationData = correlation
        self._send(topic, told, properties)

    def _publish(self, topic: str, told: dict[str, Any]) -> None:
        self._send(f"{self._broker.prefix}/{topic}", told)

    def _send(self, topic: str, told: dict[str, Any], properties: Properties | None = None) -> None:
        sent = self._client.publish(topic, json.dumps(told), _EACH_ONCE, properties=properties)
        self._sent = sent
        if sent.rc == paho.MQTT_ERR_QUEUE_SIZE:
            _LOG.warning("%s: %d messages wait already; one is lost", self.name, _WAITING)

    def _acknowledge(self, connection: int, message: paho.MQTTMessage) -> None:
        if connection == self._connection:
            self._client.ack(message.mid, message.qos)


def client_name(state: Path) -> str:
    """Return by which name a broker knows the server of a folder on this machine."""
    place = f"{socket.gethostname()}:{state.resolve()}"
    return f"anomalist-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def _level(name: str) -> str:
    """Return a name as one level of a topic or several, without what topics can't have."""
    return "".join("_" if letter in "+#\0" else letter for letter in name)
