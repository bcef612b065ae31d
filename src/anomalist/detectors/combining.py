"""What several detectors give to the same images, on one scale, becomes one value."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp  # type: ignore[import-untyped]

Combination = Literal["fisher", "cauchy", "mean", "max"]
Array = npt.NDArray[Any]

# Beyond this surprise, the tangent of Cauchy's combination is 1 / (pi p) to the last digit.
_CERTAIN = 18.0


def combined(values: Array, weights: Array, how: Combination) -> Array:
    """Combine what M members give to the same images or pixels.

    Parameters
    ----------
    values : array of shape (M, ...)
        In standard deviations for ``mean`` and ``max``; minus logarithms of p-values for ``fisher``
        and ``cauchy``.
    weights : array of shape (M,)
        Not negative, of sum 1; one without a weight has no part in it.
    how : str
        Which combination.

    Returns
    -------
    array of shape (...)
        Higher where more anomalous: a mean, a maximum, or minus the logarithm of Cauchy's p-value.

    Examples
    --------
    >>> values, weights = np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([0.5, 0.5])
    >>> combined(values, weights, "mean").tolist(), combined(values, weights, "max").tolist()
    ([2.0, 2.0], [3.0, 2.0])
    >>> combined(values, weights, "cauchy").round(3).tolist()
    [2.394, 2.0]
    """
    values, weights = values[weights > 0], weights[weights > 0]
    shaped = weights.reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype)
    result: Array
    if how == "max":
        result = (values * shaped * len(weights)).max(axis=0)
    elif how == "cauchy":
        values = values.astype(np.float64)
        # A p-value of 1 has a tangent of minus infinity, against which no other would count.
        known = np.clip(values, 0.01, _CERTAIN)
        statistic = (np.tan((0.5 - np.exp(-known)) * np.pi) * shaped).sum(axis=0)
        body = -np.log(0.5 - np.arctan(statistic) / np.pi)
        far = logsumexp(values, axis=0, b=np.broadcast_to(shaped, values.shape))
        result = np.where(values.max(axis=0) < _CERTAIN, body, far)
    else:
        result = (values * shaped).sum(axis=0)
    return result
