"""Which images are held out to test on, where nobody has said so."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def hold_out(names: Mapping[Key, str], share: float, seed: int) -> set[Key]:
    """Choose a share of what has names, which they and the seed decide alone.

    So that new ones hardly change the choice. Of two or more, at least one is held out and one
    stays.

    Parameters
    ----------
    names : dict of Key to str
        What to choose from, and its names.
    share : float
        Between 0 and 1.
    seed : int
        Another seed chooses others.

    Examples
    --------
    >>> sorted(hold_out({n: f"good/{n}.png" for n in range(10)}, 0.2, seed=0))
    [1, 4]
    """

    def lot(key: Key) -> bytes:
        return hashlib.sha256(os.fsencode(f"{seed}/{names[key]}")).digest()

    count = min(max(round(share * len(names)), 1), len(names) - 1)
    return set(sorted(names, key=lot)[: max(count, 0)])
