"""Functions that numba compiles, and keeps compiled wherever there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
from numba.core.caching import FunctionCache


def njit(**options: Any) -> Any:
    """Compile a function without the interpreter's lock, and keep what was compiled.

    Where it can't be kept or read again, as on a read-only or full disk, for a user without a
    home, or from a damaged file, it is compiled anew instead of failing.

    Parameters
    ----------
    **options
        What ``numba.njit`` takes.

    Examples
    --------
    >>> @njit()
    ... def double(value):
    ...     return 2 * value
    >>> double(3)
    6
    """

    def compile_(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(nogil=True, **options)(function)
        with suppress(RuntimeError):  # there is no folder that could keep it
            compiled._cache = _Cache(function)
        return compiled

    return compile_


class _Cache(FunctionCache):  # type: ignore[misc]
    """A cache without which all goes on."""

    def load_overload(self, *where: Any) -> Any:
        try:
            return super().load_overload(*where)
        except Exception:  # a damaged file can raise whatever unpickling can
            return None

    def save_overload(self, *what: Any) -> None:
        with suppress(Exception):
            super().save_overload(*what)
