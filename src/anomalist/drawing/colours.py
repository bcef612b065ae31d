"""Colours of anomaly maps, and the scale on which maps are shown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.errors import ParameterError

# Deep blue to pale yellow. The lightness rises all the way, for colour-blind readers too.
_COLOURS = np.array(
    [
        (13, 8, 135),
        (83, 2, 163),
        (139, 10, 165),
        (184, 50, 137),
        (219, 92, 104),
        (244, 136, 73),
        (254, 189, 42),
        (240, 249, 33),
    ],
    float,
)
TOP = 2.0
"""Where the scale of pictures ends: 0 is a typical good pixel, 1 the threshold, more is cut."""


def colour_map(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Colour values from 0 (dark blue) to 1 (bright yellow); what lies outside is cut.

    Parameters
    ----------
    values : array of shape (...)

    Returns
    -------
    uint8 array of shape (..., 3)

    Examples
    --------
    >>> colour_map(np.array([0.0, 1.0])).tolist()
    [[13, 8, 135], [240, 249, 33]]
    """
    position = np.clip(values, 0, 1) * (len(_COLOURS) - 1)
    knots = np.arange(len(_COLOURS))
    channels = [np.interp(position, knots, _COLOURS[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def scale_of(maps: npt.NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Return ``low`` and ``high`` of maps for which no good images say them.

    From the median, which has no colour, to the maximum, which has the last one.

    Parameters
    ----------
    maps : array of any shape

    Examples
    --------
    >>> scale_of(np.array([1.0, 1.0, 5.0]))
    (1.0, 3.0)
    """
    low = float(np.median(maps))
    return low, low + (float(maps.max()) - low) / TOP


def check_scale(low: float, high: float) -> None:
    """Refuse map values of a typical good pixel and of the threshold that make no scale.

    Raises
    ------
    ParameterError
        If one of them isn't finite, or ``high`` is below ``low``.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ParameterError(
            f"low and high must be finite and high not below low, not {low}, {high}"
        )
