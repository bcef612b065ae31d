"""What a server is told when it is started."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anomalist.errors import ParameterError
from anomalist.server.addresses import Broker, Place, Which, web_server


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How a server runs; the flags of ``anomalist serve`` are these.

    Parameters
    ----------
    models : str or Path
        A folder of model files, each named after what it inspects, or one file.
    state : str or Path
        The folder that keeps photographs, heatmaps, model versions and, unless ``database`` says
        otherwise, the database.
    database : str, optional
        An address such as ``postgresql+psycopg://USER:PASSWORD@HOST/NAME``.
    host : str
        The address to listen at; another than this machine's own needs tokens.
    port : int
        The port; 0 for any that is free.
    training : tuple of str
        Folders of the images that models were fitted to, where they aren't where the models' files
        say: a candidate learns from them too. Images are known again by their content.
    device : str, optional
        ``auto``, ``cpu``, ``cuda`` or ``mps``; by default as each model was fitted.
    keep_days : float, optional
        Photographs and heatmaps are removed so many days after they were inspected, those of
        anomalous and defective parts after three times as many; those that a person confirmed as
        good stay, and so do all decisions. By default never.
    keep_gb : float, optional
        Photographs and heatmaps, files of dropped candidates and pictures of comparisons take at
        most so many gigabytes: what dropped candidates have left goes first, then the oldest
        photographs, those of anomalous and defective parts last, and those that a person confirmed
        as good never. By default without end.
    max_mb : float
        Of one upload, in megabytes.
    max_megapixels : float
        Of one photograph.
    max_images : int
        Photographs of one request.
    queue : int
        Photographs that may wait to be scored; beyond, requests are asked to come again later.
    wait_ms : float
        How long a photograph waits for others, to be scored with them.
    decoders : int
        Processes that photographs are decoded in.
    max_rate : float
        Requests a second of one token; for a moment, twice as many may come.
    trusted_hosts : tuple of str
        Names under which browsers may reach it beside its own address, as behind a proxy.
    sign_in_days : float
        How long a browser stays signed in.
    watch : tuple of str
        A folder whose new photographs are inspected, as ``CAMERA=FOLDER``, or
        ``CAMERA@MODEL=FOLDER`` where there are several models.
    watch_seconds : float
        Time between two looks at it.
    camera : tuple of str
        A camera, as ``CAMERA=0`` (a device's number), ``CAMERA=rtsp://...`` or ``CAMERA=FILM``;
        ``CAMERA@MODEL=...`` where there are several models.
    camera_seconds : float
        Time between two of its pictures that are inspected.
    mqtt : str, optional
        A broker, as ``mqtt://USER@HOST:PORT/PREFIX`` (``mqtts://`` with TLS), that brings
        photographs and takes decisions; the password is read from ANOMALIST_MQTT_PASSWORD.
    mqtt_files : str, optional
        The folder of files that messages may name instead of holding a photograph.
    webhook : str, optional
        An address that decisions are posted to; signed with ANOMALIST_WEBHOOK_SECRET.
    webhook_on : {"all", "notable"}
        ``all`` inspections, or ``notable`` ones: anomalous or unsure.
    logs : {"text", "json"}
        How requests and events are told on standard error: to people or to programs.
    """

    models: str | Path
    state: str | Path = "anomalist-server"
    database: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    training: tuple[str, ...] = ()
    device: str | None = None
    keep_days: float | None = None
    keep_gb: float | None = None
    max_mb: float = 50
    max_megapixels: float = 100
    max_images: int = 64
    queue: int = 256
    wait_ms: float = 4
    decoders: int = 2
    max_rate: float = 500
    trusted_hosts: tuple[str, ...] = ()
    sign_in_days: float = 30
    watch: tuple[str, ...] = ()
    watch_seconds: float = 1
    camera: tuple[str, ...] = ()
    camera_seconds: float = 1
    mqtt: str | None = None
    mqtt_files: str | None = None
    webhook: str | None = None
    webhook_on: Which = "all"
    logs: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ParameterError(f"port must be from 0 to 65535, not {self.port}")
        for name in (
            "keep_days",
            "keep_gb",
            "max_mb",
            "max_megapixels",
            "max_images",
            "queue",
            "decoders",
            "max_rate",
            "sign_in_days",
            "watch_seconds",
            "camera_seconds",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ParameterError(f"{name} must be above 0, not {value}")
        if self.logs not in ("text", "json"):
            raise ParameterError(f"logs must be text or json, not {self.logs!r}")
        # What is no address is told before anything is written.
        for flag in ("watch", "camera"):
            for one in getattr(self, flag):
                Place.parse(one, flag)
        if self.mqtt is not None:
            Broker.parse(self.mqtt)
        if self.webhook is not None:
            web_server(self.webhook)
        if not 0 <= self.wait_ms <= 1000:
            raise ParameterError(f"wait_ms must be from 0 to 1000, not {self.wait_ms}")
        for folder in self.training:
            if not Path(folder).is_dir():
                raise ParameterError(f"training: {folder} is no folder that is there")

    @property
    def folder(self) -> Path:
        """The folder of all that is kept."""
        return Path(self.state)

    @property
    def max_bytes(self) -> int:
        """Of one upload."""
        return int(self.max_mb * 1_000_000)

    @property
    def database_url(self) -> str:
        """The address of the database."""
        return self.database or f"sqlite:///{self.folder / 'anomalist.db'}"

    @property
    def is_local(self) -> bool:
        """Whether it listens to this machine alone."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
