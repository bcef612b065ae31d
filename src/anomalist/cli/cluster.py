"""``--ray``: the same options and the same refusals, whichever command works on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from anomalist.errors import ParameterError

if TYPE_CHECKING:
    from anomalist.benchmark import RayExecutor

_OF_WORKERS = ("workers", "worker_cpus", "worker_gpus", "worker_memory_mb")


def add_ray(
    parser: ArgumentParser,
    does: str,
    *,
    cpus: str,
    memory: str = "none",
    workers: str | None = None,
) -> None:
    """Add ``--ray`` and what each worker on the cluster is given.

    Parameters
    ----------
    parser : ArgumentParser
        Of the command.
    does : str
        What is done there, as a help text begins.
    cpus, memory : str
        What is taken where it isn't said.
    workers : str, optional
        The same; None where it can't be said.
    """
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--ray",
        type=str,
        default=None,
        metavar="CLUSTER",
        help=f"{does} on a Ray cluster: local, auto, HOST:PORT or ray://HOST:PORT",
    )
    for flag, kind, what, default in (
        ("workers", int, "workers on the cluster", workers),
        ("worker_cpus", int, "processors of each worker", cpus),
        ("worker_gpus", float, "accelerators of each", "1 where the cluster has any"),
        ("worker_memory_mb", int, "memory that is set aside for each", memory),
    ):
        if default is not None:
            text = f"{what} (default: {default})"
            group.add_argument(f"--{flag}", type=kind, default=None, help=text)


def check_workers(arguments: Namespace) -> None:
    """Refuse what is asked of workers where no cluster is named.

    Raises
    ------
    ParameterError
        If that is so.
    """
    if arguments.ray is None:
        for flag in _OF_WORKERS:
            if arguments.get(flag) is not None:
                raise ParameterError(f"--{flag} is of workers on a cluster: name one with --ray")


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
    check_workers(arguments)
    if arguments.ray is None:
        yield None
        return
    from anomalist.benchmark import RayExecutor
    from anomalist.cluster import connected

    executor = RayExecutor(
        arguments.ray,
        cpus=arguments.worker_cpus,
        gpus=arguments.worker_gpus,
        memory_mb=arguments.worker_memory_mb,
        store=dict(arguments.store),
    )
    with connected(arguments.ray):
        yield executor
