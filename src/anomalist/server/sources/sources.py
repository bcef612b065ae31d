"""All that brings photographs by itself and tells what was decided, as settings say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from anomalist.errors import NotFoundError, ParameterError, UnavailableError
from anomalist.server.addresses import Broker, Place
from anomalist.server.database import Database
from anomalist.server.drift import DriftWatcher
from anomalist.server.inspecting import Inspector
from anomalist.server.registry import Registry
from anomalist.server.settings import ServerSettings
from anomalist.server.sources.camera import CameraSource
from anomalist.server.sources.folder import FolderSource
from anomalist.server.sources.mqtt import MqttSource, client_name
from anomalist.server.sources.source import Source
from anomalist.server.webhook import Webhook, forget_marks


class Sources:
    """Ways in and out beside HTTP.

    Parameters
    ----------
    settings : ServerSettings
        Which there are.
    inspector : Inspector
        Takes photographs, and says what was found.
    drift : DriftWatcher
        Warns.
    database : Database
        Knows what was inspected.
    registry : Registry
        Knows the models.

    Raises
    ------
    ParameterError
        If a setting is no way in or out.
    """

    name = "sources"

    def __init__(
        self,
        settings: ServerSettings,
        inspector: Inspector,
        drift: DriftWatcher,
        database: Database,
        registry: Registry,
    ) -> None:
        self._registry, self._database = registry, database
        self._places: list[tuple[str, Place]] = []
        self._sources: list[Source] = []

        def each(flag: str, texts: tuple[str, ...], make: Callable[[Place], Source]) -> None:
            for text in texts:
                place = Place.parse(text, flag)
                self._places.append((flag, place))
                self._sources.append(make(place))

        each("watch", settings.watch, lambda place: FolderSource(
            place, inspector, database, settings.watch_seconds, settings.max_bytes
        ))  # fmt: skip
        each("camera", settings.camera, lambda place: CameraSource(
            place, inspector, settings.camera_seconds
        ))  # fmt: skip
        if settings.mqtt is not None:
            mqtt = MqttSource(
                Broker.parse(settings.mqtt),
                inspector,
                database,
                files=settings.mqtt_files,
                max_bytes=settings.max_bytes,
                client=client_name(settings.folder),
            )
            self._sources.append(mqtt)
            inspector.on_inspected.append(mqtt.publish_inspections)
            drift.on_warning.append(mqtt.publish_warning)
        self._webhook = None
        if settings.webhook is not None:
            self._webhook = Webhook(database, settings.webhook, settings.webhook_on)
            inspector.on_inspected.append(self._webhook.wake)
            drift.on_warning.append(self._webhook.wake)

    def start(self) -> None:
        """Begin, where every model that is named is there.

        Raises
        ------
        ParameterError
            If one isn't.
        """
        for flag, place in self._places:
            try:
                self._named(place.model)
            except NotFoundError as error:
                named = f"--{flag} {place.camera}"
                raise ParameterError(
                    f"{named}: {error}; write {place.camera}@MODEL=ADDRESS"
                ) from None
        if self._webhook is not None:
            self._webhook.start()
        else:
            forget_marks(self._database)
        for source in self._sources:
            source.start()

    def _named(self, model: str | None) -> None:
        """Refuse a name that no model has; one that doesn't answer now may do so later."""
        with suppress(UnavailableError):
            self._registry.answering(model)

    def stop(self) -> None:
        """Bring no more, and tell what is to be told."""
        for source in self._sources:
            source.stop()
        if self._webhook is not None:
            self._webhook.stop()

    def fault(self) -> str | None:
        """Say what no longer tries to do its work; None where all do, in whatever trouble."""
        parts: list[Source | Webhook] = [*self._sources]
        if self._webhook is not None:
            parts.append(self._webhook)
        ended = [f"{part.name}: {fault}" for part in parts if (fault := part.fault()) is not None]
        return "; ".join(ended) or None

    def states(self) -> list[dict[str, Any]]:
        """Return what is known of each as JSON values."""
        states = [source.state() for source in self._sources]
        return states if self._webhook is None else [*states, self._webhook.state()]
