"""The process that decodes photographs for a server, and may die of one: ``python -m`` runs it.

It answers on its standard output what it is asked on its standard input, one after the other, until
that ends. Neither side unpickles: a photograph that takes the process over gains a process that
can give wrong pixels and no more.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from contextlib import suppress
from typing import IO, Any

import numpy as np

from anomalist.data import Decoded, Transform
from anomalist.errors import DataError

_LENGTHS = struct.Struct(">IQ")
_MB = 2**20
# Of one message; nothing that is decoded has more.
_MOST = 2**30


def send(stream: IO[bytes], head: dict[str, Any], data: bytes | memoryview = b"") -> None:
    """Write JSON values and bytes."""
    text = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(text), len(data)) + text)
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Read what `send` wrote; None at the end of the stream.

    Raises
    ------
    ValueError
        If it is something else.
    """
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    of_head, of_data = _LENGTHS.unpack(lengths)
    if of_head + of_data > _MOST:
        raise ValueError(f"a message of {of_data} bytes")
    head, data = stream.read(of_head), stream.read(of_data)
    if len(head) < of_head or len(data) < of_data:
        return None
    return json.loads(head), data


def asked_of(name: str, transform: Transform | None, side: int, bit_depth: int) -> dict[str, Any]:
    """Return the head of what is asked: for a transform, or to be shown at a side."""
    if transform is None:
        return {"name": name, "side": side, "bit_depth": bit_depth}
    return {"name": name, "transform": transform.as_dict()}


def decode(asked: dict[str, Any], data: bytes, max_pixels: int) -> Decoded:
    """Do what was asked.

    Raises
    ------
    DataError
        If the bytes are damaged, too large or no image.
    """
    name = asked["name"]
    if "transform" in asked:
        transform = Transform.from_dict(asked["transform"])
        return Decoded.of(data, name, transform, max_pixels=max_pixels)
    side, depth = asked["side"], asked["bit_depth"]
    return Decoded.to_show(data, name, side, bit_depth=depth, max_pixels=max_pixels)


def main(max_pixels: int, memory_mb: int) -> None:
    """Answer until nobody asks any more."""
    # A Ctrl-C, or a system that stops the server and all that it started, comes here too: what was
    # accepted is decoded all the same, and the end comes with the end of the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Nothing that a library prints gets among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit(memory_mb)
    send(answers, {"ready": True})
    while (asked := receive(sys.stdin.buffer)) is not None:
        head, data = asked
        pixels: bytes | memoryview = b""
        try:
            found = decode(head, data, max_pixels)
        except Exception as error:  # whatever a decoder stumbles over, the next one can be decoded
            told: dict[str, Any] = {"error": f"{head['name']} can't be decoded: {error}"}
            if isinstance(error, DataError):
                told = {"error": str(error)}
            if MemoryError in (type(error), type(error.__cause__)):
                told = {"error": f"{head['name']} takes more than {memory_mb} MB to be decoded"}
        else:
            told = {
                "shape": found.pixels.shape,
                "size": found.size,
                "bit_depth": found.bit_depth,
                "format": found.format,
                "remarks": found.remarks,
            }
            pixels = np.ascontiguousarray(found.pixels).data.cast("B")
        del data, asked
        send(answers, told, pixels)


def _limit(memory_mb: int) -> None:
    """Let it have so much memory, and write no file."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb * _MB, memory_mb * _MB))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
