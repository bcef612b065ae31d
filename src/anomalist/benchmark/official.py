"""What the evaluation server of a data set measures, beside what is measured of all."""

from __future__ import annotations

from anomalist.benchmark.decisions import Decisions
from anomalist.calibration import Calibration
from anomalist.metrics import Evaluation, extra_limits, f1_interval
from anomalist.metrics.binary import Binary
from anomalist.metrics.bootstrap import f1_interval_of

#: The data set's name, and the limit of the false positive rate to which its server measures PRO.
MVTEC_AD_2, AD_2_LIMIT = "mvtec_ad_2", 0.05

#: Columns of what is measured at one threshold that good images gave.
AD_2_NAMES = ("ClassF1", "SegF1")


def official_limits(dataset: str, asked: tuple[float, ...]) -> tuple[float, ...]:
    """Return the limits to which PRO is measured on a data set, those asked for included.

    Examples
    --------
    >>> official_limits("mvtec_ad_2", (0.01,)), official_limits("visa", (0.01,))
    ((0.01, 0.05), (0.01,))
    """
    return extra_limits((*asked, AD_2_LIMIT)) if dataset == MVTEC_AD_2 else asked


def official_metrics(
    dataset: str, evaluation: Evaluation, calibration: Calibration | None
) -> Decisions:
    """Measure what the server of MVTec AD 2 measures of binary maps; nothing of another data set.

    The threshold is the mean of the map values of good images plus three standard deviations, as
    in the paper's baselines; the images are those learnt from and of ``validation``, each scored by
    a detector that hadn't seen it.

    Heckler-Kram et al., "The MVTec AD 2 Dataset", arXiv:2503.21622, 2025.

    Parameters
    ----------
    dataset : str
        Its name.
    evaluation : Evaluation
        Of the public test images.
    calibration : Calibration or None
        Of the detector.
    """
    if dataset != MVTEC_AD_2:
        return Decisions({})
    values: dict[str, float | None] = dict.fromkeys(AD_2_NAMES)
    pixels, labels = evaluation.pixels, evaluation.labels
    if calibration is None:
        note = "no ClassF1 and SegF1: the detector isn't calibrated"
    elif evaluation.evaluated_at != "original":
        note = "no ClassF1 and SegF1: they are measured at the size of each mask"
    elif pixels is None or labels is None or not pixels.n_positive.any():
        note = "no ClassF1 and SegF1: they take masks of defects"
    elif evaluation.predictions.unmasked.any():
        note = "no ClassF1 and SegF1: they take a mask of every defect"
    else:
        binary = Binary.of(pixels, binary_threshold(calibration))
        values = {"ClassF1": binary.class_f1(labels), "SegF1": binary.seg_f1()}
        intervals = {
            "ClassF1": f1_interval(binary.alarms > 0, labels),
            "SegF1": f1_interval_of(binary.hits, binary.alarms, binary.positives),
        }
        return Decisions(values, intervals)
    return Decisions(values, notes=(note,))


def binary_threshold(calibration: Calibration) -> float:
    """Return the map value above which a pixel is called anomalous."""
    return calibration.pixel_mean + 3 * calibration.pixel_deviation
