"""A broker that encrypts: what it shows is checked, and what it asks for is shown."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from anomalist.errors import ParameterError
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from tests.server.conftest import picture
from tests.server.test_folder import rows_of, until
from tests.server.test_mqtt import Line, free_port

__all__ = ["free_port"]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


def _openssl(*arguments: str | Path) -> None:
    program = which("openssl")
    if program is None:
        pytest.skip("openssl isn't installed")
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)


def _signed(folder: Path, ca: str, name: str, subject: str, more: str = "") -> None:
    """Make ``NAME.pem`` and ``NAME.key``, signed by another certificate."""
    key, request, extensions = (folder / f"{name}.{end}" for end in ("key", "csr", "ext"))
    _openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", subject
    )
    extensions.write_text(more)
    _openssl(
        "x509", "-req", "-in", request, "-CA", folder / f"{ca}.pem", "-CAkey",
        folder / f"{ca}.key", "-CAcreateserial", "-days", "2", "-extfile", extensions,
        "-out", folder / f"{name}.pem",
    )  # fmt: skip


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate of one's own, those of a broker and of a line that it signed, and
    one that signed nothing."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem",
        )  # fmt: skip
    _signed(folder, "ca", "broker", "/CN=broker", "subjectAltName=IP:127.0.0.1")
    _signed(folder, "ca", "elsewhere", "/CN=elsewhere", "subjectAltName=DNS:elsewhere.local")
    _signed(folder, "ca", "line", "/CN=line-1")
    return folder


@dataclass
class Encrypting:
    """A broker that speaks TLS alone, and lets in whom its own certificate signed."""

    port: int
    folder: Path

    def url(self, **options: str) -> str:
        """Its address, with names of files in the folder."""
        asked = "&".join(f"{key}={self.folder / name}" for key, name in options.items())
        return f"mqtts://127.0.0.1:{self.port}/line?{asked}"

    def context(self) -> ssl.SSLContext:
        """What another client speaks to it with."""
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.load_cert_chain(self.folder / "line.pem", self.folder / "line.key")
        return context


@pytest.fixture
def broker(
    request: pytest.FixtureRequest, certificates: Path, tmp_path: Path, free_port: int
) -> Iterator[Encrypting]:
    """By default it shows a certificate for where it is; ``elsewhere`` for where it isn't."""
    program = which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("mosquitto isn't installed")
    name = getattr(request, "param", "broker")
    lines = [
        f"listener {free_port} 127.0.0.1",
        f"cafile {certificates / 'ca.pem'}",
        f"certfile {certificates / f'{name}.pem'}",
        f"keyfile {certificates / f'{name}.key'}",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
        *(["user root"] if os.name != "nt" and os.getuid() == 0 else []),
    ]
    configuration = tmp_path / "mosquitto.conf"
    configuration.write_text("\n".join(lines) + "\n")
    with subprocess.Popen([program, "-c", configuration], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"running" in line:
                break
        yield Encrypting(free_port, certificates)
        process.terminate()
        process.stderr.read()


def _trouble(service: Service) -> str | None:
    trouble: str | None = service.sources.states()[0]["trouble"]
    return trouble


def test_a_photograph_in_a_decision_out_encrypted(
    settings: ServerSettings, broker: Encrypting
) -> None:
    url = broker.url(ca="ca.pem", cert="line.pem", key="line.key")
    service = Service(replace(settings, mqtt=url)).start()
    line = Line(url, context=broker.context())
    try:
        source: Any = service.sources._sources[0]
        until(lambda: source._connection > 0)
        until(lambda: _trouble(service) is None)
        line.send("inspect/part/top", picture(1, defect=True))
        topic, told, _ = line.hear()
        assert topic == "inspections/part/top"
        (row,) = rows_of(service)
        assert (told["id"], told["decision"], told["source"]) == (row.id, "anomalous", "mqtt")
    finally:
        line.close()
        service.stop()


@pytest.mark.parametrize(
    ("options", "broker", "told"),
    [
        ({}, "broker", "certificate isn't trusted (self-signed certificate in"),
        ({"ca": "other.pem"}, "broker", "certificate isn't trusted (self-signed certificate in"),
        ({"ca": "ca.pem"}, "elsewhere", "certificate isn't trusted (IP address mismatch"),
        ({"ca": "ca.pem"}, "broker", "the broker is gone"),  # it asks for one of ours
    ],
    indirect=["broker"],
)
# paho leaves its socket to be collected where the handshake fails.
@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_that_is_not_trusted_is_told(
    settings: ServerSettings, broker: Encrypting, options: dict[str, str], told: str
) -> None:
    service = Service(replace(settings, mqtt=broker.url(**options))).start()
    try:
        until(lambda: told in (_trouble(service) or ""))
    finally:
        service.stop()


@pytest.mark.parametrize(
    "options", [{"ca": "none.pem"}, {"ca": "ca.key"}, {"cert": "line.pem", "key": "broker.key"}]
)
def test_a_certificate_that_can_not_be_used_is_told_before_anything_begins(
    settings: ServerSettings, certificates: Path, options: dict[str, str]
) -> None:
    url = Encrypting(8883, certificates).url(**options)
    with pytest.raises(ParameterError, match="--mqtt: the certificate can't be used"):
        Service(replace(settings, mqtt=url))
