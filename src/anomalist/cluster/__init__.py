"""Ray: machines that do tasks together."""

from anomalist.cluster.connecting import connected
from anomalist.cluster.workers import check_asked, resources

__all__ = ["check_asked", "connected", "resources"]
