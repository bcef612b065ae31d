"""Runs cases in processes of their own and keeps those that break a promise."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Protocol

import numpy as np

_CPU_SECONDS = 5.0  # that a case may take
_WALL_SECONDS = 60.0  # after which its process is ended
_ADDRESS_SPACE = 3 * 2**30  # beyond what the process has when it begins
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# What no file may bring about, as Python's audit events call it.
_FORBIDDEN = re.compile(
    r"socket\.|subprocess\.|pickle\.|pty\.|urllib\.|webbrowser\.|shutil\."
    r"|os\.(system|exec|spawn|posix_spawn|fork|forkpty|remove|rename|mkdir|rmdir|chmod|chown|link"
    r"|symlink|truncate|putenv|kill|startfile)"
)


class Target(Protocol):
    """What is fuzzed."""

    seeds: dict[str, bytes]

    def case(self, rng: np.random.Generator) -> bytes:
        """Make the content of a file."""

    def check(self, path: Path) -> str:
        """Read it; return how it went, or raise what must not be raised."""

    def memory(self, size: int) -> int:
        """Bytes that reading a file of this size may take."""


@dataclass
class Guard:
    """Notes what the running case does beside reading, and its warnings."""

    active: bool = False
    seen: list[str] = field(default_factory=list)

    def install(self) -> None:
        """Begin to watch; there is no end."""
        sys.addaudithook(self._hear)
        warnings.simplefilter("always")
        warnings.showwarning = self._warned  # type: ignore[assignment]

    @contextlib.contextmanager
    def watching(self) -> Iterator[list[str]]:
        """Watch the block; what was seen is in the list."""
        self.seen, self.active = [], True
        try:
            yield self.seen
        finally:
            self.active = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            path, mode, flags = arguments
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & _WRITING:
                self.seen.append(f"opens {path} for writing")
        elif event == "pickle.find_class" and str(arguments[0]).startswith("numba."):
            pass  # numba reads what it compiled before
        elif _FORBIDDEN.match(event):
            self.seen.append(f"{event} {arguments!r:.200}")
            raise PermissionError(event)

    def _warned(self, message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if self.active:
            self.seen.append(f"warns {category.__name__}: {message}"[:200])


GUARD = Guard()


def attempt(target: Target, content: bytes, path: Path, *, watched: bool = True) -> str:
    """Check one case; return how it went, beginning with FINDING where a promise is broken."""
    path.write_bytes(content)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of memory so far
    before, began = _memory("VmRSS"), time.process_time()
    with GUARD.watching() as seen:
        try:
            outcome = target.check(path)
        except BaseException as error:
            GUARD.active = False
            where = "".join(traceback.format_exception(error)[-6:])
            outcome = f"FINDING raises {type(error).__name__}: {error}\n{where}"
    if watched:
        seconds, grown = time.process_time() - began, _memory("VmHWM") - before
        if seconds > _CPU_SECONDS:
            outcome = f"FINDING takes {seconds:.1f} s ({outcome})"
        if grown > target.memory(len(content)):
            outcome = f"FINDING takes {grown / 2**20:.0f} MB for {len(content)} bytes ({outcome})"
    if seen:
        outcome = f"FINDING {'; '.join(seen)} ({outcome})"
    return outcome


def _memory(entry: str) -> int:
    with contextlib.suppress(OSError), open("/proc/self/status") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(entry):
                return int(line.split()[1]) * 1024
    return 0


def _work(
    make: Callable[[], Target],
    seed: int,
    numbers: range,
    current: Synchronized[int],
    results: Any,
    out: str,
) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries of C complain of every bad file
    target = make()
    with tempfile.TemporaryDirectory(
        dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as folder:
        path = Path(folder) / "case.bin"
        for content in target.seeds.values():  # first uses import, and read compiled code
            attempt(target, content, path)
        for warm in range(20):
            attempt(target, target.case(np.random.default_rng([seed, 2**40 + warm])), path)
        GUARD.install()
        limit = _memory("VmSize") + _ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        counts: Counter[str] = Counter()
        for number in numbers:
            current.value = number
            content = target.case(np.random.default_rng([seed, number]))
            Path(out, f"current-{numbers[0]}.bin").write_bytes(content)
            outcome = attempt(target, content, path)
            counts[_kind(outcome)] += 1
            if outcome.startswith("FINDING"):
                _keep(out, seed, number, content, outcome)
            if number == numbers[-1] or sum(counts.values()) >= 200:
                results.put((numbers[0], number, counts))
                counts = Counter()


def _kind(outcome: str) -> str:
    """An outcome without what differs from case to case."""
    text = outcome.splitlines()[0]
    text = re.sub(r"/\S*case\.bin", "FILE", text)
    text = re.sub(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"", "'..'", text)
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "N", text)[:160]


def _keep(out: str, seed: int, number: int, content: bytes, outcome: str) -> None:
    folder = Path(out)
    (folder / f"{seed}-{number}.bin").write_bytes(content)
    (folder / f"{seed}-{number}.txt").write_text(outcome, errors="backslashreplace")


def fuzz(
    make: Callable[[], Target], *, cases: int, seed: int, workers: int, first: int, out: Path
) -> int:
    """Run cases; print what came of them; return the number of findings."""
    out.mkdir(parents=True, exist_ok=True)
    for earlier in _findings(out, seed, first, cases):
        earlier.unlink()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    share = -(-cases // workers)
    stretches = [
        range(first + i * share, first + min((i + 1) * share, cases)) for i in range(workers)
    ]
    began = time.monotonic()
    running: dict[int, tuple[Any, Synchronized[int], range]] = {}
    beats: dict[int, tuple[int, float]] = {}

    def start(place: int, numbers: range) -> None:
        current = context.Value("q", -1)
        arguments = (make, seed, numbers, current, results, str(out))
        process = context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        running[place] = (process, current, numbers)
        beats[place] = (-1, time.monotonic() + 120)

    for place, numbers in enumerate(stretches):
        if numbers:
            start(place, numbers)
    counts: Counter[str] = Counter()
    done = shown = 0
    while running:
        with contextlib.suppress(Exception):
            while True:
                counts.update(results.get(timeout=0.2)[2])
        told = sum(counts.values())
        if told >= shown + 5000:
            shown = told
            rate = told / (time.monotonic() - began)
            found = len(_findings(out, seed, first, cases))
            print(f"{told} cases, {rate:.0f} a second, {found} findings", flush=True)
        for place, (process, current, numbers) in list(running.items()):
            number = current.value
            if number != beats[place][0]:
                beats[place] = (number, time.monotonic())
            hangs = time.monotonic() - beats[place][1] > _WALL_SECONDS
            if process.is_alive() and not hangs:
                continue
            if hangs:
                os.kill(process.pid, signal.SIGKILL)
            process.join()
            del running[place]
            if process.exitcode == 0:
                done += len(numbers)
                continue
            done += max(number - numbers[0] + 1, 0)
            how = "hangs" if hangs else f"ends its process with code {process.exitcode}"
            kept = out / f"current-{numbers[0]}.bin"
            content = kept.read_bytes() if kept.exists() else b""
            _keep(str(out), seed, number, content, f"FINDING {how}")
            rest = range(number + 1, numbers[-1] + 1)
            if number >= 0 and rest:
                start(place, rest)
    with contextlib.suppress(Exception):
        while True:
            counts.update(results.get(timeout=0.5)[2])
    for leftover in out.glob("current-*.bin"):
        leftover.unlink()
    seconds = time.monotonic() - began
    for kind, count in counts.most_common():
        print(f"{count:>8}  {kind}")
    found = len(_findings(out, seed, first, cases))
    print(f"{done} cases in {seconds:.0f} s, seed {seed}: {found} findings in {out}")
    return found


def _findings(out: Path, seed: int, first: int, cases: int) -> list[Path]:
    """What was kept of these cases: a process that ended had no time to count them."""
    names = {path.stem: path for path in out.glob(f"{seed}-*.txt")}
    numbers = {f"{seed}-{number}" for number in (-1, *range(first, first + cases))}
    return [path for name, path in names.items() if name in numbers]


def main(prepare: Callable[[], Callable[[], Target]], name: str) -> int:
    """Parse the command line and run what is made in every process by what is prepared in one."""
    parser = argparse.ArgumentParser(prog=f"python -m fuzz.{name}")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path(f"fuzz-findings/{name}"))
    parser.add_argument("--file", type=Path, help="check this file alone, such as a finding")
    arguments = parser.parse_args()
    # A process has one core: threads of others would only wait for each other.
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    make = prepare()
    if arguments.file is not None:
        with tempfile.TemporaryDirectory() as folder:
            content = arguments.file.read_bytes()
            outcome = attempt(make(), content, Path(folder) / "case.bin", watched=False)
        print(outcome)
        return int(outcome.startswith("FINDING"))
    findings = fuzz(
        make,
        cases=arguments.cases,
        seed=arguments.seed,
        workers=arguments.workers,
        first=arguments.first,
        out=arguments.out,
    )
    return int(findings > 0)
