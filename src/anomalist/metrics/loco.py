"""MVTec LOCO's evaluation: logical and structural anomalies apart, each beside all good images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from anomalist.data import ANOMALIES
from anomalist.errors import DataError
from anomalist.metrics.bootstrap import (
    Interval,
    check_resampling,
    draw_resamples,
    ends,
    resampled_pixels,
    resampled_scores,
)
from anomalist.metrics.pixels import Marked, Pixels
from anomalist.metrics.ranking import Array, rank
from anomalist.metrics.spro import SPRO_LIMITS, marked_by
from anomalist.metrics.summary import Summary, rank_pixels
from anomalist.metrics.threads import threaded_map
from anomalist.predictions import Predictions

Value = TypeVar("Value", float, Array)


@dataclass(frozen=True, eq=False)
class Group:
    """The images of one group of defects, and the good ones.

    Parameters
    ----------
    images : array of shape (M,)
        Which of all images.
    scores, labels : array of shape (M,)
        Theirs.
    image_summary : Summary
        What the scores come to.
    """

    images: npt.NDArray[np.intp]
    scores: Array
    labels: npt.NDArray[np.bool_]
    image_summary: Summary


class LogicalStructural:
    """Image AUROC and sPRO of the two groups of defects, and their means.

    The good images are part of both groups, and so is what lies beside the defects of a group's
    images.

    Parameters
    ----------
    predictions : Predictions
        Of images whose kinds of defect are those of MVTec LOCO.
    labels : bool array of shape (N,)
        True where an image is anomalous.
    pixels : Pixels or None
        Map values of all images; None where the truth is unknown.

    Attributes
    ----------
    values : dict
        Metrics by name.
    notes : list of str
        Why sPRO is missing.
    """

    def __init__(
        self, predictions: Predictions, labels: npt.NDArray[np.bool_], pixels: Pixels | None
    ) -> None:
        assert predictions.defects is not None
        kinds = np.array(predictions.defects)
        self._labels = labels
        self._groups: dict[str, Group] = {}
        for kind, name in ANOMALIES.items():
            images = np.flatnonzero(~labels | (labels & (kinds == kind)))
            if labels[images].any() and not labels[images].all():
                scores, of_group = predictions.scores[images], labels[images]
                summary = Summary.of([rank(scores, of_group)])
                self._groups[name] = Group(images, scores, of_group, summary)
        self.notes: list[str] = []
        self._pixels: dict[str, tuple[Pixels, Summary]] = {}
        try:
            self._pixels = self._saturated(predictions, pixels)
        except DataError as error:
            self.notes.append(f"no pixel_sPRO: {error}")

    @classmethod
    def of(
        cls, predictions: Predictions, labels: npt.NDArray[np.bool_], pixels: Pixels | None
    ) -> LogicalStructural | None:
        """Return it for images of MVTec LOCO, None for others."""
        if not set(predictions.defects or ()) & ANOMALIES.keys():
            return None
        return cls(predictions, labels, pixels)

    def _saturated(
        self, predictions: Predictions, pixels: Pixels | None
    ) -> dict[str, tuple[Pixels, Summary]]:
        """The pixels of each group, each defect with its saturation area."""
        if pixels is None:
            raise DataError("it takes a mask of every defect")
        shapes = pixels.shapes

        def read(image: np.intp) -> Marked:
            defects = predictions.images[image].read_defects() if self._labels[image] else []
            if any(defect.pixels.shape != shapes[image] for defect in defects):
                raise DataError(
                    "saturation areas are those of masks as they are: measure at their size"
                    " (evaluate_at original)"
                )
            if pixels.ignored is not None:
                seen = ~pixels.ignored[int(image)]
                cut = [replace(defect, pixels=defect.pixels & seen) for defect in defects]
                defects = [defect for defect in cut if defect.pixels.any()]
            return marked_by(defects)

        found = {}
        for name, group in self._groups.items():
            marked = list(threaded_map(read, group.images))
            grids = None if pixels.grids is None else [pixels.grids[i] for i in group.images]
            hidden = pixels.ignored
            ignored = None if hidden is None else [hidden[i] for i in group.images]
            of_group = Pixels([pixels.maps[i] for i in group.images], marked, grids, ignored)
            found[name] = of_group, Summary.of(rank_pixels(of_group), SPRO_LIMITS)
        return found

    @cached_property
    def values(self) -> dict[str, float]:
        """Metrics by name."""
        values = _named(
            "image_AUROC", {n: g.image_summary.values["AUROC"] for n, g in self._groups.items()}
        )
        for limit in SPRO_LIMITS:
            of_groups = {n: s.values[f"PRO_{limit:g}"] for n, (_, s) in self._pixels.items()}
            values |= _named(f"pixel_sPRO_{limit:g}", of_groups)
        return values

    def intervals(self, n_bootstrap: int, level: float, seed: int) -> dict[str, Interval]:
        """Return intervals by name; a resample has the same good images in both groups."""
        check_resampling(n_bootstrap, level)
        strata = self._labels.astype(np.int64)
        for number, group in enumerate(self._groups.values(), 2):
            strata[group.images[group.labels]] = number
        draws = draw_resamples(strata, n_bootstrap, seed)
        scores = {
            n: resampled_scores(g.image_summary, g.scores, g.labels, draws[:, g.images])
            for n, g in self._groups.items()
        }
        drawn = _named("image_AUROC", {n: values["AUROC"] for n, values in scores.items()})
        overlaps = {
            name: resampled_pixels(summary, pixels, draws[:, self._groups[name].images])
            for name, (pixels, summary) in self._pixels.items()
        }
        for limit in SPRO_LIMITS:
            of_groups = {n: values[f"PRO_{limit:g}"] for n, values in overlaps.items()}
            drawn |= _named(f"pixel_sPRO_{limit:g}", of_groups)
        return {name: ends(self.values[name], values, level) for name, values in drawn.items()}


def _named(metric: str, of_groups: Mapping[str, Value]) -> dict[str, Value]:
    """A metric of each group by name, and the mean of the two, where there are both."""
    found = {f"{metric}_{name}": value for name, value in of_groups.items()}
    if len(of_groups) == len(ANOMALIES):
        one, other = of_groups.values()
        found[f"{metric}_mean"] = (one + other) / 2
    return found
