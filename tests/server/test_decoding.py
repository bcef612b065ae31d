from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.data import Transform, read_image
from anomalist.errors import DataError, ServerError
from anomalist.server import decoding
from anomalist.server.decoding import Decoders
from tests.server.conftest import picture


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(2, max_pixels=4_000_000)
    yield decoders
    decoders.close()


def processes(decoders: Decoders) -> list[subprocess.Popen[bytes]]:
    return [p._process for p in decoders._idle.queue if p is not None]


@pytest.mark.parametrize("transform", [Transform(48), Transform((48, 40), 32, "bicubic")])
def test_pixels_are_those_of_reading_here(decoders: Decoders, transform: Transform) -> None:
    found = decoders.decode(picture(3), "a.png", transform)
    image = read_image(picture(3))
    assert found.size == image.size[::-1]
    assert (transform(Image.fromarray(found.pixels)) == transform(image)).all()


def test_sixteen_bits_and_remarks_are_as_here(decoders: Decoders) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 40), 900, np.uint16)).save(buffer, "PNG")
    transform = Transform(32, bit_depth=10)
    found = decoders.decode(buffer.getvalue(), "deep.png", transform)
    expected = transform(read_image(buffer.getvalue(), bit_depth=10))
    assert (found.pixels == expected).all()
    assert "has one value everywhere" in found.remarks


def test_what_is_no_image_is_told_and_the_process_lives(decoders: Decoders) -> None:
    decoders.decode(picture(1), "a.png", Transform(32))
    before = {p.pid for p in processes(decoders)}
    with pytest.raises(DataError, match=r"bad\.png"):
        decoders.decode(b"no image", "bad.png", Transform(32))
    with pytest.raises(DataError, match="empty"):
        decoders.decode(b"", "bad.png", Transform(32))
    assert before <= {p.pid for p in processes(decoders)}


def test_too_many_pixels_are_refused(decoders: Decoders) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4000, 1001)).save(buffer, "PNG")
    with pytest.raises(DataError, match="large"):
        decoders.decode(buffer.getvalue(), "large.png", Transform(32))


def test_more_memory_than_allowed_is_told() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9000, 9000)).save(buffer, "PNG", compress_level=1)
    decoders = Decoders(1, memory_mb=600)
    try:
        with pytest.raises(DataError, match="more than 600 MB"):
            decoders.decode(buffer.getvalue(), "huge.png", Transform(32))
        assert decoders.decode(picture(1), "a.png", Transform(32)).size == (64, 64)
    finally:
        decoders.close()


def test_one_that_kills_its_process_takes_no_other_along(decoders: Decoders) -> None:
    with ThreadPoolExecutor(4) as pool:
        decoders.decode(picture(1), "a.png", Transform(32))
        others = [
            pool.submit(decoders.decode, picture(n), f"{n}.png", Transform(32)) for n in range(40)
        ]
        for process in processes(decoders):
            process.send_signal(signal.SIGKILL)
        failed = [one.exception() for one in others]
    # Only what was in a process that was killed is lost, and says so.
    lost = [error for error in failed if error is not None]
    assert len(lost) <= 2
    assert all(isinstance(error, DataError) and "died" in str(error) for error in lost)


def test_one_that_takes_too_long_is_given_up() -> None:
    decoders = Decoders(1)
    try:
        decoders.decode(picture(1), "a.png", Transform(32))
        decoders._seconds = 0.5
        (process,) = processes(decoders)
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(DataError, match=r"a\.png can't be decoded: it took more than 0\.5 s"):
            decoders.decode(picture(1), "a.png", Transform(32))
        assert time.monotonic() - began < 5
    finally:
        decoders.close()


def test_the_process_ends_with_its_input_and_not_by_a_signal_to_stop(decoders: Decoders) -> None:
    decoders.decode(picture(1), "a.png", Transform(32))
    process = processes(decoders)[-1]
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert decoders.decode(picture(1), "a.png", Transform(32)).size == (64, 64)
    assert process.poll() is None


def test_a_picture_for_people_keeps_its_shape(decoders: Decoders) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (200, 100), "red").save(buffer, "JPEG")
    assert decoders.show(buffer.getvalue(), "a.jpg", 50).pixels.shape == (25, 50, 3)
    assert decoders.show(buffer.getvalue(), "a.jpg", 5000).pixels.shape == (100, 200, 3)


def test_no_process_is_left_when_closed() -> None:
    decoders = Decoders(1)
    decoders.decode(picture(1), "a.png", Transform(32))
    (process,) = processes(decoders)
    decoders.close()
    assert process.poll() == 0
    with pytest.raises(ServerError, match="stops"):
        decoders.decode(picture(1), "a.png", Transform(32))


def test_an_answer_that_makes_no_sense_is_no_image(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"shape": [3, 3, 3], "size": [3, 3], "bit_depth": 16, "format": "PNG", "remarks": []}
    monkeypatch.setattr(decoding._Process, "ask", lambda *_: (told, b"\0" * 5))
    with pytest.raises(DataError, match="garbles"):
        decoders.decode(picture(1), "a.png", Transform(32))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_no_answer_of_a_library_gets_between(decoders: Decoders) -> None:
    decoders.decode(picture(1), "a.png", Transform(32))
    pid = processes(decoders)[-1].pid
    assert os.readlink(f"/proc/{pid}/fd/1") == os.readlink(f"/proc/{pid}/fd/2")  # noqa: PTH115


def test_a_process_that_does_not_come_up_is_the_server_s_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding.sys, "executable", "/bin/false")
    decoders = Decoders(1)
    try:
        with pytest.raises(ServerError, match="doesn't come up"):
            decoders.decode(picture(1), "a.png", Transform(32))
    finally:
        decoders.close()
