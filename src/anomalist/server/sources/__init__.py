"""Ways in beside HTTP: folders that are watched, MQTT, cameras."""

from anomalist.server.sources.sources import Sources

__all__ = ["Sources"]
