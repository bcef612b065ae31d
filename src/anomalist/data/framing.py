"""Where in a picture its subject lies, how large it is and at which angle, by moments of grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

# What differs from the ground by less than this share of the most is taken for ground.
_GROUND = 0.25
# Grey levels that make no subject.
_FLAT = 1.0


@dataclass(frozen=True, slots=True)
class Framing:
    """How a photograph is framed, as far as a small grey picture tells.

    The ground is the median of the picture's edge; what differs from it, by more than a quarter of
    the most that does, weighs as much as it differs. A pattern that fills the picture has its
    centre near the middle and no angle, and a picture of one grey has zeros.

    Parameters
    ----------
    across, down : float
        Where the centre of mass lies, from the middle, as shares of width and height: positive to
        the right and below.
    extent : float
        Root of the mean square distance from it, as a share of the side.
    upright, tilt : float
        Cosine and sine of twice the angle between the main axis and the horizontal, times how
        elongated it is, -1 to 1: a turn by a turns them by 2 a.
    """

    across: float
    down: float
    extent: float
    upright: float
    tilt: float

    @classmethod
    def of(cls, picture: npt.NDArray[np.floating]) -> Self:
        """Measure a grey picture of shape (H, W), in grey levels.

        Examples
        --------
        >>> picture = np.full((32, 32), 200.0)
        >>> picture[14:18, 8:28] = 50
        >>> framing = Framing.of(picture)
        >>> round(framing.across, 3), abs(framing.down) < 1e-9, framing.upright > 0.9
        (0.062, True, True)
        """
        grey = np.asarray(picture, np.float64)
        height, width = grey.shape
        edge = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
        apart = np.abs(grey - np.median(edge))
        weights = np.maximum(apart - _GROUND * apart.max(), 0.0)
        if apart.max() < _FLAT:
            return cls(0.0, 0.0, 0.0, 0.0, 0.0)
        weights /= weights.sum()
        y = ((np.arange(height) + 0.5) / height - 0.5)[:, None]
        x = ((np.arange(width) + 0.5) / width - 0.5)[None, :]
        across, down = float((weights * x).sum()), float((weights * y).sum())
        xx = float((weights * (x - across) ** 2).sum())
        yy = float((weights * (y - down) ** 2).sum())
        xy = float((weights * (x - across) * (y - down)).sum())
        spread = xx + yy
        if spread < 1e-9:  # within one pixel
            return cls(across, down, 0.0, 0.0, 0.0)
        return cls(across, down, spread**0.5, (xx - yy) / spread, 2 * xy / spread)
