from __future__ import annotations

import io
import os
import threading

import pytest
from PIL import Image

from anomalist.inspection import image_or_lines


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF"])
@pytest.mark.parametrize("side", [1, 8, 10, 64, 858])  # some have a line's end in their sizes
def test_images_are_told_by_their_first_bytes(kind: str, side: int) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (10, 10, 13)).save(stream, kind)
    assert image_or_lines(io.BytesIO(stream.getvalue())) == stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a.png\nb.png\n",
        b"BM.png\nP5.png\nRIFF\n",
        b"P5\nP6\n",
        b"\xef\xbb\xbfa.png\r\n",
        "ä.png\nb.png\n".encode("utf-16"),
        b"r\xe9.png\n",
        b"x" * 10_000 + b"\n" + b"y" * 9000,
    ],
)
def test_lists_are_lists(data: bytes) -> None:
    stream = image_or_lines(io.BytesIO(data))
    assert not isinstance(stream, bytes)
    assert list(stream) == io.BytesIO(data).readlines()


def test_lines_come_as_they_are_written() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stdin, os.fdopen(writer, "wb", buffering=0) as stdout:
        lines = ["a.png\n", "b.png\n"]
        first = threading.Event()

        def write() -> None:
            stdout.write(lines[0].encode())
            first.wait(10)
            stdout.write(lines[1].encode())

        thread = threading.Thread(target=write)
        thread.start()
        stream = image_or_lines(stdin)
        assert not isinstance(stream, bytes)
        assert stream.readline() == b"a.png\n"
        first.set()
        assert stream.readline() == b"b.png\n"
        thread.join()
