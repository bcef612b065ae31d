"""The connection to Ray, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anomalist.errors import ClusterError


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to Ray; what was connected before is used, and stays.

    Parameters
    ----------
    address : str
        ``local`` starts Ray on this machine for the time of the block; ``auto`` finds the cluster
        that this machine belongs to; ``HOST:PORT`` or ``ray://HOST:PORT`` names one.

    Yields
    ------
    module
        ``ray``.

    Raises
    ------
    ClusterError
        If Ray isn't installed, or nothing answers at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            "--ray takes Ray, which isn't installed: pip install 'anomalist[cluster]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
