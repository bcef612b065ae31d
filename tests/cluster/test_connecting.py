"""A connection to Ray is there, or a line says why not: soon, and before any work."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anomalist.cluster import connected, connecting
from anomalist.errors import ClusterError
from tests.cluster.conftest import Cluster

_ALONE = """
import signal, sys
from anomalist.cluster import connected
before = signal.getsignal(signal.SIGTERM)
with connected("local") as ray:
    assert signal.getsignal(signal.SIGTERM) is before
    value = ray.get(ray.remote(lambda: 41).remote()) + 1
assert not ray.is_initialized()
print(value)
"""


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where something listens, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no test before had connected this process."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(connecting, "ANSWER_SECONDS", 1.0)


def refused(address: str) -> str:
    begin = time.monotonic()
    with pytest.raises(ClusterError) as caught, connected(address):
        raise AssertionError("there is no cluster")
    assert time.monotonic() - begin < 15
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_local_starts_ray_and_ends_it(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"ray-{os.getpid()}"
    done = subprocess.run(
        [sys.executable, "-c", _ALONE],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "RAY_TMPDIR": str(folder)},
    )
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(folder) not in running.stdout


@pytest.mark.usefixtures("unconnected")
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_where_nothing_answers_a_line_says_so(scheme: str, silent: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    for address in (f"{scheme}127.0.0.1:{closed}", f"{scheme}nowhere.invalid:6379"):
        text = refused(address)
        assert text.startswith(f"no Ray cluster answers at {address}: ")
        assert text.endswith("is it up, and is the port open?")
    assert "something else does" in refused(f"{scheme}127.0.0.1:{silent}")


@pytest.mark.usefixtures("unconnected")
def test_what_is_no_address_is_told() -> None:
    for wrong in ("nonsense", "127.0.0.1", "host:port", "ray://", "http://127.0.0.1:1/x"):
        assert repr(wrong) in refused(wrong)


@pytest.mark.usefixtures("unconnected")
def test_auto_finds_none_where_none_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(services, "find_gcs_addresses", set)
    assert "ray start --head" in refused("auto")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert "no Ray cluster answers at 127.0.0.1:1" in refused("auto")


def test_without_ray_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'anomalist[cluster]'" in refused("local")


def test_a_connection_that_was_there_is_used_and_stays(cluster: Cluster, ray: Any) -> None:
    with connected("127.0.0.1:1") as same:
        assert same is ray
    assert ray.is_initialized()


def test_a_node_with_another_anomalist_is_refused_and_one_that_is_lost_is_not(
    cluster: Cluster, ray: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "anomalist").mkdir()
    code = tmp_path / "anomalist" / "__init__.py"
    code.write_text("raise ImportError")
    node = cluster.add(env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"})
    for line, found in (
        ("raise ImportError('none')", "has no anomalist"),
        ("raise RuntimeError('torn')", "RuntimeError: torn"),
        ("__version__ = '0.0.7'", "has 0.0.7"),
    ):
        code.write_text(line)
        text = refused("auto")
        assert found in text
        assert socket.gethostname() in text
        assert "pip install 'anomalist[cluster]==" in text
        assert ray.is_initialized()
    capfd.readouterr()
    cluster.remove(node)
    with connected("auto"):
        pass
    # Nor does Ray tell of it where results are printed.
    assert capfd.readouterr().out == ""
