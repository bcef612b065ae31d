"""By which turn and shift a photograph lies as another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from anomalist.data.moving import Affine


@dataclass(frozen=True)
class Motion:
    """How a photograph must be moved to lie as another.

    Parameters
    ----------
    turn : float
        Radians by which it is turned about its centre.
    across, down : float
        Where that centre then comes from, to the right and below, in shares of the longer side.

    Examples
    --------
    >>> Motion(across=0.25).affine((100, 200))(0.0, 0.0)
    (50.0, 0.0)
    """

    turn: float = 0.0
    across: float = 0.0
    down: float = 0.0

    def affine(self, size: tuple[int, int]) -> Affine:
        """Return where each point of the moved photograph (height, width) comes from."""
        cos, sin, side = math.cos(self.turn), math.sin(self.turn), max(size)
        return Affine.about(size, (cos, -sin, sin, cos), (self.across * side, self.down * side))

    def after(self, across: float, down: float, turn: float) -> Motion:
        """Return the motion of what is moved the other way by a little more, before it."""
        angle = self.turn - turn
        cos, sin = math.cos(angle), math.sin(angle)
        return Motion(
            angle,
            self.across - (cos * across - sin * down),
            self.down - (sin * across + cos * down),
        )
