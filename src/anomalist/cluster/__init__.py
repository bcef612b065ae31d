"""Ray: machines that do tasks together."""

from anomalist.cluster.connecting import connected, through_client
from anomalist.cluster.workers import Needs, accelerators, check_asked, resources

__all__ = ["Needs", "accelerators", "check_asked", "connected", "resources", "through_client"]
