"""How far long work has come, and how the progress of a part tells that of the whole."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]


def shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Progress that counts on from ``done``, to ``total``."""
    if progress is None:
        return None
    return lambda more, _: progress(done + more, total)


def as_share(progress: Progress | None, images: int, done: int, total: int) -> Progress | None:
    """Progress of a fit, however often it passes its images, as a part of the whole."""
    if progress is None:
        return None
    return lambda now, of: progress(done + images * now // of, total)
