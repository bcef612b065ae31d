"""One graph of a whole detector: pixels in, score and map out.

The graph is the detector's own scoring, traced: a method needs no second version of itself. Only
nearest-neighbour searches, which compiled code does, become matrix products.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anomalist.detectors import SPADE, Detector, Ensemble
from anomalist.errors import ExportError
from anomalist.neighbors import Index, MatrixIndex

# Distances of a block for each image of the batch, at one patch to 8 x 8 pixels: 8 MB.
_BLOCK = 2**21


class Graph(nn.Module):
    """A fitted detector as a module of uint8 pixels (B, 3, H, W), fit for tracing.

    Parameters
    ----------
    detector : Detector
        Fitted, on the CPU.

    Raises
    ------
    ExportError
        If the method can't be a graph.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        if any(part.align for part in [detector, *detector.components()]):
            raise ExportError(
                f"{detector.label} can't be exported: it was fitted with align, which finds how the"
                " part lies in each photograph before a network sees it, and a graph only has the"
                " network; fit it without align, or serve the model file"
            )
        if isinstance(detector, Ensemble):
            for member in detector.members_:
                if member.transform != detector.transform:
                    raise ExportError(
                        f"this ensemble can't be exported: its member {member.label} resizes images"
                        " in another way than the ensemble, and a graph has one input;"
                        " export the members one by one"
                    )
            self._combine = Combiner(detector)
            self._preparation = detector.preparation
        elif isinstance(detector, SPADE):
            raise ExportError(
                "spade can't be exported: it keeps the features of all good images, and reads those"
                " of the nearest ones from a file for every image; export patchcore, whose bank is"
                " a selection of such patches"
            )
        self._members = [
            _traceable(member)
            for member in (detector.members_ if isinstance(detector, Ensemble) else [detector])
        ]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B,) and maps (B, H, W)."""
        made = []
        for member in self._members:
            scores, patch_scores = member._score(
                member.preparation.traced(member.backbone_, pixels)
            )
            made.append((scores, member.preparation.lowered(member._enlarge(patch_scores))))
        if not hasattr(self, "_combine"):
            return made[0]
        scores, maps = self._combine(made)
        return scores, self._preparation.lowered(maps)


def _traceable(detector: Detector) -> Detector:
    """A copy whose indices search by matrix products."""
    copied = copy.copy(detector)
    # Reckoned at one patch to 8 x 8 pixels: the smaller the image, the more rows a block.
    height, width = detector.transform.output_size
    for name, value in vars(detector).items():
        if isinstance(value, Index):
            rows = max(256, _BLOCK * 64 // (height * width))
            bank = _same(torch.from_numpy(value._bank), detector)
            setattr(copied, name, MatrixIndex(bank, rows=rows))
    return copied


def _same(bank: Tensor, detector: Detector) -> Tensor:
    """The detector's own tensor of that memory, where it has one: a graph would keep it twice."""
    for value in vars(detector).values():
        if isinstance(value, Tensor) and value.data_ptr() == bank.data_ptr():
            return value
    return bank


class Combiner:
    """How a fitted ensemble combines its members' scores and maps, as a graph can.

    Called with a pair of scores (B,) and maps (B, H, W) for each member, it returns such a pair.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        members = ensemble.members_
        self._weights = ensemble.shares
        self._how = ensemble.combine
        self._scales = []
        for member in members:
            scale = member.calibration_
            assert scale is not None
            linear = self._how in ("mean", "max")
            self._scales.append(
                (
                    PiecewiseLinear(scale.standardised if linear else scale.surprise, scale.scores),
                    PiecewiseLinear(
                        scale.standardised_maps if linear else scale.surprise_maps,
                        scale.pixel_values,
                    ),
                )
            )

    def __call__(self, made: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Combine what the members gave, in their order."""
        scaled = [
            (of_scores(scores), of_maps(maps))
            for (of_scores, of_maps), (scores, maps) in zip(self._scales, made, strict=True)
        ]
        return (
            self._joined([s for s, _ in scaled], self._weights.scores),
            self._joined([m for _, m in scaled], self._weights.maps),
        )

    def _joined(self, values: list[Tensor], shares: Sequence[float]) -> Tensor:
        values = [value for value, share in zip(values, shares, strict=True) if share > 0]
        stacked = torch.stack(values)
        weights = torch.tensor([share for share in shares if share > 0])
        weights = weights.view(-1, *[1] * (stacked.ndim - 1))
        if self._how == "max":
            return (stacked * weights * len(values)).amax(dim=0)
        if self._how == "cauchy":
            # As `combined` in float64: the cotangent and atan2 lose nothing where p is small.
            p = (-stacked.clamp(0.01, 18.0)).exp()
            statistic = (weights / (p * torch.pi).tan()).sum(dim=0)
            body = -(torch.atan2(torch.ones_like(statistic), statistic) / torch.pi).log()
            far = (stacked + weights.log()).logsumexp(dim=0)
            return torch.where(stacked.amax(dim=0) < 18.0, body, far)
        return (stacked * weights).sum(dim=0)


class PiecewiseLinear:
    """A function that is linear between knots and beyond them, as a graph can compute it.

    Parameters
    ----------
    function : callable
        Of arrays; it may jump at a knot.
    knots : array
        Where it bends.

    Examples
    --------
    >>> PiecewiseLinear(np.abs, np.float32([0.0, 1.0]))(torch.tensor([-2.0, 0.5, 3.0]))
    tensor([2.0000, 0.5000, 3.0000])
    """

    def __init__(
        self, function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], knots: npt.NDArray[Any]
    ) -> None:
        knots = np.unique(np.asarray(knots, np.float32))
        before = np.nextafter(knots, np.float32(-np.inf))
        reach = np.float32(max(abs(float(knots[0])), abs(float(knots[-1])), 1.0))
        ends = np.array([knots[0] - reach, knots[-1] + reach], np.float32)
        values = np.asarray(function(knots), np.float64)
        left = np.asarray(function(before), np.float64)
        first, last = np.asarray(function(ends), np.float64)
        inner = (left[1:] - values[:-1]) / np.diff(knots.astype(np.float64))
        slopes = [
            (left[0] - first) / (float(knots[0]) - float(ends[0])),
            *inner,
            (last - values[-1]) / (float(ends[1]) - float(knots[-1])),
        ]
        # Segment 0 lies below the first knot, and is drawn from there.
        self._count = len(knots)
        size = 2 ** int(np.ceil(np.log2(self._count + 1)))
        padded = np.full(size, np.inf, np.float32)
        padded[: self._count] = knots
        self._knots = torch.from_numpy(padded)
        self._origins = torch.from_numpy(np.concatenate([knots[:1], knots]))
        self._values = torch.from_numpy(np.concatenate([left[:1], values]).astype(np.float32))
        self._slopes = torch.from_numpy(np.array(slopes, np.float32))

    def __call__(self, x: Tensor) -> Tensor:
        """Evaluate at every x, the segment found by bisection."""
        segment = torch.zeros_like(x, dtype=torch.int64)
        step = len(self._knots) // 2
        while step:
            further = segment + step
            segment = torch.where(self._knots[further - 1] <= x, further, segment)
            step //= 2
        return self._values[segment] + self._slopes[segment] * (x - self._origins[segment])
