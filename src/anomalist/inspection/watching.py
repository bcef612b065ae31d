"""Folders that are watched: what is new in them, once it is whole, for as long as it is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anomalist.data.names import existing, is_pattern
from anomalist.errors import ParameterError
from anomalist.files import absolute
from anomalist.inspection.inputs import files_of
from anomalist.inspection.results import has_results_of

# A clock that ticks this seldom, as of FAT, says the same time of a file that still grows.
_COARSE_S = 2.0
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class _State:
    """What changes when a file does, as far as it takes no reading.

    Copying with the old time (``cp -p``) brings back size and time, but neither the time at which
    the system last changed the file nor, where another took its place, its number.
    """

    size: int
    modified: int
    changed: int
    number: int

    @classmethod
    def of(cls, path: Path) -> _State:
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)

    def still(self, before: _State) -> bool:
        """Whether it rests. Not by its number, which some network drives draw anew each time."""
        mine, other = ((s.size, s.modified, s.changed) for s in (self, before))
        return mine == other

    def is_coarse(self) -> bool:
        """Whether its times may be those of a clock that ticks in whole seconds."""
        return self.modified % _SECOND_NS == self.changed % _SECOND_NS == 0


class Watch(Iterator[list[Path]]):
    """Looks, again and again, at what is new; see `watch_inputs`, which makes one."""

    def __init__(
        self,
        inputs: Sequence[str],
        seconds: float,
        *,
        results: str | Path | None = None,
        sleep: Callable[[float], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._inputs = list(inputs)
        self._seconds = seconds
        self._results = results
        self._sleep = sleep
        self._tell = tell
        self._looked = False
        # As of the last look: how each file was, and since when by a clock that never jumps.
        self._seen: dict[str, tuple[_State, float]] = {}
        self._yielded: dict[str, _State] = {}
        self._troubles: dict[str, str] = {}
        self._mounts: dict[str, Path] = {}

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> list[Path]:
        if self._looked:
            (self._sleep or pause)(self._seconds)
        self._looked = True
        return self._look()

    def again(self, path: Path) -> None:
        """Have a file come again, though it doesn't change: it couldn't be read."""
        self._yielded.pop(str(path), None)

    def is_as_yielded(self, path: Path) -> bool:
        """Whether a file is still as it was when it came."""
        try:
            return self._yielded.get(str(path)) == _State.of(path)
        except OSError:
            return False

    def _look(self) -> list[Path]:
        now = time.monotonic()
        seen: dict[str, tuple[_State, float]] = {}
        new = []
        for path in self._listed():
            name = str(path)
            if name in seen:
                continue
            try:
                state = _State.of(path)
            except OSError:  # gone since it was listed
                continue
            before, since = self._seen.get(name, (None, now))
            if before is None or not state.still(before):
                since = now
            elif self._yielded.get(name) != state and (
                not state.is_coarse() or now - since >= _COARSE_S
            ):
                self._yielded[name] = state
                new.append(path)
            seen[name] = state, since
        self._seen = seen
        # Not those of a folder that is away: when it is back, its files are no news.
        away = tuple(f"{Path(entry)}/" for entry in self._troubles)
        self._yielded = {
            name: state
            for name, state in self._yielded.items()
            if name in seen or name.startswith(away)
        }
        return new

    def _listed(self) -> Iterator[Path]:
        troubles = {}
        for entry in self._inputs:
            try:
                if self._is_unmounted(entry):
                    raise OSError("No longer mounted")
                found, unreadable = files_of(entry, self._results)
            except OSError as error:
                found, unreadable = [], {entry: error.strerror or str(error)}
            troubles.update(unreadable)
            yield from found
        self._report(troubles)

    def _is_unmounted(self, entry: str) -> bool:
        """Whether the drive of a folder was taken off, which leaves an empty folder there."""
        before = self._mounts.get(entry)
        if before is not None and not before.is_mount():
            return True
        folder = Path(absolute(entry))
        places = (folder, *folder.parents)
        self._mounts[entry] = next((p for p in places if p.is_mount()), places[-1])
        return False

    def _report(self, troubles: dict[str, str]) -> None:
        """Tell once of a folder that can't be looked into, and once that it is back."""
        if self._tell is not None:
            for folder, reason in troubles.items():
                if self._troubles.get(folder) != reason:
                    self._tell(f"{folder}: {reason}; waiting for it")
            for folder in self._troubles:
                if folder not in troubles:
                    self._tell(f"{folder} is there again")
        self._troubles = troubles


def watch_inputs(
    inputs: Sequence[str],
    seconds: float,
    *,
    results: str | Path | None = None,
    sleep: Callable[[float], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Watch:
    """Yield again and again the image files that are new, for as long as it is asked.

    A file is new when it was never yielded or may have changed since: its size, its time, the time
    at which the system changed it, or its number is another. It is yielded once it was the same at
    the look before, so that one that is being written is waited for. A folder that goes away or
    can't be read is told once and waited for.

    Parameters
    ----------
    inputs : sequence of str
        Folders or patterns; nothing need be there yet, but a folder must, unless ``results`` are
        of these inputs already.
    seconds : float
        Time between two looks.
    results : str or Path, optional
        The folder of results, whose pictures are left out.
    sleep : callable, optional
        Waits so many seconds.
    tell : callable, optional
        Called with a line for people, of folders that go and come.

    Returns
    -------
    Watch
        An iterator of lists of Path, which may be empty.

    Raises
    ------
    ParameterError
        If ``seconds`` isn't above 0, or an input can't be watched.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "1.png").write_bytes(b"whole")
    >>> looks = watch_inputs([str(folder)], 2, sleep=lambda seconds: None)
    >>> [[path.name for path in next(looks)] for _ in range(3)]
    [[], ['1.png'], []]
    """
    if not seconds > 0:
        raise ParameterError(f"watch must be a number of seconds above 0, not {seconds}")
    # Where it was watched before, it is away as it can be while it is watched.
    known = results is not None and has_results_of(results, inputs)
    for entry in inputs:
        folder = existing(entry)
        if not (folder.is_dir() or is_pattern(entry) or (known and not folder.exists())):
            raise ParameterError(f"{entry} can't be watched: give a folder or a pattern")
    return Watch(inputs, seconds, results=results, sleep=sleep, tell=tell)


def pause(seconds: float) -> None:
    """Wait so many seconds."""
    time.sleep(seconds)
