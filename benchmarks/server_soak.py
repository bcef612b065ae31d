"""Whether a server that runs for long stays as it is: memory, disk, every answer kept.

    python benchmarks/server_soak.py --inspections 20000 --keep_gb 0.05

A small model is fitted to made photographs, ``anomalist serve`` is started with it, and clients
send photographs of which no two are alike, one in ten of them with a defect, until so many are
answered. At each tenth of the way the memory of the server and of its decoders is told, the size of
the photographs and heatmaps that are kept, and that of the database. At the end every answer is
looked for in the database: each is there once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

from serving import Server, fitted, photograph, serve, started


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process, and of all that it started."""

    def read(path: str) -> str:
        try:
            return Path(path).read_text()
        except (FileNotFoundError, ProcessLookupError):  # a thread or process that has ended
            return ""

    def of(one: int) -> float:
        lines = read(f"/proc/{one}/status").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    tasks = Path(f"/proc/{pid}/task").iterdir()
    started = [int(child) for task in tasks for child in read(f"{task}/children").split()]
    return of(pid), sum(map(of, started))


def size_mb(folder: Path) -> float:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # removed since it was listed
            continue
    return total / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inspections", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1000, help="inspections a second, at most")
    parser.add_argument("--keep_gb", type=float, default=0.05)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        command = serve(fitted(folder), folder / "state", "--keep_gb", str(args.keep_gb))
        with started(command, folder / "log") as server:
            soak(args, server, folder / "state")
        check(folder / "state", args.inspections)


answered: list[str] = []


def soak(args: argparse.Namespace, server: Server, state: Path) -> None:
    numbers, lock = iter(range(args.inspections)), threading.Lock()
    failed: list[str] = []
    begun = time.monotonic()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            time.sleep(max(0.0, begun + number / args.rate - time.monotonic()))
            body = photograph(1000 + number, defect=number % 10 == 0)
            headers = {"Content-Type": "image/png", "Idempotency-Key": f"soak-{number}"}
            try:
                connection.request("POST", "/v1/inspect", body, headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                # The connection was closed meanwhile: once more, which is kept once.
                connection.close()
                connection.request("POST", "/v1/inspect", body, headers)
                answer = connection.getresponse()
                text = answer.read()
            if answer.status != 200:
                failed.append(f"{answer.status}: {text[:100]!r}")
                continue
            answered.append(json.loads(text)["inspections"][0]["id"])
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(args.clients)]
    for thread in threads:
        thread.start()
    print(
        "| inspections | a second | server MB | decoders MB | kept MB | database MB |", flush=True
    )
    print("|--:|--:|--:|--:|--:|--:|", flush=True)
    mark = 0
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.5)
        done = len(answered)
        if done < mark:
            continue
        mark += max(args.inspections // 10, 1)
        own, decoders = memory_mb(server.process.pid)
        kept = size_mb(state / "photographs") + size_mb(state / "heatmaps")
        database = sum(p.stat().st_size for p in state.glob("*.db*")) / 1e6
        rate = done / (time.monotonic() - begun)
        memory = f"{rate:.0f} | {own:.0f} | {decoders:.0f}"
        print(f"| {done} | {memory} | {kept:.1f} | {database:.1f} |", flush=True)
    if failed:
        raise SystemExit(f"{len(failed)} weren't answered, such as {failed[0]}")


def check(state: Path, count: int) -> None:
    """Look for every answer in the database, once the server has stopped."""
    with sqlite3.connect(state / "anomalist.db") as database:
        rows = [row[0] for row in database.execute("SELECT id FROM inspections")]
        whole = database.execute("PRAGMA integrity_check").fetchone()[0]
    if len(rows) != count or set(rows) != set(answered) or whole != "ok":
        raise SystemExit(f"{len(rows)} rows of {count} answers; integrity: {whole}")
    print(f"all {count} answers are in the database once; its integrity: {whole}")


if __name__ == "__main__":
    main()
