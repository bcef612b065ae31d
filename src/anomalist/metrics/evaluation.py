"""The metrics of a detector's predictions, from one ranking of images and one of pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, get_args

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError, ParameterError
from anomalist.metrics.bootstrap import Interval, overlap_interval, pixel_intervals, score_intervals
from anomalist.metrics.loco import LogicalStructural
from anomalist.metrics.own import is_own
from anomalist.metrics.pimo import FPR_BOUNDS, PerImageOverlap
from anomalist.metrics.pixels import EvaluatedAt, Pixels
from anomalist.metrics.pro import extra_limits
from anomalist.metrics.ranking import check_binary, rank
from anomalist.metrics.summary import Summary, rank_pixels
from anomalist.notebook import html_table
from anomalist.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd

METRIC_NAMES = (
    "image_AUROC",
    "image_AP",
    "image_F1Score",
    "pixel_AUROC",
    "pixel_AP",
    "pixel_F1Score",
    "pixel_PRO",
)

CALIBRATED_NAMES = ("image_F1_calibrated", "pixel_F1_calibrated", "image_false_alarm_rate")

_OTHERS = ("pixel_PRO_", "pixel_AUPIMO", "image_AUROC_", "pixel_sPRO_", "ClassF1", "SegF1")


def other_metrics(columns: Iterable[str]) -> list[str]:
    """Return those columns of a table that are metrics which only some runs have, in their order.

    Those of one's own are among them, see `~anomalist.metrics.OwnMetric`.

    Examples
    --------
    >>> other_metrics(["detector", "pixel_PRO", "pixel_PRO_0.05", "oracle_pixel_PRO"])
    ['pixel_PRO_0.05']
    """
    return [name for name in columns if name.startswith(_OTHERS) or is_own(name)]


@dataclass(frozen=True)
class Metrics:
    """How well scores and maps tell anomalous from normal; None where the data can't say.

    Parameters
    ----------
    image_AUROC, image_AP, image_F1Score : float or None
        Of image scores against labels. F1Score is the best over all thresholds, an oracle.
    pixel_AUROC, pixel_AP, pixel_F1Score : float or None
        Of map values against mask values.
    pixel_PRO : float or None
        Area under the per-region-overlap curve to a false positive rate of 0.3, divided by 0.3.
    others : dict
        By name, those that only some data sets or requests have, such as ``pixel_PRO_0.05``.
    image_threshold, pixel_threshold : float or None
        The thresholds of the best F1; at them and above is anomalous.
    intervals : dict
        ``(low, high)`` by metric, where intervals were asked for.
    level : float
        Share of resamples that an interval covers.
    evaluated_at : {"original", "input"}
        Whether pixels are those of the images at their own size, or of the maps as they are.
    notes : tuple of str
        Why a value is None, and what else a reader must know.
    """

    image_AUROC: float | None = None  # noqa: N815 (the field's names, and those in files)
    image_AP: float | None = None  # noqa: N815
    image_F1Score: float | None = None  # noqa: N815
    pixel_AUROC: float | None = None  # noqa: N815
    pixel_AP: float | None = None  # noqa: N815
    pixel_F1Score: float | None = None  # noqa: N815
    pixel_PRO: float | None = None  # noqa: N815
    others: dict[str, float | None] = field(default_factory=dict)
    image_threshold: float | None = None
    pixel_threshold: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    level: float = 0.95
    evaluated_at: EvaluatedAt = "input"
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, float | None]:
        """Return the values by name, the seven that all data sets have first."""
        return {name: getattr(self, name) for name in METRIC_NAMES} | self.others

    def to_frame(self) -> pd.DataFrame:
        """Return a row a metric, with its interval where intervals were asked for.

        Returns
        -------
        DataFrame
            ``metric`` and ``value``, a fraction, and ``low`` and ``high``; nan where there is none.

        Examples
        --------
        >>> Metrics(image_AUROC=0.9).to_frame().query("metric == 'image_AUROC'").value.tolist()
        [0.9]
        """
        import pandas as pd  # which takes a second to load

        values = self.as_dict()
        frame = pd.DataFrame({"metric": list(values), "value": pd.array(list(values.values()))})
        frame["value"] = frame["value"].astype(float)
        if self.intervals:
            ends = [self.intervals.get(name, (math.nan, math.nan)) for name in values]
            frame["low"], frame["high"] = zip(*ends, strict=True)
        return frame

    def _repr_html_(self) -> str:
        """Show the metrics and what a reader must know, as notebooks ask for."""
        header = ["metric", "value", *([f"{100 * self.level:g} % interval"] * bool(self.intervals))]
        rows = []
        for name, value in self.as_dict().items():
            row = [name, "–" if value is None else f"{value:.4f}"]
            if self.intervals:
                ends = self.intervals.get(name)
                row.append("–" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}")
            rows.append(row)
        where = "their own size" if self.evaluated_at == "original" else "the detector's input"
        caption = f"Metrics, fractions; pixels at {where}"
        return html_table(caption, header, rows, [f"Note: {note}" for note in self.notes])

    def __str__(self) -> str:
        width = max(map(len, self.as_dict()))
        lines = [f"{'metric':<{width}}   value"]
        if self.intervals:
            lines[0] += f"  {100 * self.level:g} % interval"
        lines += metric_rows(self.as_dict(), self.intervals, width=width)
        return "\n".join(lines + [f"Note: {note}" for note in self.notes])


def metric_rows(
    values: Mapping[str, float | None], intervals: Mapping[str, Interval], *, width: int
) -> list[str]:
    """Return metrics as the lines that are printed, names in a column of so many characters."""
    lines = []
    for name, value in values.items():
        line = f"{name:<{width}}  {'-' if value is None else format(value, '.4f'):>6}"
        if name in intervals:
            low, high = intervals[name]
            line += f"  {low:.4f} to {high:.4f}"
        lines.append(line)
    return lines


def evaluate(
    predictions: Predictions,
    *,
    at: EvaluatedAt = "original",
    pro_limits: Iterable[float] = (),
    intervals: bool = False,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Metrics:
    """Measure predictions of labelled images, and of their pixels where masks are known.

    Pixels are by default those of the images at their own size, as MVTec's evaluation has it: maps
    are enlarged bilinearly, and regions are those of each mask as it is. What a crop kept from the
    detector counts as lower than all that it saw, so that a defect there is missed. The alternative
    is to bring masks to the resolution of the detector's input, by the nearest pixel, as most
    published tables have it: a thin defect then falls into many regions, and a small one may
    vanish. Images are enlarged one after the other, so that memory is bounded.

    Parameters
    ----------
    predictions : Predictions
        N images with scores and maps; labels for image metrics, masks for pixel metrics.
    at : {"original", "input"}
        Where pixels are compared. Predictions that no detector made, which have no ``transform``,
        or whose masks aren't those of their images, are measured as they are, at ``"input"``.
    pro_limits : iterable of float
        False positive rates up to which PRO is measured too, besides 0.3: 0.05 gives
        ``pixel_PRO_0.05`` among the ``others``.
    intervals : bool
        Whether to give an interval with each value (see `bootstrap_interval`).
    n_bootstrap : int
        Number of resamples of the images.
    level : float
        Share of resamples inside an interval.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Metrics
        Values that the data can't give are None, and ``notes`` says why: labels or masks are
        unknown, all labels are the same, or no pixel is defective. Anomalous images without a mask
        are left out of what is measured of pixels, and a note says how many. One with an empty mask
        (at the input, also a defect that vanished when its mask was scaled down) adds no region,
        its pixels count as normal, and a note says how many there are.

    Raises
    ------
    DataError
        If a label or a mask value is neither 0 nor 1, an image labelled normal has a defective
        pixel, or an image or a mask that is to be measured can't be read.
    ParameterError
        If ``at`` is another word, a limit isn't above 0 and at most 1, ``n_bootstrap`` is less than
        1 or ``level`` isn't between 0 and 1.

    References
    ----------
    Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129 (2021), section 5.

    Examples
    --------
    >>> import numpy as np
    >>> masks = np.zeros((3, 2, 2), dtype=bool)
    >>> masks[2, 0, 0] = True
    >>> maps = np.arange(12.0).reshape(3, 2, 2)
    >>> predictions = Predictions(
    ...     ["a.png", "b.png", "c.png"],
    ...     scores=maps.max(axis=(1, 2)),
    ...     maps=maps,
    ...     labels=np.array([False, False, True]),
    ...     masks=masks,
    ... )
    >>> print(evaluate(predictions))
    metric          value
    image_AUROC    1.0000
    image_AP       1.0000
    image_F1Score  1.0000
    pixel_AUROC    0.7273
    pixel_AP       0.2500
    pixel_F1Score  0.4000
    pixel_PRO      0.0909
    Note: no pixel_AUPIMO: it takes 100,000 pixels of good test images, there are 8
    """
    evaluation = Evaluation(predictions, at, pro_limits)
    return evaluation.metrics(intervals, n_bootstrap, level, seed)


class Evaluation:
    """Predictions beside the truth: what is measured of them shares one ranking of their pixels.

    Parameters
    ----------
    predictions : Predictions
        Of labelled images.
    at : {"original", "input"}
        Where pixels are compared, as in `evaluate`.
    pro_limits : iterable of float
        Up to which PRO is measured, besides 0.3.
    pixels : Pixels, optional
        Map values beside the truth, compared at ``at``, of predictions that don't hold their maps.

    Attributes
    ----------
    predictions : Predictions
        As given.
    labels : bool array of shape (N,), or None
        True where an image is anomalous.
    pixels : Pixels or None
        Map values and truth; None where the truth is unknown.
    evaluated_at : {"original", "input"}
        Where pixels are compared.

    Raises
    ------
    DataError
        As in `evaluate`.
    ParameterError
        If ``at`` is another word, or a limit isn't above 0 and at most 1.
    """

    def __init__(
        self,
        predictions: Predictions,
        at: EvaluatedAt = "original",
        pro_limits: Iterable[float] = (),
        *,
        pixels: Pixels | None = None,
    ) -> None:
        if at not in get_args(EvaluatedAt):
            raise ParameterError(f"pixels are evaluated at original or input, not {at!r}")
        self.predictions = predictions
        self._pro_limits = extra_limits(pro_limits)
        labels, masks = predictions.labels, predictions.masks
        self.labels = None if labels is None else check_binary(labels, "labels")
        self.evaluated_at: EvaluatedAt = at
        self.pixels = pixels
        if pixels is None and at == "original":
            self.pixels = Pixels.at_original(predictions)
        if self.pixels is None and masks is not None:
            self.evaluated_at = "input"
            self.pixels = Pixels.of_predictions(predictions)
        self._check_truth()

    def _check_truth(self) -> None:
        if self.labels is None or self.pixels is None:
            return
        for image in np.flatnonzero((self.pixels.n_positive > 0) & ~self.labels).tolist():
            raise DataError(
                f"{self.predictions.paths[image]}: labelled normal, but its mask has "
                f"{self.pixels.n_positive[image]} defective pixels; correct one of them"
            )

    @cached_property
    def image_summary(self) -> Summary | None:
        """What the scores of images come to; None where they are unknown or of one class."""
        if self.labels is None or self.labels.all() or not self.labels.any():
            return None
        return Summary.of([rank(self.predictions.scores, self.labels)])

    @cached_property
    def pixel_summary(self) -> Summary | None:
        """What the scores of pixels come to; None where they are unknown or of one class."""
        if self.pixels is None or self.pixels.n_positive.sum() in (0, self.pixels.n):
            return None
        return Summary.of(rank_pixels(self.pixels), self._pro_limits)

    @cached_property
    def logical_structural(self) -> LogicalStructural | None:
        """Metrics of the two groups of MVTec LOCO's defects; None of other data sets."""
        if self.labels is None:
            return None
        return LogicalStructural.of(self.predictions, self.labels, self.pixels)

    @cached_property
    def per_image_overlap(self) -> PerImageOverlap | None:
        """AUPIMO of the images with defects; None where good images don't tell it."""
        if self.pixel_summary is None or self._no_aupimo is not None:
            return None
        assert self.pixels is not None
        return PerImageOverlap(self.pixels, self._good)

    @property
    def _unmasked(self) -> npt.NDArray[np.bool_]:
        """The anomalous images of which no pixel is measured."""
        assert self.pixels is not None
        unmasked: npt.NDArray[np.bool_] = self.predictions.unmasked & (self.pixels.n_pixels == 0)
        return unmasked

    @property
    def _good(self) -> npt.NDArray[np.bool_]:
        """The images in which false positives of AUPIMO are counted."""
        assert self.pixels is not None
        return self.pixels.n_positive == 0 if self.labels is None else ~self.labels

    @property
    def _no_aupimo(self) -> str | None:
        """What keeps good images from telling AUPIMO."""
        assert self.pixels is not None
        good = self.pixels.n_pixels[self._good]
        if not len(good):
            return "it takes good test images"
        needed = round(1 / FPR_BOUNDS[0])
        if (n := int(good.sum())) < needed:
            return f"it takes {needed:,} pixels of good test images, there are {n:,}"
        return None

    @property
    def notes(self) -> list[str]:
        """Why metrics are missing, and what else a reader must know."""
        notes, empty = [], 0
        if self.labels is not None and self.pixels is not None:
            unmasked = self._unmasked
            if without := int(np.count_nonzero(unmasked)):
                notes.append(
                    f"pixels are measured of {np.count_nonzero(self.labels & ~unmasked)} of"
                    f" {np.count_nonzero(self.labels)} anomalous images: {without}"
                    f" {'has' if without == 1 else 'have'} no mask, such as"
                    f" {self.predictions.paths[int(unmasked.argmax())]}"
                )
            bare = self.labels & ~unmasked & (self.pixels.n_positive == 0)
            empty = int(np.count_nonzero(bare))
        if empty:
            small = ", or the defect is too small for the map's resolution"
            notes.append(
                f"{empty} anomalous {'image has' if empty == 1 else 'images have'} an empty mask"
                f" (all black{small if self.evaluated_at == 'input' else ''}): no region, all"
                " pixels normal"
            )
        if self.labels is None:
            notes.append("no image metrics: the labels are unknown")
        elif self.image_summary is None:
            kind = "anomalous" if self.labels.any() else "normal"
            notes.append(f"no image metrics: all {len(self.labels)} images are {kind}")
        if self.pixels is None:
            notes.append("no pixel metrics: they take masks of defects")
        elif self.pixel_summary is None:
            kind = "normal" if self.pixels.n_positive.any() else "defective"
            notes.append(f"no pixel metrics: the masks hold no {kind} pixel")
        elif (missing := self._no_aupimo) is not None:
            notes.append(f"no pixel_AUPIMO: {missing}")
        if self.logical_structural is not None:
            notes += self.logical_structural.notes
        return notes

    def metrics(
        self, intervals: bool = False, n_bootstrap: int = 1000, level: float = 0.95, seed: int = 0
    ) -> Metrics:
        """Return the values, with intervals if they are asked for; see `evaluate`."""
        values: dict[str, float] = {}
        spread: dict[str, Interval] = {}
        options = n_bootstrap, level, seed
        for kind, summary in (("image", self.image_summary), ("pixel", self.pixel_summary)):
            if summary is None:
                continue
            values |= {f"{kind}_{name}": value for name, value in summary.values.items()}
            values[f"{kind}_threshold"] = summary.threshold
            if not intervals:
                continue
            if kind == "image":
                assert self.labels is not None
                found = score_intervals(summary, self.predictions.scores, self.labels, *options)
            else:
                assert self.pixels is not None
                found = pixel_intervals(summary, self.pixels, *options)
            spread |= {f"{kind}_{name}": ends for name, ends in found.items()}
        if (overlap := self.per_image_overlap) is not None:
            values["pixel_AUPIMO"] = overlap.mean
            if intervals:
                spread["pixel_AUPIMO"] = overlap_interval(overlap, *options)
        if (groups := self.logical_structural) is not None:
            values |= groups.values
            if intervals:
                spread |= groups.intervals(*options)
        named = (*METRIC_NAMES, "image_threshold", "pixel_threshold")
        return Metrics(
            **{name: value for name, value in values.items() if name in named},
            others={name: value for name, value in values.items() if name not in named},
            intervals=spread,
            level=level,
            evaluated_at=self.evaluated_at,
            notes=tuple(self.notes),
        )
