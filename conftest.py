"""How the suite runs: workers of one thread each, so that bits don't depend on the machine."""

from __future__ import annotations

import os
import sysconfig
import weakref
from collections import deque
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

# Each library reads its own when it is imported; processes that a test starts inherit them.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

# isort: split
import anomalist  # noqa: F401 - says how OpenMP waits, which counts before torch is imported

# isort: split
import hypothesis
import pytest
import torch

from anomalist.cli import signatures
from anomalist.features import backbone, weights
from anomalist.features.network import Network
from anomalist.files import sha256_of

# The same examples every time, and no test is timed: a busy machine fails none.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Start no workers for a single file: until they have imported torch, it may be done."""
    files = {Path(argument.partition("::")[0]) for argument in config.args}
    return 0 if len(files) == 1 and files.pop().is_file() else None


# What takes longest, first: workers share out what is left, and end with tests that are short. A
# worker that has begun here isn't relieved before it has done it, so one cluster is enough.
_LONG = (
    *("tests/cluster/", "tests/docs/test_blocks.py", "tests/export/", "tests/server/test_kill.py"),
    *("tests/server/test_walk.py", "tests/benchmark/", "tests/detectors/test_glass.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files by how long they take, as far as it matters."""

    def place(item: pytest.Item) -> int:
        return next((i for i, name in enumerate(_LONG) if item.nodeid.startswith(name)), len(_LONG))

    items.sort(key=place)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # Bits depend on the number of threads, and more threads than cores are slow.
    torch.set_num_threads(1)


@pytest.fixture
def two_threads(_one_thread: None) -> None:
    """For tests of what is shared out among threads, whatever cores the machine has."""
    torch.set_num_threads(2)


class _Lasting(weakref.WeakSet[Network]):
    """Networks, of which the last few live on from test to test: each takes long to be made."""

    def __init__(self) -> None:
        super().__init__()
        self._last = deque[Network](maxlen=4)

    def add(self, item: Network) -> None:
        super().add(item)
        self._last.append(item)


@cache
def _of_installed(path: Path) -> str:
    return sha256_of(path)


def _sha256_of(path: str | Path) -> str:
    """Hash a file; one that is installed, once."""
    installed = Path(path).is_relative_to(sysconfig.get_path("purelib"))
    return _of_installed(Path(path)) if installed else sha256_of(path)


@pytest.fixture(scope="session", autouse=True)
def _kept() -> Iterator[None]:
    """Keep from test to test what a process would do once: it has one command, not thousands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbone, "_networks", _Lasting())
        patch.setattr(weights, "sha256_of", _sha256_of)
        patch.setattr(signatures, "entry_points", cache(entry_points))
        yield
