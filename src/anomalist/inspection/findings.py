"""What is found on a photograph: a decision, how sure, and where."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.calibration import (
    State,
    attainable_rate,
    fewest_images,
    promised_range,
    state,
)
from anomalist.data import Sample, Transform
from anomalist.data.names import plural
from anomalist.detectors import Detector
from anomalist.digits import shown
from anomalist.errors import ParameterError
from anomalist.metrics.regions import EIGHT_NEIGHBORS
from anomalist.predictions import Predictions

Decision = Literal["normal", "anomalous"]
#: The columns of ``predictions.csv``.
COLUMNS = ("path", "score", "threshold", "p_value", "decision")
# What a line of predictions.jsonl tells even where it is null.
_ALWAYS = (*COLUMNS, "regions")


@dataclass(frozen=True)
class Region:
    """A connected part of a photograph whose map values lie above the threshold.

    Parameters
    ----------
    box : (int, int, int, int)
        Left, top, width and height in pixels of the photograph.
    area : int
        Pixels above the threshold.
    peak : float
        The highest map value.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a detector and a rule say of one photograph.

    Parameters
    ----------
    path : str
        The file, as it was given.
    score : float or None
        None where the file can't be read.
    threshold, p_value, decision
        None where there is none, for want of a calibration.
    regions : tuple of Region or None
        Where the photograph is anomalous, the highest peak first; None where the pixel threshold
        isn't known.
    disagreement : float or None
        Standard deviation of the scores of an ensemble's members.
    heatmap : str or None
        The picture that was written, below the output folder.
    error : str or None
        Why the file couldn't be scored.
    sha256 : str or None
        Hash of the bytes that were scored, as 64 hexadecimal digits; None where it isn't known.
    model : str or None
        The first 16 hexadecimal digits of the hash of the model's file.
    notes : tuple of str
        What reading the image told.
    looks : dict of str to float or None
        Light, sharpness, colour, framing and more, by which a shift is told; None where the
        photograph shows again what one before it did.
    """

    path: str
    score: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    decision: Decision | None = None
    regions: tuple[Region, ...] | None = None
    disagreement: float | None = None
    heatmap: str | None = None
    error: str | None = None
    sha256: str | None = None
    model: str | None = None
    notes: tuple[str, ...] = ()
    looks: dict[str, float] | None = None

    def row(self) -> list[str]:
        """Return the row of ``predictions.csv``, empty where something is None.

        Examples
        --------
        >>> Finding(path="a.png", score=1.5, threshold=1.0, decision="anomalous").row()
        ['a.png', '1.5', '1.0', '', 'anomalous']
        """
        values = [getattr(self, name) for name in COLUMNS]
        return ["" if v is None else v if isinstance(v, str) else repr(v) for v in values]

    def as_dict(self) -> dict[str, Any]:
        """Return the line of ``predictions.jsonl`` as JSON values.

        Examples
        --------
        >>> Finding(path="a.png", error="a.png is empty").as_dict()
        {'path': 'a.png', 'error': 'a.png is empty'}
        """
        values = dataclasses.asdict(self)
        values["notes"] = list(self.notes) or None
        always = ("path",) if self.error is not None else _ALWAYS
        return {k: v for k, v in values.items() if v is not None or k in always}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When a photograph is called anomalous, where, and on which scale it is drawn.

    Parameters
    ----------
    alpha : float
        The false-alarm rate that thresholds are for.
    threshold, pixel_threshold : float or None
        Score and map value above which an image or a pixel is anomalous; None without a
        calibration.
    low, high : float or None
        Map values that pictures show as nothing and as the threshold; None without a calibration.
    given : bool
        Whether the threshold was given, instead of coming from the calibration.
    images : int
        Number of calibrating images.
    scenes : int
        Of how many independent scenes they are, as far as is known; that is what the promise is
        for.
    retrained : bool
        Whether other trainings than the detector's own gave their scores, which promises less.
    drawn_of : int or None
        From how many images the calibrating ones were drawn, where they were drawn by number.
    """

    alpha: float
    threshold: float | None
    pixel_threshold: float | None
    low: float | None
    high: float | None
    given: bool
    images: int
    scenes: int
    retrained: bool = False
    drawn_of: int | None = None

    @classmethod
    def of(
        cls, detector: Detector, *, alpha: float | None = None, threshold: float | None = None
    ) -> Self:
        """Make the rule of a calibrated detector.

        Parameters
        ----------
        detector : Detector
            Fitted.
        alpha : float, optional
            False-alarm rate; by default that for which the detector was fitted, or 0.05.
        threshold : float, optional
            A score, instead of the threshold that the calibration gives.

        Raises
        ------
        ParameterError
            If ``alpha`` isn't between 0 and 1 or ``threshold`` isn't a finite number.
        """
        if alpha is None:
            alpha = detector.alpha_
        fewest_images(alpha)
        if threshold is not None and not math.isfinite(threshold):
            raise ParameterError(f"threshold must be a finite number, not {threshold}")
        calibration = detector.calibration_
        low = high = pixel = None
        if calibration is not None:
            low, high = calibration.pixel_range(alpha)
            pixel = calibration.pixel_threshold(alpha)
        given = threshold is not None
        if calibration is not None and threshold is None:
            threshold = calibration.threshold(alpha)
        images = 0 if calibration is None else len(calibration.scores)
        return cls(
            alpha=alpha,
            threshold=threshold,
            pixel_threshold=pixel,
            low=low,
            high=high,
            given=given,
            images=images,
            scenes=0 if calibration is None else calibration.scenes,
            retrained=calibration is not None and calibration.retrained,
            drawn_of=detector.summary_.get("drawn_of"),
        )

    @property
    def missing(self) -> int:
        """How many more good images it takes to promise ``alpha``; 0 where they are enough."""
        return max(fewest_images(self.alpha) - self.images, 0)

    def describe(self) -> str:
        """Say in a sentence what the threshold promises, or why there is none."""
        rate = f"{100 * self.alpha:.3g}%"
        if self.given:
            return f"threshold {shown(self.threshold)}, as given"
        if self.threshold is None:
            had = f"there {'is' if self.images == 1 else 'are'} {self.images}"
            return (
                f"no threshold: for a false-alarm rate of {rate}, {fewest_images(self.alpha)} good"
                f" images must calibrate, {had}; {self.missing} more are needed"
            )
        of = f"{self.images} good images"
        if self.scenes < self.images:
            of += f" of about {plural(self.scenes, 'independent scene')}"
        if self.drawn_of is not None:
            of += f", drawn from {self.drawn_of} and held out of the fit"
        low, high = promised_range(self.scenes, self.alpha, retrained=self.retrained)
        expected = f"expect {low:.1%} to {high:.1%}"
        if self.retrained:
            expected += " (scored by other trainings, whose scales differ: --split promises more)"
        if self.rate > self.alpha:
            takes = f"takes {fewest_images(self.alpha)}"
            takes += " scenes" if self.scenes < self.images else ""
            return (
                f"threshold {shown(self.threshold)}, the highest score of {of}, too few to"
                f" guarantee a false-alarm rate of {rate}, which {takes}: so few promise"
                f" {self.rate:.1%}, {expected}"
            )
        start = f"threshold {shown(self.threshold)}, for a false-alarm rate of {rate}"
        return f"{start}; from {of}, {expected}"

    @property
    def rate(self) -> float:
        """The false-alarm rate that is promised: ``alpha``, or what so few images allow."""
        return attainable_rate(self.scenes, self.alpha)

    @property
    def guaranteed(self) -> bool:
        """Whether ``alpha`` itself is promised: not by so few images, nor a threshold as given."""
        return not self.given and self.threshold is not None and self.rate <= self.alpha

    @property
    def promise(self) -> tuple[float, float] | None:
        """The range of the false-alarm rate to expect; None where there is no promise."""
        if self.given or self.threshold is None:
            return None
        return promised_range(self.scenes, self.alpha, retrained=self.retrained)

    def as_dict(self) -> dict[str, Any]:
        """Return the rule and what it promises as JSON values."""
        promise = self.promise
        values = {
            **dataclasses.asdict(self),
            "missing": self.missing,
            "guaranteed": self.guaranteed,
        }
        if self.drawn_of is None:
            del values["drawn_of"]
        if promise is None:
            return {**values, "rate": None, "promised": None}
        return {**values, "rate": self.rate, "promised": list(promise)}

    def judge(
        self, detector: Detector, predictions: Predictions, heatmap: str | None = None
    ) -> list[Finding]:
        """Return what is to be said of each image.

        Parameters
        ----------
        detector : Detector
            The one that made the predictions.
        predictions : Predictions
            N images, which must still be there for regions to be found.
        heatmap : str, optional
            The picture that was written of a single image.

        Returns
        -------
        list of Finding, length N

        Raises
        ------
        DataError
            If an image with regions can't be opened.
        """
        p_values = _p_values(detector, predictions)
        findings = []
        for i, sample in enumerate(predictions.images):
            score = float(predictions.scores[i])
            spread = predictions.disagreement
            findings.append(
                Finding(
                    path=str(predictions.paths[i]),
                    score=score,
                    threshold=self.threshold,
                    p_value=p_values[i],
                    decision=self.decide(score),
                    regions=self._regions(detector.transform, sample, predictions.maps[i]),
                    disagreement=None if spread is None else float(spread[i]),
                    heatmap=heatmap,
                )
            )
        return findings

    def decide(self, score: float) -> Decision | None:
        """Return the decision: anomalous above the threshold; None where there is none."""
        if self.threshold is None:
            return None
        return "anomalous" if score > self.threshold else "normal"

    def state(self, score: float, p_value: float | None) -> State:
        """Return what becomes of an image, as `anomalist.calibration.state` says it."""
        return state(score, self.threshold, p_value, self.alpha)

    def states(self, detector: Detector, predictions: Predictions) -> list[State]:
        """Return what becomes of each image of a detector's predictions."""
        p_values = _p_values(detector, predictions)
        return [
            self.state(float(score), p)
            for score, p in zip(predictions.scores, p_values, strict=True)
        ]

    def _regions(
        self, transform: Transform, sample: Sample, values: npt.NDArray[np.floating[Any]]
    ) -> tuple[Region, ...] | None:
        if self.pixel_threshold is None:
            return None
        if values.max() <= self.pixel_threshold:
            return ()
        return _regions_on(transform, values, sample.size(), self.pixel_threshold)


def _p_values(detector: Detector, predictions: Predictions) -> Sequence[float | None]:
    calibration = detector.calibration_
    if calibration is None:
        return [None] * len(predictions)
    return [float(p) for p in calibration.p_values(predictions.scores)]


def _regions_on(
    transform: Transform,
    values: npt.NDArray[np.floating[Any]],
    size: tuple[int, int],
    threshold: float,
) -> tuple[Region, ...]:
    """The regions of a map on an image of this height and width.

    A photograph of megapixels takes longer to be filled than to be scored: only the part is filled
    in which a value can be above the threshold, since what is interpolated between two values is
    above it only if one of them is.
    """
    above = values > threshold
    window = []
    left, top, right, bottom = transform.region(size)
    for axis, (start, end), side in ((0, (left, right), size[1]), (1, (top, bottom), size[0])):
        inside = np.flatnonzero(above.any(axis=axis))
        step = (end - start) / above.shape[1 - axis]
        # From the middle of the value before the first to the middle of the one after the last.
        first = start + (inside[0] - 0.5) * step
        last = start + (inside[-1] + 1.5) * step
        window.append((max(0, math.floor(first) - 1), min(side, math.ceil(last) + 1)))
    (x, x_end), (y, y_end) = window
    placed = transform.on_original(values, size, (x, y, x_end, y_end))
    return tuple(
        dataclasses.replace(one, box=(one.box[0] + x, one.box[1] + y, *one.box[2:]))
        for one in find_regions(placed, threshold)
    )


def find_regions(values: npt.NDArray[np.floating[Any]], threshold: float) -> tuple[Region, ...]:
    """Find the 8-connected regions of a map above a threshold, the highest peak first.

    Parameters
    ----------
    values : array of shape (H, W)
        NaN where the detector saw nothing.
    threshold : float
        Values above it belong to a region.

    Examples
    --------
    >>> values = np.array([[0.0, 2.0, 2.5, 0.0], [0.0, 0.0, 0.0, 3.0], [5.0, 0.0, 0.0, 0.0]])
    >>> for region in find_regions(values, threshold=1.0):
    ...     print(region)
    Region(box=(0, 2, 1, 1), area=1, peak=5.0)
    Region(box=(1, 0, 3, 2), area=3, peak=3.0)
    """
    labels, count = ndimage.label(values > threshold, structure=EIGHT_NEIGHBORS)
    regions = []
    for number, window in enumerate(ndimage.find_objects(labels, max_label=count), start=1):
        inside = labels[window] == number
        rows, columns = window
        box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        peak = float(values[window][inside].max())
        regions.append(Region(box, int(inside.sum()), peak))
    return tuple(sorted(regions, key=lambda region: -region.peak))
