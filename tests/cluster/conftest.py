"""One cluster of three nodes a test session, on this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from anomalist.cluster import connected
from tests.s3 import environment_of


class Cluster:
    """Nodes of a cluster on this machine, each with workers of its own."""

    def __init__(self, nodes: int, env: dict[str, str]) -> None:
        from ray.cluster_utils import Cluster

        self._cluster, self._env = Cluster(), env
        for _ in range(nodes):
            self.add()

    @property
    def address(self) -> str:
        """Where its head answers."""
        return str(self._cluster.address)

    def add(self, *, env: dict[str, str] | None = None, **resources: Any) -> Any:
        """Add a node of one processor; what it is to have besides, such as ``resources={...}``."""
        usual = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 100 * 2**20}
        return self._cluster.add_node(
            include_dashboard=False, env_vars={**self._env, **(env or {})}, **{**usual, **resources}
        )

    def remove(self, node: Any) -> None:
        """Kill a node, with all of its workers, as one whose plug is pulled."""
        self._cluster.remove_node(node, allow_graceful=False)

    def stop(self) -> None:
        """End it."""
        self._cluster.shutdown()


@pytest.fixture(scope="session")
def cluster(s3_server: str) -> Iterator[Cluster]:
    """Three nodes of one processor each that reach the server of S3; who adds one, removes it."""
    pytest.importorskip("ray")
    # Not below pytest's folders: the path of a socket has at most 107 characters.
    folder = tempfile.mkdtemp(prefix="ray-")
    with pytest.MonkeyPatch.context() as patch:
        # Or "auto" of others on this machine would find it.
        patch.setenv("RAY_TMPDIR", folder)
        patch.delenv("RAY_ADDRESS", raising=False)
        cache = {"ANOMALIST_CACHE": f"{folder}/cache"}
        started = Cluster(3, {**environment_of(s3_server), **cache})
        try:
            yield started
        finally:
            started.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ray(cluster: Cluster) -> Iterator[Any]:
    """Ray, connected to `cluster` for the session, so that workers load torch but once."""
    with connected(cluster.address) as ray:
        yield ray
