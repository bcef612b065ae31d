"""What is removed from the disk, in which order, and what never is."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from anomalist.server.blobs import Blobs
from anomalist.server.database import Database
from anomalist.server.database.tables import (
    Audit,
    Drop,
    Inspection,
    Model,
    Refit,
    Verdict,
    Version,
    now,
)
from anomalist.server.leftovers import Leftovers
from anomalist.server.retention import Retention
from anomalist.server.service import Service
from tests.server.conftest import picture

BLOCK = 4096


class Place:
    """A database with inspections and their files."""

    def __init__(self, url: str, folder: Path) -> None:
        self.database = Database(url)
        self.database.upgrade()
        self.photographs, self.heatmaps = Blobs(folder / "p"), Blobs(folder / "h")
        with self.database.session() as session:
            model = Model(name="part")
            session.add(model)
            session.flush()
            version = Version(
                model_id=model.id, number=1, state="accepted", sha256="0", card={}, by="me"
            )
            session.add(version)
        self.ids = {"model_id": model.id, "version_id": version.id}

    def add(
        self, name: str, *, days: float = 0, decision: str = "normal", verdict: str | None = None,
        data: bytes | None = None,
    ) -> Inspection:  # fmt: skip
        """Keep an inspection, so many days old."""
        data = data or name.encode() * 100
        row = Inspection(
            **self.ids, at=now() - timedelta(days=days), source="http", name=name,
            sha256=self.photographs.put(data, hold=True), media_type="image/png", bytes=len(data),
            width=1, height=1, score=0.0, alpha=0.05, decision=decision,
            heatmap=self.heatmaps.put(b"map of " + data, hold=True), seconds=0.0,
        )  # fmt: skip
        with self.database.session() as session:
            session.add(row)
            session.flush()
            if verdict is not None:
                session.add(Verdict(inspection_id=row.number, verdict="withdrawn", by="me"))
                session.add(Verdict(inspection_id=row.number, verdict=verdict, by="me"))
        assert row.heatmap is not None
        self.photographs.let_go(row.sha256)
        self.heatmaps.let_go(row.heatmap)
        return row

    def left(self) -> list[str]:
        """The names of the inspections whose files are there, which are all that are there."""
        with self.database.reading() as session:
            rows = session.scalars(select(Inspection).order_by(Inspection.number)).all()
        there = [row for row in rows if row.kept]
        for row in rows:
            assert row.heatmap is not None
            named = row.sha256 in {other.sha256 for other in there}
            assert (self.photographs.get(row.sha256) is not None) == named
            assert (self.heatmaps.get(row.heatmap) is not None) == named
        return [row.name for row in there]

    def tidy(self, **limits: float) -> int:
        keep = {"keep_days": None, "keep_gb": None, **limits}
        return Retention(self.database, self.photographs, self.heatmaps, **keep).tidy()


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Iterator[Place]:
    place = Place(database_url, tmp_path)
    yield place
    place.database.close()


def test_by_age_what_tells_more_stays_longer(place: Place) -> None:
    place.add("old", days=8)
    place.add("unsure", days=8, decision="unsure")
    place.add("withdrawn", days=8, verdict="withdrawn")
    place.add("alarm", days=8, decision="anomalous")
    place.add("missed", days=8, verdict="defective")
    place.add("old alarm", days=22, decision="anomalous")
    place.add("old miss", days=22, verdict="defective")
    place.add("confirmed", days=1000, verdict="good")
    place.add("false alarm", days=1000, decision="anomalous", verdict="good")
    place.add("new", days=6)
    assert place.tidy(keep_days=7) == 5
    assert place.left() == ["alarm", "missed", "confirmed", "false alarm", "new"]
    assert place.tidy(keep_days=7) == 0
    with place.database.reading() as session:
        assert len(session.scalars(select(Inspection)).all()) == 10


def test_by_size_the_oldest_of_the_common_go_first(place: Place) -> None:
    for i in range(4):
        place.add(f"alarm {i}", decision="anomalous")
    for i in range(30):
        place.add(f"{i}")
    place.add("confirmed", verdict="good")
    assert place.photographs.size() == 35 * BLOCK
    # A photograph and a map each.
    assert place.tidy(keep_gb=2 * 10 * BLOCK / 1e9) > 0
    left = place.left()
    assert left[:4] == [f"alarm {i}" for i in range(4)]
    assert left[4:] == [*(f"{i}" for i in range(25, 30)), "confirmed"]
    place.tidy(keep_gb=2 * BLOCK / 1e9)
    assert place.left() == ["confirmed"]


def test_what_two_inspections_share_stays_for_the_other(place: Place) -> None:
    place.add("first", days=8, data=b"the same")
    place.add("second", days=1, data=b"the same")
    assert place.tidy(keep_days=7) == 1
    assert place.left() == ["second"]
    assert place.photographs.size() == BLOCK


def test_what_is_being_inspected_stays(place: Place) -> None:
    row = place.add("old", days=8, data=b"it comes again")
    key = place.photographs.put(b"it comes again", hold=True)
    assert place.tidy(keep_days=7) == 1
    assert place.photographs.get(key) == b"it comes again"
    place.photographs.let_go(key)
    assert place.photographs.remove([row.sha256], lambda _: []) == 1


def test_what_is_confirmed_beyond_the_limit_is_told(place: Place) -> None:
    place.add("confirmed", verdict="good")
    retention = Retention(place.database, place.photographs, place.heatmaps, keep_gb=1e-9)
    retention.start()
    wait_for(lambda: retention.fault())
    assert "confirmed as good" in (retention.fault() or "")
    retention.stop()
    assert place.left() == ["confirmed"]


def test_what_a_crash_leaves_is_swept(place: Place) -> None:
    place.add("kept", days=1)
    gone = place.add("gone", days=100)
    with place.database.session() as session:
        session.get_one(Inspection, gone.number).kept = False
    lost, new = place.photographs.put(b"lost"), place.photographs.put(b"new")
    half = place.photographs.path(lost).with_name(".partial-1")
    half.write_bytes(b"ha")
    assert gone.heatmap is not None
    old = time.time() - 2 * 3600
    for path in (
        place.photographs.path(lost),
        half,
        place.photographs.path(gone.sha256),
        place.heatmaps.path(gone.heatmap),
    ):
        os.utime(path, (old, old))
    retention = Retention(place.database, place.photographs, place.heatmaps)
    assert retention.sweep() == 3
    assert not half.exists()
    assert place.photographs.get(new) == b"new"
    assert place.left() == ["kept"]


def test_the_disk_is_bounded_under_load(place: Place) -> None:
    most = 2 * 30 * BLOCK
    retention = Retention(place.database, place.photographs, place.heatmaps, keep_gb=most / 1e9)
    retention.start()
    failed: list[BaseException] = []

    def load(thread: int) -> None:
        try:
            for i in range(40):
                # Half of the photographs come twice, as from a camera that stands still.
                row = place.add(f"{thread} {i}", data=f"{thread} {i // 2}".encode())
                retention.inspected(None, [row])  # type: ignore[arg-type]
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=load, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: retention.size() <= most)
    retention.stop()
    assert failed == []
    assert retention.fault() is None
    assert place.left()
    folder = place.photographs.path("0" * 64).parents[2]
    there = [path for kind in "ph" for path in (folder / kind).rglob("*") if path.is_file()]
    assert retention.size() == BLOCK * len(there) <= most


def test_a_server_removes_and_goes_on(client: TestClient, service: Service) -> None:
    answer: dict[str, Any] = client.post("/v1/inspect", content=picture(1)).json()
    found = answer["inspections"][0]
    service.retention._most = 0
    service.retention.inspected(None, [])  # type: ignore[arg-type]
    wait_for(lambda: service.retention.size() == 0)
    whole = client.get(f"/v1/inspections/{found['id']}").json()
    assert (whole["score"], whole["photograph"], whole["heatmap"]) == (found["score"], None, None)
    assert client.get(found["photograph"]).status_code == 404
    service.retention._most = None
    again = client.post("/v1/inspect", content=picture(1)).json()["inspections"][0]
    assert client.get(again["photograph"]).status_code == 200


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_dropped_candidates_left_counts_and_goes_first(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files, pictures = Blobs(tmp_path / "v"), Blobs(tmp_path / "c")
    leftovers = Leftovers(place.database, files, pictures)
    shared = pictures.put(b"the same picture")

    def refitted(number: int, state: str) -> Version:
        """A version of 10 blocks, whose comparison has two pictures."""
        own = pictures.put(b"picture %d" % number)
        version = Version(
            model_id=place.ids["model_id"], number=number, state=state, card={}, by="me",
            sha256=files.put(bytes([number]) * 10 * BLOCK),
        )  # fmt: skip
        sides = {"before": {"picture": shared}, "after": {"picture": own}}
        with place.database.session() as session:
            session.add(version)
            session.flush()
            if state == "dropped":
                session.add(Drop(version_id=version.id, by="me"))
            session.add(Refit(
                model_id=place.ids["model_id"], parent_id=place.ids["version_id"], by="me",
                state="done", version_id=version.id, comparison={"changes": [sides]},
            ))  # fmt: skip
        return version

    kept = [refitted(number, state) for number, state in ((2, "accepted"), (3, "candidate"))]
    dropped = [refitted(number, "dropped") for number in (4, 5)]
    place.add("1")
    place.add("2")

    def tidy(blocks: int) -> None:
        Retention(
            place.database, place.photographs, place.heatmaps, keep_gb=blocks * BLOCK / 1e9,
            leftovers=leftovers,
        ).tidy()  # fmt: skip

    # 5 pictures, 2 photographs with a map each, and 20 blocks of dropped candidates.
    tidy(29)
    assert leftovers.size() == 25 * BLOCK
    tidy(28)
    assert files.get(dropped[0].sha256) is None
    assert pictures.size() == 4 * BLOCK
    assert "version 4 of part, which was dropped: its file is removed" in caplog.text
    assert place.left() == ["1", "2"]
    tidy(6)
    assert files.get(dropped[1].sha256) is None
    assert all(files.get(version.sha256) for version in kept)
    # The picture that others share stays, and so do theirs.
    assert pictures.size() == 3 * BLOCK
    assert place.left() == ["2"]
    with place.database.reading() as session:
        assert [v.kept for v in session.scalars(select(Version).order_by(Version.number))] == [
            True, True, True, False, False
        ]  # fmt: skip
        comparisons = session.scalars(select(Refit.comparison).order_by(Refit.version_id)).all()
        assert [c["changes"][0]["before"]["picture"] for c in comparisons if c] == [
            shared, shared, None, None
        ]  # fmt: skip
        removed = session.scalars(select(Audit).order_by(Audit.id)).all()
    assert [(row.action, row.subject) for row in removed] == [
        ("file removed", "version 4 of part"),
        ("file removed", "version 5 of part"),
    ]
    # What a crash left that nothing names.
    lost = [files.put(b"half a candidate"), pictures.put(b"of no comparison")]
    for blobs, key in zip((files, pictures), lost, strict=True):
        os.utime(blobs.path(key), (0, 0))
    os.utime(files.path(kept[0].sha256), (0, 0))
    os.utime(pictures.path(shared), (0, 0))
    assert leftovers.sweep(3600) == 2
    assert files.get(kept[0].sha256) is not None
