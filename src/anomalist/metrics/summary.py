"""All that is wanted of a ranking, made of parts that needn't be in memory together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anomalist.metrics.pixels import Pixels
from anomalist.metrics.ranking import Array, Ranking, check_both, rank_among
from anomalist.metrics.threads import threaded_map

POSITIVES = 1 << 22
"""About how many positives are ranked at a time; each takes some 100 bytes."""

OUTLINE = 1 << 14
"""Rows of a part of the ranking that stay, for curves and for resampling."""

_SAMPLE = 1 << 16


@dataclass(frozen=True, eq=False)
class Summary:
    """The metrics of a ranking, exact over all thresholds, and its outline.

    Parameters
    ----------
    values : dict
        Metrics by name.
    threshold : float
        The highest threshold that has the best F1.
    outline : Ranking
        All rows of the ranking, or of a long one many of them, each exact.
    pro_limits : tuple of float
        False positive rates of the ``PRO_<limit>`` among the values.
    """

    values: dict[str, float]
    threshold: float
    outline: Ranking
    pro_limits: tuple[float, ...] = ()

    @classmethod
    def of(cls, parts: Iterable[Ranking], pro_limits: Sequence[float] = ()) -> Summary:
        """Add up parts of one ranking, in order, the highest scores first."""
        values: dict[str, float] = {}
        threshold = 0.0
        rows = []
        for part in parts:
            f1 = part.f1()
            best = int(np.argmax(f1))
            if f1[best] > values.get("F1Score", -1.0):
                threshold = float(part.thresholds[best])
            for name, value in part.values(pro_limits).items():
                if name == "F1Score":
                    values[name] = max(values.get(name, 0.0), float(value))
                else:
                    values[name] = values.get(name, 0.0) + float(value)
            rows.append(part.rows(part.quantiles(OUTLINE)))
        return cls(values, threshold, Ranking.join(rows), tuple(pro_limits))


def rank_pixels(pixels: Pixels) -> Iterator[Ranking]:
    """Rank defective pixels among all, the highest scores first, some millions at a time.

    Memory is bounded by the number of positives that are ranked at a time, whatever the number and
    size of images; more of them take more passes over the maps.

    Yields
    ------
    Ranking
        Parts of one ranking.

    Raises
    ------
    DataError
        If there is no defective or no normal pixel.
    """
    n_positive = int(pixels.n_positive.sum())
    check_both(n_positive, pixels.n)
    before = (0, 0, 0.0)
    for low, high in _ranges(pixels, n_positive):
        values, weights = _positives(pixels, low, high)
        if not len(values):
            continue
        part = rank_among(
            pixels, values, weights / max(pixels.n_regions, 1), n_positive, high, before
        )
        assert part.overlap is not None
        before = int(part.tp[-1]), int(part.fp[-1]), float(part.overlap[-1])
        yield part


def _positives(pixels: Pixels, low: Any, high: Any) -> tuple[Array, Array]:
    """The defective pixels with scores in a range, and one over the area of their region."""
    marked = np.flatnonzero(pixels.n_positive)
    values, inverse_areas = zip(
        *threaded_map(lambda image: pixels.positives(int(image), low, high), marked), strict=True
    )
    return np.concatenate(values), np.concatenate(inverse_areas)


def _ranges(pixels: Pixels, n_positive: int) -> list[tuple[Any, Any]]:
    """Ranges of scores from the highest down that each hold about `POSITIVES` positives."""
    parts = -(-n_positive // POSITIVES)
    if parts == 1:
        return [(None, None)]
    step = max(1, n_positive // _SAMPLE)
    marked = np.flatnonzero(pixels.n_positive)
    sample = np.concatenate(
        list(threaded_map(lambda image: pixels.positives(int(image))[0][::step], marked))
    )
    sample.sort()
    ends = np.unique(sample[np.arange(1, parts) * len(sample) // parts])
    return list(zip([*ends[::-1], None], [None, *ends[::-1]], strict=True))
