"""A process that has loaded large packages, and forks those that need not load them again."""

from __future__ import annotations

import gc
import io
import os
import pickle
import runpy
import signal
import socket
import sys
import time
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

# What commands and the server load that isn't the project's; what isn't installed is left out.
PACKAGES = (
    *("torch", "torchvision", "timm", "safetensors.torch", "numba", "PIL.Image", "pandas"),
    *("scipy.ndimage", "scipy.special", "plotly.graph_objects", "jinja2", "jsonargparse"),
    *("rich.progress", "fastapi", "uvicorn", "sqlalchemy.orm", "alembic.command", "httpx"),
)
LONGEST = 1 << 17


def main(descriptor: int) -> None:
    """Load `PACKAGES`, and become one process after another that is asked for."""
    for name in PACKAGES:
        with suppress(ImportError):
            __import__(name)
    gc.collect()
    gc.freeze()  # what lives for ever is not looked at, and so not copied, by those that come
    with socket.socket(fileno=descriptor) as asking:
        while True:
            data, streams, *_ = socket.recv_fds(asking, LONGEST, 3)
            if not data:
                return
            if number := _forked():
                for stream in streams:
                    os.close(stream)
                asking.send(str(number).encode())
            else:
                break
    _become(pickle.loads(data), streams)


def _forked() -> int:
    """Fork twice: who is left without a parent is adopted by the process that asked for it."""
    reader, writer = os.pipe()
    if between := os.fork():
        os.close(writer)
        os.waitpid(between, 0)
        number = int(os.read(reader, 32))
        os.close(reader)
        return number
    between = os.getpid()
    if number := os.fork():
        os.write(writer, str(number).encode())
        os._exit(0)
    while os.getppid() == between:
        time.sleep(0.0001)
    os.close(reader)
    os.close(writer)
    return 0


def _become(asked: dict[str, Any], streams: list[int]) -> None:
    """Be what Python is when it starts with these arguments."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    _open_streams()
    if asked["session"]:
        os.setsid()
    os.chdir(asked["folder"])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(asked["environment"])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    first, *words = asked["arguments"]
    safe = first == "-P"
    kind, what, *rest = words if safe else (first, *words)
    sys.path[:] = [
        *([] if safe else [""] if kind == "-c" else [str(Path.cwd())]),
        *filter(None, paths),
        *(path for path in sys.path[1:] if path not in before),
    ]
    sys.argv = [kind, *rest]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    here = sys.modules["__main__"] = types.ModuleType("__main__")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if kind == "-c":
        exec(compile(what, "<string>", "exec"), here.__dict__)
    else:
        runpy._run_module_as_main(what)  # type: ignore[attr-defined]


def _open_streams() -> None:
    """Open the standard streams anew: what they can do depends on what they are."""
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115 - a descriptor
    for name, number, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        binary = open(number, "wb", closefd=False)  # noqa: SIM115 - a descriptor
        by_line = number == 2 or binary.isatty()
        stream = io.TextIOWrapper(binary, errors=errors, line_buffering=by_line)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
