"""The slow, obvious farthest-first traversal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def greedy_coreset(
    embeddings: npt.NDArray[np.float32], size: int, start: int = 0
) -> tuple[npt.NDArray[np.int64], float]:
    """Pick the embedding farthest from all picks, the lowest index among equals, size times."""
    points = embeddings.astype(np.float64)
    picks = [start]
    nearest = ((points - points[start]) ** 2).sum(axis=1)
    nearest[start] = -1  # a pick is never picked again, not even where only its duplicates remain
    while len(picks) < size:
        pick = int(np.argmax(nearest))
        picks.append(pick)
        nearest = np.minimum(nearest, ((points - points[pick]) ** 2).sum(axis=1))
        nearest[pick] = -1
    return np.array(picks), float(np.sqrt(max(nearest.max(), 0)))
