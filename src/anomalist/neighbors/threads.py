"""Kernels that release the GIL, run in as many threads as torch has."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")

PIECE = 256  # rows that a thread takes at a time


def in_threads(work: Callable[[slice], Result], count: int, piece: int = PIECE) -> list[Result]:
    """Do work on a range in pieces, some in each thread; the results in the range's order."""
    pieces = [slice(start, min(start + piece, count)) for start in range(0, count, piece)]
    if len(pieces) == 1 or torch.get_num_threads() == 1:
        return [work(part) for part in pieces]
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return list(threads.map(work, pieces))
