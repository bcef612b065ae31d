"""Threads that share the work of NumPy calls, which let go of the interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = min(os.cpu_count() or 1, 8)
"""Each holds a buffer of its own, so more would cost memory and save little time."""


def threaded_map(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield ``function`` of each item, in order."""
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(function, items)
