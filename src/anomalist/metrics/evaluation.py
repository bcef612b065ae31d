"""The seven metrics of a detector's predictions, from one ranking of images and one of pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError
from anomalist.metrics.bootstrap import Interval, bootstrap
from anomalist.metrics.ranking import Ranking, check_binary, rank
from anomalist.metrics.regions import find_regions
from anomalist.predictions import Predictions

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
    image_threshold, pixel_threshold : float or None
        The thresholds of the best F1; at them and above is anomalous.
    intervals : dict
        ``(low, high)`` by metric, where intervals were asked for.
    level : float
        Share of resamples that an interval covers.
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
    image_threshold: float | None = None
    pixel_threshold: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    level: float = 0.95
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, float | None]:
        """Return the seven values by name, in a fixed order."""
        return {name: getattr(self, name) for name in METRIC_NAMES}

    def __str__(self) -> str:
        lines = [f"{'metric':<13}   value"]
        if self.intervals:
            lines[0] += f"  {100 * self.level:g} % interval"
        for name, value in self.as_dict().items():
            line = f"{name:<13}  {'-' if value is None else format(value, '.4f'):>6}"
            if name in self.intervals:
                low, high = self.intervals[name]
                line += f"  {low:.4f} to {high:.4f}"
            lines.append(line)
        return "\n".join(lines + [f"Note: {note}" for note in self.notes])


def evaluate(
    predictions: Predictions,
    *,
    intervals: bool = False,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Metrics:
    """Measure predictions of labelled images, and of their pixels where masks are known.

    Parameters
    ----------
    predictions : Predictions
        N images with scores and maps; labels for image metrics, masks for pixel metrics.
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
        unknown, all labels are the same, or no pixel is defective. An anomalous image with an
        empty mask (its defect vanished when the mask was scaled down) adds no region, its pixels
        count as normal, and a note says how many there are.

    Raises
    ------
    DataError
        If a label or a mask value is neither 0 nor 1, or an image labelled normal has a
        defective pixel.
    ParameterError
        If ``n_bootstrap`` is less than 1 or ``level`` isn't between 0 and 1.

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
    """
    labels, masks, notes = _check_truth(predictions)
    values: dict[str, float] = {}
    spread: dict[str, Interval] = {}
    thresholds: dict[str, float] = {}

    def measure(
        kind: str,
        ranking: Ranking,
        scores: npt.NDArray[np.floating],
        truth: npt.NDArray[np.bool_],
        inverse_area: list[npt.NDArray[np.float64]] | None,
    ) -> None:
        values.update({f"{kind}_{name}": float(v) for name, v in ranking.values().items()})
        thresholds[f"{kind}_threshold"] = float(ranking.thresholds[np.argmax(ranking.f1())])
        if intervals:
            found = bootstrap(ranking, scores, truth, inverse_area, n_bootstrap, level, seed)
            spread.update({f"{kind}_{name}": ends for name, ends in found.items()})

    if labels is None:
        notes.append("no image metrics: the labels are unknown")
    elif labels.all() or not labels.any():
        kind = "anomalous" if labels.any() else "normal"
        notes.append(f"no image metrics: all {len(labels)} images are {kind}")
    else:
        measure("image", rank(predictions.scores, labels), predictions.scores, labels, None)
    if masks is None:
        notes.append("no pixel metrics: they take a mask of every defect")
    elif masks.all() or not masks.any():
        kind = "normal" if masks.any() else "defective"
        notes.append(f"no pixel metrics: the masks hold no {kind} pixel")
    else:
        regions = find_regions(masks)
        ranking = rank(predictions.maps, masks, regions.weights)
        measure("pixel", ranking, predictions.maps, masks, regions.inverse_area)
    return Metrics(**values, **thresholds, intervals=spread, level=level, notes=tuple(notes))


def _check_truth(
    predictions: Predictions,
) -> tuple[npt.NDArray[np.bool_] | None, npt.NDArray[np.bool_] | None, list[str]]:
    """Return labels and masks as booleans that agree, and a note on masks that are empty."""
    labels, masks, notes = predictions.labels, predictions.masks, list[str]()
    if labels is not None:
        labels = check_binary(labels, "labels")
    if masks is not None:
        masks = check_binary(masks, "masks")
    if labels is not None and masks is not None:
        marked = masks.any(axis=(1, 2))
        for image in np.flatnonzero(marked & ~labels).tolist():
            raise DataError(
                f"{predictions.paths[image]}: labelled normal, but its mask has "
                f"{np.count_nonzero(masks[image])} defective pixels; correct one of them"
            )
        if empty := np.count_nonzero(labels & ~marked):
            notes.append(
                f"{empty} anomalous {'image has' if empty == 1 else 'images have'} an empty mask "
                "(all black, or the defect is too small for the map's resolution): no region, all "
                "pixels normal"
            )
    return labels, masks, notes
