"""A watched folder under thousands of events and kills: every content has exactly one row.

    python benchmarks/watching.py --events 2000 --kills 10

Fits a small PatchCore to drawn parts and lets ``anomalist predict --watch`` look at a folder in
which photographs appear whole, half-copied and completed later, are renamed, overwritten by others
(with the same size and time, too), and deleted, and which itself goes away and comes back. The
process is killed by SIGKILL again and again and started anew; events go on meanwhile. In the end it
is stopped by Ctrl-C, and the rows are held against what was in the folder: each content that stayed
until it could be seen has exactly one row, one that was gone before has at most one, and nothing
else has one. Then tells how long a start takes with 20,000 photographs that are done, and a look.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from anomalist import load
from anomalist.inspection import (
    Finding,
    Rule,
    Tally,
    identity_of,
    predict_files,
    watch_inputs,
)
from anomalist.inspection.results import Results
from peak import peak_mb

# Times of all files, so that size and time never tell one photograph from another.
_TIME = 1_700_000_000.5


class Process(Protocol):
    """What watches."""

    def kill(self) -> None:
        """End it at once."""
        ...

    def stop(self) -> None:
        """End it as Ctrl-C does, and wait for it."""
        ...


class Line:
    """A folder of photographs to which things happen.

    Parameters
    ----------
    folder : Path
        To be watched.
    out : Path
        Where the rows come.
    draw : callable
        The bytes of a photograph of a number, always as many.
    seed : int
        Of what happens.
    """

    def __init__(
        self, folder: Path, out: Path, draw: Callable[[int], bytes], seed: int = 0
    ) -> None:
        self.folder, self.out, self.draw = folder, out, draw
        self.random = random.Random(seed)
        self.files: dict[str, bytes] = {}
        self.halves: dict[str, bytes] = {}
        self.whole: set[str] = set()
        self.fleeting: set[str] = set()
        self.cut: set[str] = set()
        self.happened: Counter[str] = Counter()
        self._numbers = iter(range(10**9))
        self._away = folder.with_name(f"{folder.name}.away")
        self._names = iter(f"{i:06}" for i in range(10**6))
        folder.mkdir(parents=True)

    def step(self) -> None:
        """Let something happen."""
        kinds = ("new", "half", "finish", "rename", "overwrite", "delete", "go", "back")
        weights = (30, 15, 20, 15, 20, 10, 2, 10)
        kind = self.random.choices(kinds, weights)[0]
        if getattr(self, f"_{kind}")():
            self.happened[kind] += 1
        else:
            self._new()
            self.happened["new"] += 1

    def seen(self) -> set[str]:
        """The contents that have a row that didn't fail."""
        return {row["sha256"] for row in self.rows() if "error" not in row}

    def rows(self) -> list[dict[str, str]]:
        """The rows as they are now, whole lines alone."""
        path = self.out / "predictions.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def wait(self, seconds: float) -> None:
        """Mend all that is amiss and wait until all is seen."""
        self._back()
        while self._finish():
            pass
        until = time.monotonic() + seconds
        while not {_sha(data) for data in self.files.values()} <= self.seen():
            if time.monotonic() > until:
                raise AssertionError("a photograph was never inspected")
            time.sleep(0.05)

    def check(self) -> None:
        """Hold the rows against what happened."""
        rows = self.rows()
        good = Counter(row["sha256"] for row in rows if "error" not in row)
        bad = Counter(row["sha256"] for row in rows if "error" in row)
        twice = [content for content, count in (good + bad).items() if count > 1]
        assert not twice, f"{len(twice)} contents have more rows than one"
        lasting = self.whole - self.fleeting
        assert not lasting - set(good), f"{len(lasting - set(good))} contents have no row"
        assert set(good) <= self.whole, "rows of what was never there"
        assert set(bad) <= self.cut, "failures of what was whole"
        now = {str(self.folder / name) for name in self.files}
        standing = [row["path"] for row in rows if "error" in row and row["path"] in now]
        assert not standing, f"{standing} failed and is whole"

    def _place(self, name: str) -> Path:
        return (self._away if self._away.exists() else self.folder) / name

    def _put(self, name: str, data: bytes, *, new: bool) -> None:
        target = self._place(name)
        temporary = target.with_name(f".{name}") if new else target
        temporary.write_bytes(data)
        os.utime(temporary, (_TIME, _TIME))
        temporary.replace(target)

    def _new(self) -> bool:
        name, data = f"{next(self._names)}.bmp", self.draw(next(self._numbers))
        self.files[name] = data
        self.whole.add(_sha(data))
        self._put(name, data, new=True)
        return True

    def _half(self) -> bool:
        name, data = f"{next(self._names)}.bmp", self.draw(next(self._numbers))
        part = data[: len(data) * self.random.randint(5, 95) // 100]
        self.halves[name] = data
        self.cut.add(_sha(part))
        self._put(name, part, new=False)
        return True

    def _finish(self) -> bool:
        if not self.halves:
            return False
        name, data = self.halves.popitem()
        self.files[name] = data
        self.whole.add(_sha(data))
        self._put(name, data, new=False)
        return True

    def _rename(self) -> bool:
        if not self.files:
            return False
        name = self.random.choice([*self.files])
        new = f"{next(self._names)}.bmp"
        self.files[new] = self.files.pop(name)
        self._place(name).rename(self._place(new))
        return True

    def _overwrite(self) -> bool:
        name = self._victim()
        if name is None:
            return False
        data = self.draw(next(self._numbers))
        self.files[name] = data
        self.whole.add(_sha(data))
        self._put(name, data, new=self.random.random() < 0.5)
        return True

    def _delete(self) -> bool:
        name = self._victim()
        if name is None:
            return False
        del self.files[name]
        self._place(name).unlink()
        return True

    def _go(self) -> bool:
        if self._away.exists():
            return False
        self.folder.rename(self._away)
        return True

    def _back(self) -> bool:
        if not self._away.exists():
            return False
        self._away.rename(self.folder)
        return True

    def _victim(self) -> str | None:
        """A photograph that was seen, or now and then any."""
        seen = self.seen()
        names = [name for name, data in self.files.items() if _sha(data) in seen]
        if self.random.random() < 0.1:
            names = [*self.files]
        if not names:
            return None
        name = self.random.choice(names)
        if _sha(self.files[name]) not in seen:
            self.fleeting.add(_sha(self.files[name]))
        return name


def drive(line: Line, start: Callable[[], Process], events: int, kills: int, pause: float) -> None:
    """Let so many things happen while a process watches that is killed so often."""
    process = start()
    try:
        for event in range(events):
            line.step()
            time.sleep(line.random.expovariate(1 / pause))
            if (event + 1) % (events // (kills + 1)) == 0 and kills:
                kills -= 1
                process.kill()
                for _ in range(line.random.randint(0, 5)):
                    line.step()
                process = start()
        line.wait(120)
    finally:
        process.stop()
    line.check()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def photograph(number: int, side: int = 64) -> bytes:
    """The bytes of a drawn part like no other; each seventh has a defect."""
    pixels = np.random.default_rng(number).normal(110, 6, (side, side, 3))
    if number % 7 == 0:
        pixels[8:24, 8:24] += 90
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "BMP")
    return stream.getvalue()


class Command:
    """``anomalist predict --watch`` in a process of its own."""

    def __init__(self, model: Path, folder: Path, out: Path) -> None:
        command = [sys.executable, "-m", "anomalist", "predict", str(model), str(folder)]
        command += ["--out", str(out), "--watch", "0.1", "--device", "cpu"]
        with Path(f"{out}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log)
        while not (out / "predictions.csv").exists():  # so that the first kill isn't of nothing
            time.sleep(0.1)
            assert self._process.poll() is None

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Send SIGINT."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pause", type=float, default=0.03, help="seconds between two events")
    parser.add_argument("--done", type=int, default=20_000, help="photographs of the start")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        good, model = here / "good", here / "part.anomalist"
        good.mkdir()
        for i in range(1, 21):
            (good / f"{i}.bmp").write_bytes(photograph(-7 * i % 10**6 + 1))
        fit = [sys.executable, "-m", "anomalist", "fit", "patchcore", "--data", str(good)]
        fit += ["--out", str(model), "--image_size", "64", "--device", "cpu"]
        subprocess.run(fit, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        line = Line(here / "camera", here / "out", photograph)
        begin = time.monotonic()
        drive(
            line,
            lambda: Command(model, line.folder, line.out),
            arguments.events,
            arguments.kills,
            arguments.pause,
        )
        rows = line.rows()
        print(f"{sum(line.happened.values())} events: {dict(line.happened)}")
        print(
            f"{arguments.kills} kills; {len(line.whole)} contents, {len(line.fleeting)} of them"
            f" gone before they were seen; {len(rows)} rows, {len({r['sha256'] for r in rows})}"
            f" contents in them; {time.monotonic() - begin:.0f} s"
        )
        measure_done(here, model, arguments.done)


def measure_done(here: Path, model: Path, count: int) -> None:
    """Tell what a start and a look take when all photographs have their rows."""
    folder, out = here / "done", here / "done_out"
    folder.mkdir()
    for i in range(count):  # as large as a photograph of 1,024 x 1,024 pixels as JPEG
        data = i.to_bytes(8, "little") + bytes(400_000)
        (folder / f"{i:06}.bmp").write_bytes(data)
    call = identity_of(model, [str(folder)])
    rule = Rule.of(load(model))
    with Results(out, {}) as results:
        for path in sorted(folder.iterdir()):
            results.add(
                Finding(
                    path=str(path),
                    score=0.0,
                    threshold=rule.threshold,
                    decision="normal",
                    sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                    model=call["model"][:16],
                )
            )
        results.finish()
    times: list[float] = []

    def sleep(_: float) -> None:
        times.append(time.perf_counter())
        if len(times) == 5:
            raise KeyboardInterrupt

    watch = watch_inputs([str(folder)], 1, sleep=sleep)
    tally = Tally()
    times.append(time.perf_counter())
    with suppress(KeyboardInterrupt):
        predict_files(load(model), watch, out, rule, identity=call, used="append", tally=tally)
    assert tally.before == tally.total == count
    rows, _, hashed, look = np.diff(times)
    print(
        f"{count} photographs of 400 kB that are done: {rows:.1f} s until the first look is over,"
        f" {hashed:.1f} s to hash all of them, once; then {look:.2f} s a look;"
        f" peak {peak_mb():.0f} MB"
    )


if __name__ == "__main__":
    main()
