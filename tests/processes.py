"""Processes of this Python that need not load large packages.

Most of what a process takes that a test starts goes into loading torch and the like. A test that
asks what such a process does, not what it loads, uses the fixture ``warm_processes``: within it,
``subprocess`` forks what would start this Python with ``-c`` or ``-m`` from a process that has
loaded them. The project's own modules are loaded by each as ever, and it is a child of the test's
process with its own streams, folder, environment and exit code.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Read when a package is loaded, so that a process with other values loads it itself.
_AT_LOADING = ("OMP_", "OPENBLAS_", "MKL_", "NUMBA_", "TORCH", "HF_", "PYTHON")
# How much the one may map is limited; the other rewrites plugins, which mustn't be loaded before.
_ALONE = ("anomalist.server.decoder", "pytest")
_PR_SET_CHILD_SUBREAPER = 36


class Nursery:
    """The process that forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._environment = dict(os.environ)
        self._socket, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from tests.nursery import main; main({there.fileno()})"],
            cwd=ROOT,
            pass_fds=[there.fileno()],
            start_new_session=True,  # a Ctrl-C is for those that listen to it
        )
        there.close()

    def serves(self, environment: dict[str, str]) -> bool:
        """Whether a process of that environment would have loaded the packages alike."""

        def read(of: dict[str, str]) -> dict[str, str]:
            return {k: v for k, v in of.items() if k.startswith(_AT_LOADING) and k != "PYTHONPATH"}

        return read(environment) == read(self._environment)

    def fork(self, asked: dict[str, Any], streams: list[int]) -> int:
        """Have a process run what is asked; return its number."""
        with self._lock:
            _adopt(True)
            try:
                socket.send_fds(self._socket, [pickle.dumps(asked)], streams)
                return int(self._socket.recv(32))
            finally:
                _adopt(False)

    def close(self) -> None:
        """End it; what it forked lives on."""
        self._socket.close()
        self._process.wait()


def _adopt(yes: bool) -> None:
    """Have orphans among this process's descendants become its children, or no longer."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


class _Forked(subprocess.Popen[Any]):
    """Starts this Python by a fork where that makes no difference, and all else as ever."""

    nursery: Nursery

    def _execute_child(self, args: Any, executable: Any, *settings: Any) -> None:
        (preexec, close_fds, passed, folder, env, _, _, shell, *streams) = settings[:14]
        restore, gid, gids, uid, umask, session, group = settings[14:]
        words = [] if isinstance(args, str | bytes | os.PathLike) else [*map(os.fspath, args)]
        kind, what = (*words[2 if words[1:2] == ["-P"] else 1 :], "", "")[:2]
        environment = dict(os.environ if env is None else env)
        usual = (shell, preexec, passed, close_fds, restore, executable) == (
            *(False, None, (), True, True, None),
        ) and (gid, gids, uid, umask, group) == (None, None, None, -1, -1)
        if (
            not usual
            or words[:1] != [sys.executable]
            or kind not in ("-c", "-m")
            or what in _ALONE
            or not self.nursery.serves(environment)
        ):
            super()._execute_child(args, executable, *settings)  # type: ignore[misc]
            return
        asked = {
            "arguments": words[1:],
            "folder": os.fspath(folder or Path.cwd()),
            "environment": environment,
            "session": session,
        }
        theirs = (streams[0], streams[3], streams[5])
        self.pid = self.nursery.fork(asked, [i if s == -1 else s for i, s in enumerate(theirs)])
        self._child_created = True
        self._close_pipe_fds(*streams)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery | None]:
    """None where a process can't adopt another."""
    if not sys.platform.startswith("linux"):
        yield None
        return
    started = Nursery()
    yield started
    started.close()


@pytest.fixture
def warm_processes(nursery: Nursery | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes of this Python forked from one that has loaded the large packages."""
    if nursery is not None:
        monkeypatch.setattr(_Forked, "nursery", nursery, raising=False)
        monkeypatch.setattr(subprocess, "Popen", _Forked)
