"""What the command does when it is told to stop: by Ctrl-C, or by the system."""

# Signals are listened to before anything else is loaded, so nothing that takes time is loaded here.
from __future__ import annotations

import atexit
import math
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: What ends the command in an orderly way: Ctrl-C, an order to end, a terminal that closes.
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_SAME_SECONDS = 0.5


class Stopped(KeyboardInterrupt):
    """The system told the command to end; what is done on a Ctrl-C is done then too.

    Parameters
    ----------
    number : int
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Stops:
    """Signals that ask the process to stop, from its first moment to its last.

    As long as nothing has been begun, as while modules load, the process ends at once: an
    exception raised in the midst of that becomes another error, or is lost. Later, a signal becomes
    a `KeyboardInterrupt`, which what is under way can clean up after; another one within half a
    second is taken for the same. While the end is told, the process ends at once again, and when
    all is told, with no word: nothing is left to stop.

    Parameters
    ----------
    tell : callable
        Called with the exit code when the process ends at once.

    Attributes
    ----------
    asked : int or None
        The signal that came first.
    """

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._working = False
        self._over: int | None = None
        self._heard_at = -math.inf
        self.asked: int | None = None

    def listen(self) -> None:
        """Take over the signals that aren't ignored, as those of ``nohup`` are."""
        for number in _asking():
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._heard)
        sys.unraisablehook = self._unraisable
        # The interpreter gives them back to the system as it ends.
        atexit.register(_ignore)

    def work(self) -> None:
        """Say that there is work to clean up after from now on."""
        self._working = True

    def rest(self) -> None:
        """Say that there is nothing left to clean up after."""
        self._working = False

    def finish(self, code: int) -> None:
        """Say that all is told: a signal ends the process with that exit code and no word."""
        self._over = code

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._over is not None:
            os._exit(self._over)
        if time.monotonic() - self._heard_at < _SAME_SECONDS:
            return
        self._heard_at = time.monotonic()
        if self.asked is None:
            self.asked = number
        if not self._working or _loads_modules(frame):
            code = exit_code(self.asked)
            self._tell(code)
            os._exit(code)
        raise KeyboardInterrupt if self.asked == signal.SIGINT else Stopped(self.asked)

    def _unraisable(self, lost: sys.UnraisableHookArgs) -> None:
        """Send again what came where no exception can pass, as in a finalizer."""
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(lost)
            return
        import threading

        again = self.asked or signal.SIGINT
        timer = threading.Timer(_SAME_SECONDS, os.kill, (os.getpid(), again))
        timer.daemon = True
        timer.start()


def _asking() -> list[int]:
    """Return the numbers of the signals; Windows lacks one."""
    return [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]


def _ignore() -> None:
    for number in _asking():
        signal.signal(number, signal.SIG_IGN)


def exit_code(number: int) -> int:
    """Return the exit code of a process that a signal ended, as shells have it.

    Examples
    --------
    >>> exit_code(2), exit_code(15)
    (130, 143)
    """
    return 128 + number


def _loads_modules(frame: FrameType | None) -> bool:
    """Tell whether a command is loading what it needs, which comes before its work."""
    loader = None
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            loader = frame
        frame = frame.f_back
    while loader is not None and loader.f_globals.get("__name__", "").startswith("importlib"):
        loader = loader.f_back
    return loader is not None and loader.f_globals.get("__name__", "").startswith("anomalist.cli")
