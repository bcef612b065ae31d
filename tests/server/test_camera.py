from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from anomalist.errors import ParameterError
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from tests.server.conftest import SIDE
from tests.server.test_folder import rows_of, until


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def film(path: Path, pictures: int, rate: float = 10) -> None:
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (SIDE, SIDE))
    assert writer.isOpened()
    for number in range(pictures):
        pixels = rng.normal(120, 8, (SIDE, SIDE, 3))
        if number == pictures - 1:
            pixels[20:36, 24:40] = 10
        writer.write(np.clip(pixels, 0, 255).astype(np.uint8))
    writer.release()


def test_a_film_is_inspected_a_picture_every_so_often(
    settings: ServerSettings, tmp_path: Path
) -> None:
    film(tmp_path / "line.avi", 21)
    service = Service(
        replace(settings, camera=(f"top@part={tmp_path / 'line.avi'}",), camera_seconds=0.5)
    ).start()
    try:
        until(lambda: not service.sources.states()[0]["running"])
        assert service.sources.states()[0]["brought"] == 5
    finally:
        service.stop()
    rows = rows_of(service)
    assert [row.name.split()[-1] for row in rows] == [f"{i}.png" for i in (0, 5, 10, 15, 20)]
    assert {(row.source, row.camera, row.media_type) for row in rows} == {
        ("camera", "top", "image/png")
    }
    assert rows[-1].decision == "anomalous"
    assert rows[-1].score > max(row.score for row in rows[:-1])


def test_a_camera_that_shows_nothing_is_opened_again(
    settings: ServerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomalist.server.sources.camera._RETRY_S", 0.05)
    address = f"rtsp://user:secret@127.0.0.1:1/{tmp_path.name}"
    service = Service(replace(settings, camera=(f"top={address}",))).start()
    try:
        until(lambda: service.sources.states()[0]["trouble"] is not None)
        trouble = service.sources.states()[0]["trouble"]
        assert trouble.startswith("rtsp://127.0.0.1:1/")
        assert "secret" not in trouble
        # What is there the next time is shown: here a film takes its place.
        source = service.sources._sources[0]
        film(tmp_path / "line.avi", 3)
        source._place = replace(source._place, address=str(tmp_path / "line.avi"))  # type: ignore[attr-defined]
        until(lambda: service.sources.states()[0]["trouble"] is None)
        until(lambda: len(rows_of(service)) >= 1)
    finally:
        service.stop()


def test_without_opencv_it_is_told_how_to_have_it(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ParameterError, match=r"pip install 'anomalist\[camera\]'"):
        Service(replace(settings, camera=("top=0",)))
