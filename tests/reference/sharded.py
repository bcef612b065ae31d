"""A coreset of shards, the slow and obvious way: every shard's, then one of their union."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tests.reference.coreset import greedy_coreset

Float32 = npt.NDArray[np.float32]


def merged_coreset(shards: list[Float32], size: int, seed: int) -> tuple[Float32, float]:
    """Traverse every shard for twice its share of the coreset, and then all that was picked.

    The bound is the radius of that last traversal and the largest of the shards' together.
    """
    total = sum(map(len, shards))

    def start(count: int) -> int:
        return int(np.random.default_rng(seed).integers(count))

    kept, radii = [], []
    for rows in shards:
        share = min(len(rows), math.ceil(2 * size * len(rows) / total))
        picks, radius = greedy_coreset(rows, share, start(len(rows)))
        kept.append(rows[picks])
        radii.append(radius)
    union = np.concatenate(kept)
    picks, radius = greedy_coreset(union, size, start(len(union)))
    return union[picks], radius + max(radii)
