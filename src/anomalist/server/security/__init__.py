"""What stands between a request and its route: who asks, from where, how often, how much."""

from anomalist.server.security.gate import protect

__all__ = ["protect"]
