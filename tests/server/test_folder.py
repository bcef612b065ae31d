from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from anomalist.errors import ParameterError
from anomalist.server.addresses import Place
from anomalist.server.database.tables import Inspection
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from tests.server.conftest import picture


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def watching(settings: ServerSettings, tmp_path: Path) -> ServerSettings:
    (tmp_path / "in").mkdir()
    return replace(settings, watch=(f"top={tmp_path / 'in'}",), watch_seconds=0.05)


def rows_of(service: Service) -> list[Inspection]:
    with service.database.reading() as session:
        return list(session.scalars(select(Inspection).order_by(Inspection.number)))


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it didn't come to that"
        time.sleep(0.02)


def put(folder: Path, name: str, data: bytes, age: int = 0) -> None:
    """Write a file at a fixed time, which isn't that of a coarse clock."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".part").write_bytes(data)
    os.utime(path.with_suffix(".part"), ns=(0, 1_700_000_000_500_000_000 - age * 10**9))
    path.with_suffix(".part").rename(path)


def test_what_is_new_is_inspected_once_however_often_the_server_starts(
    watching: ServerSettings, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    put(folder, "b.png", picture(1), age=9)
    put(folder, "line/a.png", picture(2, defect=True), age=5)
    service = Service(watching).start()
    try:
        until(lambda: len(rows_of(service)) == 2)
        put(folder, "c.png", picture(3))
        until(lambda: len(rows_of(service)) == 3)
        (state,) = service.sources.states()
        assert (state["kind"], state["brought"], state["trouble"]) == ("folder", 3, None)
    finally:
        service.stop()
    rows = rows_of(service)
    assert [row.name for row in rows] == ["b.png", "line/a.png", "c.png"]  # the oldest first
    assert {(row.source, row.camera) for row in rows} == {("folder", "top")}
    assert rows[1].decision == "anomalous"

    put(folder, "b.png", picture(4))  # another photograph of the same name
    put(folder, "d.png", picture(5), age=1)
    service = Service(watching).start()
    try:
        until(lambda: len(rows_of(service)) == 5)
        time.sleep(0.3)
    finally:
        service.stop()
    assert [row.name for row in rows_of(service)][3:] == ["d.png", "b.png"]


def test_what_cannot_be_read_is_told_and_the_others_are_inspected(
    watching: ServerSettings, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    service = Service(replace(watching, max_mb=0.05)).start()
    try:
        put(folder, "broken.png", b"no image")
        until(lambda: service.sources.states()[0]["failed"] == 1)
        put(folder, "large.png", bytes(60_000))
        until(lambda: service.sources.states()[0]["failed"] == 2)
        assert "large.png" in service.sources.states()[0]["trouble"]
        put(folder, "good.png", picture(1))
        until(lambda: len(rows_of(service)) == 1)
        until(lambda: service.sources.states()[0]["trouble"] is None)
    finally:
        service.stop()


def test_a_folder_that_is_away_is_waited_for(watching: ServerSettings, tmp_path: Path) -> None:
    (tmp_path / "in").rmdir()
    service = Service(watching).start()
    try:
        until(lambda: service.sources.states()[0]["trouble"] is not None)
        assert "waiting for it" in service.sources.states()[0]["trouble"]
        put(tmp_path / "in", "a.png", picture(1))
        until(lambda: len(rows_of(service)) == 1)
        until(lambda: service.sources.states()[0]["trouble"] is None)
    finally:
        service.stop()


def test_a_model_that_is_not_there_is_told_at_the_start(watching: ServerSettings) -> None:
    service = Service(replace(watching, watch=("top@other=/tmp",)))
    with pytest.raises(ParameterError, match="--watch top: no model 'other'"):
        service.start()


@pytest.mark.parametrize("text", ["/folder", "=x", "top=", "@model=x", "top@=x", "a" * 201 + "=x"])
def test_what_is_no_place_is_told(text: str) -> None:
    with pytest.raises(ParameterError, match="--watch"):
        Place.parse(text, "watch")
