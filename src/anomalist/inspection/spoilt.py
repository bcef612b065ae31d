"""What spoils maps and scores before they are measured: clamped, coarse, stretched, constant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from anomalist.data.maps import AnomalyMap
from anomalist.data.names import first_of, plural

_TOLD = 3
# So few different values are steps, not a scale; a map needs more pixels than that to show it.
_COARSE = 256
_SAMPLED = 1 << 16
# Beyond this share of all values, those that tie at an end can move a metric.
_TIED_TOP, _TIED_BOTTOM = 1e-3, 1e-2
# Sides whose ratio differs by more don't show the same part of a photograph.
_ASKEW = 0.02


@dataclass(frozen=True)
class _Seen:
    """One map, once its values are put aside."""

    name: str
    shape: tuple[int, int]
    image: tuple[int, int]
    bits: int
    low: float
    high: float
    at_low: int
    at_high: int


@dataclass
class MapChecks:
    """Takes in maps one by one, and tells what a reader must know of all of them.

    Examples
    --------
    >>> checks = MapChecks()
    >>> for i in range(4):
    ...     values = np.random.default_rng(i).random((32, 32)).clip(0.2, 0.8).astype(np.float32)
    ...     checks.add(f"{i}.npy", AnomalyMap(values), (32, 32))
    >>> for note in checks.notes("original"):
    ...     print(note[:60])
    each of the maps goes from 0.2 to 0.8: it was stretched by i
    """

    _seen: list[_Seen] = field(default_factory=list)
    _values: set[float] | None = field(default_factory=set)

    def add(self, name: str, found: AnomalyMap, image: tuple[int, int]) -> None:
        """Take in the map of an image of so many pixels, (height, width)."""
        values = found.values
        low, high = values.min(), values.max()
        height, width = values.shape
        self._seen.append(
            _Seen(
                name,
                (height, width),
                image,
                found.bits,
                float(low),
                float(high),
                int(np.count_nonzero(values == low)),
                int(np.count_nonzero(values == high)),
            )
        )
        if self._values is not None and values.size > _COARSE:
            step = max(1, values.size // _SAMPLED)
            self._values.update(np.unique(values.ravel()[::step])[: 4 * _COARSE].tolist())
            if len(self._values) > _COARSE:
                self._values = None

    def notes(self, evaluated_at: str) -> list[str]:
        """Return a line for each thing that spoils what is measured, the worst first."""
        seen = self._seen
        if not seen:
            return []
        return [*self._flat(), *self._ends(), *self._coarse(), *self._sizes(evaluated_at)]

    def _flat(self) -> Iterator[str]:
        flat = [one.name for one in self._seen if one.low == one.high and one.shape != (1, 1)]
        if len(flat) == len(self._seen) and flat:
            yield f"each of the {len(flat)} maps has one value everywhere: they find nothing"
        elif flat:
            has = "map has" if len(flat) == 1 else "maps have"
            yield f"{len(flat)} {has} one value everywhere: {first_of(flat, _TOLD)}"

    def _ends(self) -> Iterator[str]:
        seen = [one for one in self._seen if one.low < one.high]
        if not seen:
            return
        low, high = min(one.low for one in self._seen), max(one.high for one in self._seen)
        total = sum(one.shape[0] * one.shape[1] for one in self._seen)
        tops = [one for one in self._seen if one.high == high]
        bottoms = [one for one in self._seen if one.low == low]
        same = Counter((one.low, one.high) for one in seen).most_common(1)[0]
        if len(seen) >= _TOLD and same[1] >= 0.9 * len(seen):
            of = "each" if same[1] == len(seen) else f"{same[1]} of {len(seen)}"
            yield (
                f"{of} of the maps goes from {same[0][0]:g} to {same[0][1]:g}: it was stretched by"
                " itself or clamped, so that values of one image can't be compared with those of"
                " another, and metrics over all images mean little; save maps as they are before"
            )
            return
        at_high = sum(one.at_high for one in tops)
        # What is cut off are areas; rounding makes single values meet.
        if (len(tops) > 1 and at_high >= 4 * len(tops)) or at_high > max(_TIED_TOP * total, 4):
            yield (
                f"{_share(at_high, total)} of all map values are exactly {high:g}, the highest, in"
                f" {len(tops)} of {len(self._seen)} maps: what lay above it was cut off, and can't"
                " be ranked any more; save maps before they are clamped or normalised"
            )
        at_low = sum(one.at_low for one in bottoms)
        if at_low > _TIED_BOTTOM * total:
            yield (
                f"{_share(at_low, total)} of all map values are exactly {low:g}, the lowest: what"
                " lay below can't be ranked any more"
            )

    def _coarse(self) -> Iterator[str]:
        eight = sum(one.bits in range(1, 9) for one in self._seen)
        if eight:
            of = "the maps have" if eight == len(self._seen) else f"{eight} maps have"
            yield (
                f"{of} 8 bits, 256 steps at most: values within a step tie; save floating point or"
                " 16 bits"
            )
        elif self._values is not None and 1 < len(self._values) <= _COARSE:
            yield (
                f"the maps have {len(self._values)} different values: what lies within a step ties,"
                " and curves over all thresholds are coarse"
            )

    def _sizes(self, evaluated_at: str) -> Iterator[str]:
        other = [one for one in self._seen if one.shape != one.image]
        if not other:
            return
        shown = first_of(sorted({f"{_shown(o.shape)} of {_shown(o.image)}" for o in other}), _TOLD)
        how = "were enlarged" if evaluated_at == "original" else "have masks brought to their size"
        larger = [o for o in other if o.shape[0] > o.image[0] or o.shape[1] > o.image[1]]
        if larger and evaluated_at == "original":
            how = "were brought to the size of their images"
        ones = "maps have" if len(other) != 1 else "map has"
        yield f"{len(other)} {ones} another size than the image, and {how}: {shown} pixels"
        askew = [
            o
            for o in other
            if abs(o.shape[0] * o.image[1] / (o.shape[1] * o.image[0]) - 1) > _ASKEW
        ]
        if askew:
            yield (
                f"{plural(len(askew), 'map')} of them of another shape than the image, such as"
                f" {askew[0].name}: each is taken to show the whole of it, squeezed; of a crop, say"
                " so with --image_size and --crop_size"
            )


def score_notes(scores: npt.NDArray[np.float64]) -> list[str]:
    """Return a line for each thing that spoils image scores.

    Examples
    --------
    >>> score_notes(np.array([0.2, 1.0, 1.0, 1.0]))[0][:40]
    '3 of 4 image scores are exactly 1, the h'
    """
    if len(scores) < 2:
        return []
    if scores.min() == scores.max():
        return [f"all {len(scores)} image scores are {scores[0]:g}: they tell nothing apart"]
    top = int(np.count_nonzero(scores == scores.max()))
    if top < _TOLD:
        return []
    return [
        f"{top} of {len(scores)} image scores are exactly {scores.max():g}, the highest: which of"
        " them is worse can't be told; save scores before they are clamped"
    ]


def upside_down(what: str, auroc: float, interval: tuple[float, float] | None) -> list[str]:
    """Return a line if values rank the wrong way round for certain.

    Examples
    --------
    >>> upside_down("image", 0.1, (0.05, 0.2))[0][:46]
    'image_AUROC is 0.1000: higher values mark what'
    >>> upside_down("image", 0.4, (0.2, 0.6))
    []
    """
    if auroc >= 0.5 or interval is None or interval[1] >= 0.5:
        return []
    return [
        f"{what}_AUROC is {auroc:.4f}: higher values mark what is normal; here higher means more"
        " anomalous, so turn the sign if they mean the opposite"
    ]


def _share(part: int, total: int) -> str:
    return f"{100 * part / total:.3g}%"


def _shown(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]}"
