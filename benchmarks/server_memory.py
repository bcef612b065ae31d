"""Seconds to ask a server's memory of many inspections, on SQLite or PostgreSQL.

``python benchmarks/server_memory.py`` keeps 200,000 inspections of two models, four versions and
eight cameras over 60 days, 3,000 of them judged, in a SQLite file of a temporary folder, and asks
for pages, counts, the review queue and the whole as CSV; the median and the longest of several
times, each with a new transaction. ``--database postgresql+psycopg://...`` names an empty database
instead.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from statistics import median
from typing import Any

from sqlalchemy import insert

from anomalist.server.counting import Counting
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection, Model, Verdict, Version, new_id, now
from anomalist.server.memory import Filters, Memory
from anomalist.server.reviewing import ReviewQueue
from anomalist.server.table import csv_lines

CHUNK = 5000
JUDGED = 3000
DAYS = 60
LOOKS = {f"look{index}": 0.123456789 + index for index in range(14)}


def fill(database: Database, rows: int) -> None:
    """Keep inspections as a line would have left them."""
    rng = random.Random(0)
    with database.session() as session:
        for name in ("bottle", "screw"):
            model = Model(name=name)
            session.add(model)
            session.flush()
            for number in (1, 2):
                session.add(
                    Version(
                        model_id=model.id, number=number, state="accepted",
                        sha256=f"{number:064}", card={}, by="operator",
                    )
                )  # fmt: skip
    begin = now() - timedelta(days=DAYS)
    for first in range(0, rows, CHUNK):
        last = min(first + CHUNK, rows)
        batch = [_row(rng, index, begin + index * timedelta(days=DAYS) / rows) for index in
                 range(first, last)]  # fmt: skip
        with database.session() as session:
            session.execute(insert(Inspection), batch)
    judged = rng.sample(range(1, rows + 1), min(JUDGED, rows))
    said = [
        {
            "inspection_id": number,
            "verdict": rng.choice(("good", "defective")),
            "note": "",
            "by": "ann",
            "at": now(),
        }
        for number in judged
    ]
    with database.session() as session:
        session.execute(insert(Verdict), said)
    if database.engine.dialect.name == "postgresql":  # which does so by itself, after a while
        with database.engine.execution_options(
            isolation_level="AUTOCOMMIT"
        ).connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def _row(rng: random.Random, index: int, at: Any) -> dict[str, Any]:
    p_value = rng.randint(1, 200) / 200
    decision = "anomalous" if p_value <= 0.05 else "unsure" if p_value <= 0.1 else "normal"
    box = {"box": [10, 20, 30, 40], "area": 700, "peak": 1.5}
    model = index % 2 + 1
    return {
        "id": new_id(),
        "key": None,
        "at": at,
        "model_id": model,
        "version_id": 2 * model - (index % 3 == 0),
        "source": "http",
        "camera": f"camera {rng.randint(1, 8)}",
        "name": f"part_{index:06}_{rng.randint(0, 999):03}.png",
        "sha256": f"{index:064x}",
        "media_type": "image/png",
        "bytes": 300_000,
        "width": 900,
        "height": 900,
        "score": 1.05 - p_value,
        "threshold": 1.0,
        "alpha": 0.05,
        "p_value": p_value,
        "decision": decision,
        "regions": [box] * 3 if decision == "anomalous" else [],
        "notes": [],
        "looks": LOOKS,
        "heatmap": f"{index:064x}",
        "seconds": 0.05,
        "kept": index > 50_000,
    }


def questions(database: Database, rows: int) -> dict[str, Callable[[], Any]]:
    """What is asked, by what it is called."""
    memory, counting, review = Memory(database), Counting(database), ReviewQueue(database)
    deep = memory.page(limit=1).records[0]
    with database.reading() as session:
        old = session.get(Inspection, rows // 10)
    assert old is not None
    early = now() - timedelta(days=DAYS - 2)
    ways: dict[str, Filters] = {
        "all": Filters(),
        "a model": Filters(model="screw"),
        "a model's old version": Filters(model="screw", version=1),
        "anomalous": Filters(decision="anomalous"),
        "anomalous of a model": Filters(model="screw", decision="anomalous"),
        "a camera": Filters(camera="camera 3"),
        "an unknown camera": Filters(camera="camera 9"),
        "two early days": Filters(since=early - timedelta(days=2), until=early),
        "two early days of a camera": Filters(
            since=early - timedelta(days=2), until=early, camera="camera 3"
        ),
        "the highest scores": Filters(min_score=1.045),
        "scores that none has": Filters(min_score=9),
        "a name": Filters(name="part_000777"),
        "a name that none has": Filters(name="no such"),
        "judged defective": Filters(verdict="defective"),
        "misses": Filters(verdict="defective", decision="normal"),
        "not judged": Filters(verdict="none"),
        "the sample, not judged": Filters(verdict="none", sampled=True),
        "a token that asked for none": Filters(token_id=77),
    }
    found: dict[str, Callable[[], Any]] = {
        f"page of 50: {name}": lambda filters=filters: memory.page(filters)
        for name, filters in ways.items()
    }
    return found | {
        "page of 50: all, from the oldest tenth": lambda: memory.page(cursor=old.id),
        "one inspection, whole": lambda: (
            memory.get(old.id),
            memory.history(old),
            memory.beside(old),
        ),
        "the one beside it, among misses": lambda: memory.beside(
            deep.inspection, Filters(verdict="defective", decision="normal")
        ),
        "review queue": lambda: review.page(),
        "review queue of a camera": lambda: review.page(Filters(camera="camera 3")),
        "how many wait": lambda: review.waiting(),
        "counts by version": lambda: counting.count(),
        "counts by camera": lambda: counting.count(by="camera"),
        "counts by day, 30 days": lambda: counting.count(by="day"),
        "counts by day, 60 days": lambda: counting.count(
            Filters(since=now() - timedelta(days=DAYS)), by="day"
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="an empty one; by default SQLite in a temporary folder")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(args.database or f"sqlite:///{folder}/memory.db")
        database.upgrade()
        began = time.perf_counter()
        fill(database, args.rows)
        print(f"{args.rows} inspections on {database.engine.dialect.name},"
              f" kept in {time.perf_counter() - began:.0f} s")  # fmt: skip
        for name, ask in questions(database, args.rows).items():
            seconds = []
            for _ in range(args.times):
                began = time.perf_counter()
                ask()
                seconds.append(time.perf_counter() - began)
            print(f"{1e3 * median(seconds):8.1f} ms, at most {1e3 * max(seconds):8.1f}  {name}")
        began = time.perf_counter()
        size = sum(len(part) for part in csv_lines(Memory(database).all()))
        took = time.perf_counter() - began
        print(
            f"{took:8.1f} s, {args.rows / took:.0f} rows a second, {size / 1e6:.0f} MB  all as CSV"
        )
        database.close()


if __name__ == "__main__":
    main()
