from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from anomalist import PaDiM, load
from anomalist.data import Sample
from anomalist.errors import BusyError, DataError, ParameterError, ServerError
from anomalist.predictions import Predictions
from anomalist.server.blobs import Blobs
from anomalist.server.database.tables import Inspection
from anomalist.server.heatmaps import Heatmap
from anomalist.server.keeping import Upload
from anomalist.server.registry import Answering
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from tests.server.conftest import picture


def upload(seed: int, name: str | None = None, **more: Any) -> Upload:
    return Upload(name=name or f"{seed}.png", data=picture(seed), source="http", **more)


def rows_of(service: Service) -> list[Inspection]:
    with service.database.reading() as session:
        return list(session.scalars(select(Inspection).order_by(Inspection.number)))


def answered(found: list[Inspection | DataError]) -> list[Inspection]:
    assert all(isinstance(one, Inspection) for one in found), found
    return found  # type: ignore[return-value]


@pytest.fixture
def held(service: Service, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What holds every scoring from when it is cleared until it is set."""
    gate = threading.Event()
    gate.set()
    score = PaDiM.predict

    def predict(self: PaDiM, *args: Any, **kwargs: Any) -> Predictions:
        assert gate.wait(20)
        return score(self, *args, **kwargs)

    monkeypatch.setattr(PaDiM, "predict", predict)
    return gate


def test_one_at_a_time_has_the_bits_of_the_model(service: Service, models: Path) -> None:
    detector = load(models / "part.anomalist")
    for seed in (100, 101, 102):
        (row,) = answered(service.inspector.inspect([upload(seed)]))
        expected = detector.predict([Sample("a", image=picture(seed))])  # type: ignore[arg-type]
        assert row.score == float(expected.scores[0])
        assert row.heatmap is not None
        kept = Heatmap.from_bytes(service.heatmaps.get(row.heatmap) or b"")
        rule = service.registry.answering().rule
        levels = Heatmap.of(expected.maps[0], rule, detector.transform).levels
        assert (kept.levels == levels).all()


def test_many_are_scored_together_in_their_order(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    score = PaDiM.predict

    def predict(self: PaDiM, images: Any, **more: Any) -> Predictions:
        sizes.append(len(images))
        time.sleep(0.1)
        return score(self, images, **more)

    monkeypatch.setattr(PaDiM, "predict", predict)
    uploads = [upload(seed) for seed in range(100, 124)]
    rows = answered(service.inspector.inspect(uploads))
    assert [row.name for row in rows] == [one.name for one in uploads]
    assert [row.number for row in rows] == sorted(row.number for row in rows)
    assert sum(sizes) == 24
    assert max(sizes) > 1
    alone = [answered(service.inspector.inspect([one]))[0] for one in uploads[:3]]
    np.testing.assert_allclose([r.score for r in alone], [r.score for r in rows[:3]], rtol=1e-4)


def test_one_bad_photograph_is_told_for_itself(service: Service) -> None:
    bad = Upload(name="bad.png", data=picture(1)[:300], source="http")
    first, second, third = service.inspector.inspect([upload(1), bad, upload(2)])
    assert isinstance(second, DataError)
    assert "bad.png" in str(second)
    assert isinstance(first, Inspection)
    assert isinstance(third, Inspection)
    assert len(rows_of(service)) == 2
    assert service.inspector.waiting == 0


def test_one_that_can_not_be_scored_takes_no_other_along(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = PaDiM.predict

    def predict(self: PaDiM, images: Any, **more: Any) -> Predictions:
        if any(sample.path.name == "worst.png" for sample in images):
            raise RuntimeError("out of memory")
        return score(self, images, **more)

    monkeypatch.setattr(PaDiM, "predict", predict)
    uploads = [upload(1), upload(2, "worst.png"), upload(3)]
    answers = service.inspector.submit(uploads)
    assert answers[0].result(20).name == "1.png"
    assert answers[2].result(20).name == "3.png"
    with pytest.raises(ServerError, match="can't be scored: out of memory"):
        answers[1].result(20)


def test_too_many_are_refused_and_the_accepted_are_answered(
    settings: ServerSettings, models: Path, tmp_path: Path, held: threading.Event
) -> None:
    few = ServerSettings(models=models, state=tmp_path / "few", queue=3, decoders=1)
    service = Service(few).start()
    held.clear()
    try:
        first = service.inspector.submit([upload(1), upload(2)])
        with pytest.raises(BusyError, match="2 photographs wait"):
            service.inspector.submit([upload(3), upload(4)])
        more = service.inspector.submit([upload(5)])
        held.set()
        assert [one.result(20).name for one in (*first, *more)] == ["1.png", "2.png", "5.png"]
        # More than ever fit are let in when nothing else waits.
        deadline = time.monotonic() + 5
        while service.inspector.waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(service.inspector.inspect([upload(n) for n in range(10, 15)])) == 5
    finally:
        held.set()
        service.stop()


def test_stopping_answers_what_was_accepted(service: Service, held: threading.Event) -> None:
    held.clear()
    answers = service.inspector.submit([upload(n) for n in range(12)])
    threading.Timer(0.2, held.set).start()
    service.inspector.stop()
    assert all(one.done() for one in answers)
    assert [row.name for row in rows_of(service)] == [f"{n}.png" for n in range(12)]
    with pytest.raises(BusyError, match="stops"):
        service.inspector.submit([upload(1)])
    service.inspector.stop()


def test_a_request_that_is_sent_again_is_kept_once(service: Service) -> None:
    inspect = service.inspector.inspect
    (first,) = answered(inspect([upload(1, key="order-7")]))
    (again,) = answered(inspect([upload(1, key="order-7")]))
    assert again.id == first.id
    # At the same time as well, and twice in one request.
    both = answered(inspect([upload(2, key="k"), upload(2, key="k")]))
    assert both[0].id == both[1].id
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda _: answered(inspect([upload(3, key="t")]))[0].id, range(8)))
    assert len(set(many)) == 1
    assert len(rows_of(service)) == 3


def test_a_key_is_its_token_s_own_and_for_one_photograph(service: Service) -> None:
    service.tokens.make("a", "inspect")
    inspect = service.inspector.inspect
    (mine,) = answered(inspect([upload(1, key="k")]))
    (other,) = answered(inspect([upload(1, key="k", token_id=1)]))
    assert mine.id != other.id
    (wrong,) = inspect([upload(2, key="k")])
    assert isinstance(wrong, DataError)
    assert "another photograph" in str(wrong)
    with pytest.raises(ParameterError, match="150 are the most"):
        upload(1, key="k" * 151)


def test_a_name_is_made_fit_to_be_kept(service: Service) -> None:
    names = ("a\0b\ud800.png", " ", "x" * 3000 + ".png")
    rows = answered(service.inspector.inspect([upload(1, name) for name in names]))
    assert rows[0].name == "a\ufffdb\ufffd.png"
    assert rows[1].name == "photograph"
    assert len(rows[2].name) == 255
    assert rows[2].name.endswith(".png")


def test_what_can_not_be_kept_is_not_answered(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Blobs, data: bytes, *, hold: bool = False) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "put", fail)
        with pytest.raises(ServerError, match="No space left"):
            service.inspector.inspect([upload(1)])

    def unreachable(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the database is gone"))

    with monkeypatch.context() as patch:
        patch.setattr(type(service.inspector._keeper), "_commit", unreachable)
        with pytest.raises(ServerError, match="the database is gone"):
            service.inspector.inspect([upload(1)])
    assert rows_of(service) == []
    assert len(service.inspector.inspect([upload(1)])) == 1


def test_listeners_hear_after_the_commit_and_one_that_fails_harms_nobody(
    service: Service,
) -> None:
    heard: list[tuple[str, list[str], int]] = []

    def listen(answering: Answering, rows: list[Inspection]) -> None:
        heard.append((answering.name, [row.id for row in rows], len(rows_of(service))))

    def fail(answering: Answering, rows: list[Inspection]) -> None:
        raise ValueError("a listener's fault")

    service.inspector.on_inspected += [fail, listen]
    (row,) = answered(service.inspector.inspect([upload(1)]))
    deadline = time.monotonic() + 5
    while not heard and time.monotonic() < deadline:
        time.sleep(0.01)
    assert heard == [("part", [row.id], 1)]
    assert service.inspector.fault() is None


def test_a_version_that_is_promoted_answers_what_comes_after(
    service: Service, held: threading.Event
) -> None:
    held.clear()
    before = service.inspector.submit([upload(1)])
    service.registry.decide_by("part", alpha=None, threshold=1e9, by="me")
    after = service.inspector.submit([upload(1)])
    held.set()
    assert before[0].result(20).threshold != 1e9
    assert after[0].result(20).threshold == 1e9


def test_a_photograph_that_is_too_large_is_told(models: Path, tmp_path: Path) -> None:
    small = ServerSettings(models=models, state=tmp_path / "small", max_mb=0.001, decoders=1)
    service = Service(small).start()
    try:
        (found,) = service.inspector.inspect([upload(1)])
    finally:
        service.stop()
    assert isinstance(found, DataError)
    assert "at most 0.001 MB" in str(found)


def test_threads_that_ask_at_once_while_decoders_are_killed(service: Service) -> None:
    chance = random.Random(0)
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(0.15):
            idle = [p for p in service.decoders._idle.queue if p is not None]
            if idle:
                chance.choice(idle)._process.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()

    def ask(seed: int) -> Inspection | DataError:
        return service.inspector.inspect([upload(seed)])[0]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(40)))
    stop.set()
    killer.join()
    kept = [one for one in found if isinstance(one, Inspection)]
    lost = [one for one in found if isinstance(one, DataError)]
    assert len(kept) + len(lost) == 40
    assert len(kept) >= 20
    assert all("died" in str(one) for one in lost)
    numbers = sorted(row.number for row in kept)
    assert all(a < b for a, b in itertools.pairwise(numbers))
    assert {row.id for row in rows_of(service)} == {row.id for row in kept}
