"""What eyes see of pictures, and pictures to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

CYAN = (0, 220, 255)
SCALE: dict[str, float] = {"low": 2.0, "high": 4.0}

# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision
# deficiency" (2009), table 1 at severity 1, for linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def cie_lightness(colours: npt.NDArray[np.uint8], vision: str = "normal") -> npt.NDArray[Any]:
    """L* from 0 to 100 of sRGB colours, as someone of that vision sees them."""
    coded = colours / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    luminance = np.clip(linear @ np.transpose(VISION[vision]), 0, 1) @ [0.2126, 0.7152, 0.0722]
    root = np.where(
        luminance > (6 / 29) ** 3, np.cbrt(luminance), luminance * (29 / 6) ** 2 / 3 + 4 / 29
    )
    return 116 * root - 16


def is_colour(
    picture: npt.NDArray[np.uint8], colour: tuple[int, int, int]
) -> npt.NDArray[np.bool_]:
    return (picture == colour).all(axis=2)


def grey(height: int, width: int, level: int = 120) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)
