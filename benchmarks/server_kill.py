"""A server that is killed at random moments under load: every answer is there once, whole.

    python benchmarks/server_kill.py --moments 50

Fits a PaDiM to drawn parts, starts ``anomalist serve`` and has clients ask it, with photographs of
which some come twice and some are no images, with verdicts, and with refits. After a random time it
is ended by SIGKILL and started anew, again and again. Each time it is back, what was answered is
held against what is there: every inspection that was answered is in the database once, with the
score that was answered; every row has its photograph, whose bytes are those that were sent, and
its heatmap, whole; every verdict that was answered is there; a request that is sent again with its
key gets the inspection that was kept; SQLite's ``PRAGMA integrity_check`` and ``foreign_key_check``
find nothing; no more than one refit runs. In the end the last refit is waited for, and the server
is stopped by SIGTERM.

``--database`` has it keep rows elsewhere, such as PostgreSQL.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from anomalist.server.blobs import Blobs
from anomalist.server.database import Database
from anomalist.server.heatmaps import Heatmap
from serving import Server, fitted, photograph, serve

_PHOTOGRAPHS = 400
# A refit during which the server was killed again and again waits before it goes on.
_REFITS_S = 600.0


def part(seed: int) -> bytes:
    """A drawn part; every fifth has a defect."""
    return photograph(seed, defect=seed % 5 == 0)


@dataclass
class Told:
    """What clients were told, by what they asked."""

    #: The answer of each photograph that was answered, by the key of its request.
    inspections: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: The photograph of each request, by its key.
    asked: dict[str, bytes] = field(default_factory=dict)
    #: Verdicts that were answered, by the inspection.
    verdicts: Counter[str] = field(default_factory=Counter)
    refits: set[str] = field(default_factory=set)
    refused: int = 0
    faults: list[str] = field(default_factory=list)


def start(models: Path, state: Path, database: str | None, *more: str) -> Server:
    """Start a server, once again."""
    where = ["--database", database] if database else []
    return Server(serve(models, state, *where, *more), state.parent / "log")


class Clients:
    """Threads that ask a server until it is gone."""

    def __init__(self, server: Server, told: Told, count: int, seed: int, round_: int) -> None:
        self._server, self._told, self._lock = server, told, threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(random.Random(f"{seed} {round_} {i}"), i))
            for i in range(count)
        ]
        self._round = round_
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait till all have seen that it is gone."""
        for thread in self._threads:
            thread.join()

    def _ask(self, rng: random.Random, client: int) -> None:
        with suppress(OSError, http.client.HTTPException, ValueError):
            for number in range(1_000_000):
                self._one(rng, f"{self._round}-{client}-{number}")

    def _one(self, rng: random.Random, key: str) -> None:
        body = part(rng.randrange(_PHOTOGRAPHS)) if rng.random() < 0.95 else b"no image"
        with self._lock:
            self._told.asked[key] = body
        status, answer = self._server.ask("POST", "/v1/inspect", body, **{"Idempotency-Key": key})
        if status == 503:
            with self._lock:
                self._told.refused += 1
            return
        if "inspections" not in answer:
            self._told.faults.append(f"{status}: {answer}")
            return
        (found,) = answer["inspections"]
        with self._lock:
            self._told.inspections[key] = found
        if "id" in found and rng.random() < 0.2:
            verdict = {"verdict": "good" if rng.random() < 0.7 else "defective"}
            path = f"/v1/inspections/{found['id']}/verdict"
            said = json.dumps(verdict).encode()
            status, _ = self._server.ask("POST", path, said, **{"Content-Type": "application/json"})
            if status < 300:
                with self._lock:
                    self._told.verdicts[found["id"]] += 1
        if rng.random() < 0.02:
            status, answer = self._server.ask(
                "POST", "/v1/models/part/refit", b"{}", **{"Content-Type": "application/json"}
            )
            if status < 300:
                with self._lock:
                    self._told.refits.add(answer["id"])


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """The database, beside the server."""
    database = Database(url)
    yield database
    database.close()


def check(told: Told, url: str, state: Path) -> dict[str, int]:
    """Hold what was answered against what is there; return counts.

    Raises
    ------
    AssertionError
        If something is missing, twice, or half.
    """
    photographs, heatmaps = Blobs(state / "photographs"), Blobs(state / "heatmaps")
    with opened(url) as database, database.reading() as session:
        rows = session.execute(
            text("SELECT id, key, score, sha256, bytes, heatmap, kept, number FROM inspections")
        ).all()
        verdicts = session.execute(text("SELECT inspection_id FROM verdicts")).scalars().all()
        running = session.execute(
            text("SELECT count(*) FROM refits WHERE state = 'running'")
        ).scalar_one()
        refits = set(session.execute(text("SELECT id FROM refits")).scalars())
        if url.startswith("sqlite"):
            assert session.execute(text("PRAGMA integrity_check")).scalars().all() == ["ok"]
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []
    by_id = {row.id: row for row in rows}
    assert len(by_id) == len(rows), "an id is there twice"
    keys = Counter(row.key for row in rows)
    assert max(keys.values(), default=1) == 1, "a request is there twice"
    for key, found in told.inspections.items():
        if "error" in found:
            continue
        row = by_id.get(found["id"])
        assert row is not None, f"{found['id']} was answered and isn't there"
        assert row.score == found["score"]
        assert row.sha256 == hashlib.sha256(told.asked[key]).hexdigest()
    for row in rows:
        assert row.kept
        data = photographs.get(row.sha256)
        assert data is not None, f"{row.id} has no photograph"
        assert len(data) == row.bytes
        assert hashlib.sha256(data).hexdigest() == row.sha256
        drawn = heatmaps.get(row.heatmap)
        assert drawn is not None, f"{row.id} has no heatmap"
        Heatmap.from_bytes(drawn).values()
    said = Counter(verdicts)
    for identity, count in told.verdicts.items():
        assert said[by_id[identity].number] >= count, f"a verdict on {identity} is gone"
    assert told.refits <= refits, "a refit that was promised is gone"
    assert running <= 1
    return {"rows": len(rows), "verdicts": len(verdicts), "refits": len(refits)}


def send_again(server: Server, told: Told, round_: int) -> int:
    """Send what wasn't answered again with its key; return how many had been kept all the same."""
    kept = 0
    lost = [key for key in told.asked if key not in told.inspections]
    before = {key for key in lost if key.startswith(f"{round_}-")}
    for key in sorted(before):
        status, answer = server.ask(
            "POST", "/v1/inspect", told.asked[key], **{"Idempotency-Key": key}
        )
        assert "inspections" in answer, (status, answer)
        (told.inspections[key],) = answer["inspections"]
        kept += 1
    return kept


def wait_for_refits(server: Server) -> list[str]:
    """Wait till no refit is open; return how each ended."""
    until = time.monotonic() + _REFITS_S
    while True:
        _, answer = server.ask("GET", "/v1/models/part/refits")
        states = [refit["state"] for refit in answer["refits"]]
        if not {"waiting", "running"} & set(states) or time.monotonic() > until:
            return states
        time.sleep(0.2)


def run(
    folder: Path,
    moments: int,
    clients: int,
    within: tuple[float, float],
    seed: int,
    url: str | None,
) -> Told:
    """Kill a server at random moments, and print what was found."""
    models, state, told = fitted(folder), folder / "state", Told()
    rng = random.Random(seed)
    database = url or f"sqlite:///{state / 'anomalist.db'}"
    sent_again = 0
    began = time.monotonic()
    for moment in range(moments):
        server = start(models, state, url)
        try:
            if moment:
                check(told, database, state)
                sent_again += send_again(server, told, moment - 1)
            asking = Clients(server, told, clients, seed, moment)
            time.sleep(rng.uniform(*within))
        finally:
            code = server.end(signal.SIGKILL)
        assert code == -signal.SIGKILL, f"it ended by itself, with {code}"
        asking.join()
        print(f"{moment + 1}: {len(told.inspections)} answered", file=sys.stderr, flush=True)
    server = start(models, state, url)
    try:
        check(told, database, state)
        sent_again += send_again(server, told, moments - 1)
        states = wait_for_refits(server)
    finally:
        code = server.end(signal.SIGTERM)
    assert code == 0, f"stopped, it ends with {code}"
    counts = check(told, database, state)
    assert not {"waiting", "running"} & set(states), states
    assert told.faults == [], told.faults
    answered = sum("id" in found for found in told.inspections.values())
    print(f"killed at {moments} moments in {time.monotonic() - began:.0f} s, {clients} clients")
    print(
        f"answered: {answered} inspections, {sum(told.verdicts.values())} verdicts; all there, once"
    )
    print(f"there: {counts['rows']} inspections, each with its photograph and its heatmap")
    print(f"asked, not answered, and sent again with the same key: {sent_again}; none twice")
    print(f"told to come again later: {told.refused}")
    print(f"refits: {dict(Counter(states))}")
    if database.startswith("sqlite"):
        print("integrity_check: ok, after every moment")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--longest", type=float, default=4.0, help="seconds until a kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", default=None, help="an empty one, instead of SQLite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(
            Path(folder),
            given.moments,
            given.clients,
            (0.0, given.longest),
            given.seed,
            given.database,
        )


if __name__ == "__main__":
    main()
