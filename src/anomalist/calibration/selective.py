"""Selective prediction: images that are set aside as unsure, and what the rest gains by it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError, ParameterError
from anomalist.metrics.ranking import check_binary

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
State = Literal["anomalous", "unsure", "normal", "undecided"]
"""What becomes of an image; undecided where there is no threshold."""

DEFAULT_REVIEW = 0.2
"""The share of good images that may be called anomalous or set aside, where none is given."""


def unsure(
    p_values: npt.ArrayLike, alpha: float = 0.05, review: float = DEFAULT_REVIEW
) -> npt.NDArray[np.bool_]:
    """Tell which images a person should look at: neither called anomalous nor passed.

    A p-value of at most ``alpha`` calls an image anomalous, one above ``review`` passes it. Of good
    images, at most ``alpha`` are called anomalous and at most ``review`` don't pass, as far as the
    p-values are valid. How many defective images pass can't be promised from good images alone; a
    higher ``review`` lets fewer pass.

    Parameters
    ----------
    p_values : array of any shape
        Of `~anomalist.calibration.p_values` or `~anomalist.calibration.cross_p_values`.
    alpha : float
        Share of good images that may be called anomalous.
    review : float
        Share of good images that may be called anomalous or set aside.

    Returns
    -------
    bool array of the same shape

    Raises
    ------
    DataError
        If a p-value isn't from 0 to 1.
    ParameterError
        Unless 0 < alpha <= review < 1.

    References
    ----------
    Chow, "On optimum recognition error and reject tradeoff", IEEE Transactions on Information
    Theory 16 (1970), on setting aside what lies between two thresholds.

    Examples
    --------
    >>> unsure([0.01, 0.05, 0.1, 0.2, 0.7], alpha=0.05, review=0.2).tolist()
    [False, False, True, True, False]
    """
    if not 0 < alpha <= review < 1:
        raise ParameterError(
            f"alpha and review must be between 0 and 1 and alpha not above review, not "
            f"{alpha} and {review}"
        )
    p = np.asarray(p_values)
    if p.dtype.kind not in "biuf" or not ((p >= 0) & (p <= 1)).all():
        raise DataError("p-values must be numbers from 0 to 1")
    between: npt.NDArray[np.bool_] = (p > alpha) & (p <= review)
    return between


def state(
    score: float, threshold: float | None, p_value: float | None, alpha: float = 0.05
) -> State:
    """Say what becomes of an image: it is called anomalous, shown to a person, or passed.

    Parameters
    ----------
    score : float
        Of the image.
    threshold : float or None
        The score above which an image is anomalous; None where no good image calibrated.
    p_value : float or None
        The share of good images that look at least as odd; None where it isn't known.
    alpha : float
        The false-alarm rate that was asked for.

    Returns
    -------
    {"anomalous", "unsure", "normal", "undecided"}
        ``anomalous`` above the threshold; ``unsure`` where it isn't, yet at most `DEFAULT_REVIEW`
        of the good images, or ``alpha`` where that is more, look as odd; ``undecided`` without a
        threshold.

    Examples
    --------
    >>> state(0.7, 0.5, 0.02), state(0.4, 0.5, 0.1), state(0.1, 0.5, 0.9), state(0.7, None, 0.02)
    ('anomalous', 'unsure', 'normal', 'undecided')
    """
    if threshold is None:
        return "undecided"
    if score > threshold:
        return "anomalous"
    return "unsure" if p_value is not None and p_value <= max(alpha, DEFAULT_REVIEW) else "normal"


def error_coverage(confidence: npt.ArrayLike, errors: npt.ArrayLike) -> Curve:
    """Error among the surest images, from the surest alone to all of them.

    Images of equal confidence stand in every order at once: the error is its mean over them.

    Parameters
    ----------
    confidence : array of shape (N,)
        Finite, higher where the decision is surer: the distance of a score from the threshold, or
        the negative disagreement of an ensemble's members.
    errors : array of shape (N,)
        True or 1 where the decision is wrong.

    Returns
    -------
    coverage, error : float64 arrays of shape (N,)
        Share of the images that are decided on, 1 / N to 1, and the share of wrong decisions among
        them.

    Raises
    ------
    DataError
        If shapes differ, there is no image, a confidence isn't a finite number, or an error is
        neither 0 nor 1.

    References
    ----------
    El-Yaniv and Wiener, "On the foundations of noise-free selective classification", JMLR 11
    (2010), the risk-coverage curve.

    Examples
    --------
    >>> coverage, error = error_coverage([0.9, 0.1, 0.8, 0.2], [False, True, False, False])
    >>> coverage.tolist(), error.tolist()
    ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.25])
    """
    confidence, wrong = np.asarray(confidence), check_binary(np.asarray(errors), "errors")
    if confidence.ndim != 1 or confidence.shape != wrong.shape or not len(wrong):
        raise DataError(
            f"confidence and errors must have one shape (N,), N at least 1, not "
            f"{confidence.shape} and {wrong.shape}"
        )
    if confidence.dtype.kind not in "biuf" or not np.isfinite(confidence).all():
        raise DataError("confidence must be finite numbers")
    _, group, sizes = np.unique(
        -confidence.astype(np.float64), return_inverse=True, return_counts=True
    )
    rate = np.bincount(group, weights=wrong) / sizes
    decided = np.arange(1, len(wrong) + 1)
    return decided / len(wrong), np.cumsum(np.repeat(rate, sizes)) / decided


def error_coverage_area(confidence: npt.ArrayLike, errors: npt.ArrayLike) -> float:
    """Area under the `error_coverage` curve: the error averaged over all coverages.

    Parameters
    ----------
    confidence, errors : arrays of shape (N,)
        As for `error_coverage`.

    Returns
    -------
    float
        From 0 to 1, lower is better. Confidence that knows nothing gives the error of all images.

    Raises
    ------
    DataError
        As for `error_coverage`.

    References
    ----------
    Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers",
    ICLR 2019, equation 2.

    Examples
    --------
    >>> error_coverage_area([0.9, 0.1, 0.8, 0.2], [False, True, False, False])
    0.0625
    >>> error_coverage_area([0.5, 0.5, 0.5, 0.5], [False, True, False, False])
    0.25
    """
    return float(error_coverage(confidence, errors)[1].mean())
