"""What comes one by one is done some at a time, in turn for each that it is for."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Batcher(Generic[K, T]):
    """A thread that takes what waits, some at a time.

    What has the same key is taken together, in its order, as soon as there is a full batch, nothing
    more is on its way, or the first has waited long enough. Keys take turns, a batch each. While
    nothing waits, nothing is done.

    Parameters
    ----------
    do : callable
        Called with a key and a batch of it; it must not raise.
    most : callable
        Returns how many of a key make a full batch.
    wait_s : float
        How long one waits for others that are on their way.
    name : str
        Of the thread.

    Examples
    --------
    >>> done = []
    >>> batcher = Batcher(lambda key, batch: done.append((key, batch)), lambda key: 2, 0.01, "sums")
    >>> for number in range(3):
    ...     batcher.expect("a")
    >>> for number in range(3):
    ...     batcher.put("a", number)
    >>> batcher.close()
    >>> sum((batch for _, batch in done), [])
    [0, 1, 2]
    """

    def __init__(
        self,
        do: Callable[[K, list[T]], None],
        most: Callable[[K], int],
        wait_s: float,
        name: str,
    ) -> None:
        self._do, self._most, self._wait_s = do, most, wait_s
        self._changed = threading.Condition()
        # In the order of turns: what waits, and since when.
        self._waiting: OrderedDict[K, deque[tuple[float, T]]] = OrderedDict()
        self._coming: dict[K, int] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def expect(self, key: K) -> None:
        """Say that one is on its way: `put` or `give_up` must follow."""
        with self._changed:
            self._coming[key] = self._coming.get(key, 0) + 1

    def put(self, key: K, one: T) -> None:
        """Take one that was expected."""
        with self._changed:
            self._waiting.setdefault(key, deque()).append((time.monotonic(), one))
            self._arrived(key)

    def give_up(self, key: K) -> None:
        """Expect one no longer."""
        with self._changed:
            self._arrived(key)

    def close(self) -> None:
        """Do all that waits and is on its way, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _arrived(self, key: K) -> None:
        self._coming[key] -= 1
        if not self._coming[key]:
            del self._coming[key]
        self._changed.notify()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            self._do(*taken)

    def _take(self) -> tuple[K, list[T]] | None:
        with self._changed:
            while True:
                now = time.monotonic()
                soonest = None
                for key, waiting in self._waiting.items():
                    since = waiting[0][0]
                    if len(waiting) >= self._most(key) or key not in self._coming:
                        return key, self._taken(key)
                    left = since + self._wait_s - now
                    if left <= 0:
                        return key, self._taken(key)
                    soonest = left if soonest is None else min(soonest, left)
                if self._closed and not self._waiting and not self._coming:
                    return None
                self._changed.wait(soonest)

    def _taken(self, key: K) -> list[T]:
        waiting = self._waiting.pop(key)
        batch = [waiting.popleft()[1] for _ in range(min(self._most(key), len(waiting)))]
        if waiting:  # the turn is others' first
            self._waiting[key] = waiting
        return batch
