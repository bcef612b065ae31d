"""Outliers among scores, block by block, with SciPy's F distribution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import f  # type: ignore[import-untyped]


def outlier_count(scores: npt.ArrayLike) -> int:
    """How many of the highest scores stand apart, at most 3 and at most a sixth."""
    values = sorted(np.asarray(scores, np.float64).tolist(), reverse=True)
    told = 0
    for r in (1, 2, 3):
        if r <= len(values) // 6 and apart(values, r, 0.02):
            if min(values) > 0 and not apart([float(np.log(v)) for v in values], r, 0.1):
                continue
            told = r
    return told


def apart(values: list[float], r: int, level: float) -> bool:
    gaps = [
        rank * (values[rank - 1] - values[rank]) for rank in range(1, max(len(values) // 2, 3) + 1)
    ]
    rest = gaps[r:]
    ratio = gaps[r - 1] / (sum(rest) / len(rest))
    return bool(f.sf(ratio, 2, 2 * len(rest)) <= level / r**2)
