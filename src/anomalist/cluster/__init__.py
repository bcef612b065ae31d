"""Ray: machines that do tasks together."""

from anomalist.cluster.connecting import connected

__all__ = ["connected"]
