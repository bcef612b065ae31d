"""What ``--ray`` stands for: an executor on a cluster, connected before any work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from anomalist.errors import ParameterError

if TYPE_CHECKING:
    from anomalist.benchmark import RayExecutor


@contextmanager
def ray_executor(arguments: Namespace) -> Iterator[RayExecutor | None]:
    """Give the executor that was asked for, with the connection that it uses; None without one.

    Raises
    ------
    ClusterError
        If the cluster can't be reached.
    ParameterError
        If something is asked of workers, and no cluster is named.
    """
    if arguments.ray is None:
        for flag in ("worker_cpus", "worker_memory_mb"):
            if arguments[flag] is not None:
                raise ParameterError(f"--{flag} is of workers on a cluster: name one with --ray")
        yield None
        return
    from anomalist.benchmark import RayExecutor
    from anomalist.cluster import connected

    executor = RayExecutor(
        arguments.ray,
        cpus=arguments.worker_cpus,
        memory_mb=arguments.worker_memory_mb,
        store=dict(arguments.store),
    )
    with connected(arguments.ray):
        yield executor
